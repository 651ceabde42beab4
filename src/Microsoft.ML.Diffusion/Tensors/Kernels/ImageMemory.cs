using TorchSharp;

namespace Microsoft.ML.Diffusion;

/// <summary>The sizes of a batch of images as kernels see it: [images, height, width, channels].</summary>
/// <param name="Images">N.</param>
/// <param name="Height">H.</param>
/// <param name="Width">W.</param>
/// <param name="Channels">C.</param>
/// <param name="IsNarrow">Whether its numbers are bfloat16, and not float32.</param>
internal readonly record struct ImageShape(int Images, int Height, int Width, int Channels, bool IsNarrow)
{
    /// <summary>N·H·W.</summary>
    public nint Pixels => (nint)Images * Height * Width;

    /// <summary>N·H·W·C.</summary>
    public int Count => checked((int)(Pixels * Channels));

    /// <summary>Bytes of a number.</summary>
    public int NumberBytes => IsNarrow ? sizeof(ushort) : sizeof(float);

    /// <summary>Bytes of the batch.</summary>
    public nint Bytes => Pixels * Channels * NumberBytes;

    /// <summary>N, H, W, C.</summary>
    public long[] Sizes => [Images, Height, Width, Channels];

    /// <summary>The element type.</summary>
    public ScalarType Type => IsNarrow ? ScalarType.BFloat16 : ScalarType.Float32;
}

/// <summary>
/// A batch of images where it lies: numbers of a pixel side by side, pixels and rows one after the other. Joined channels may lie in two such batches. The memory belongs to somebody else.
/// </summary>
internal readonly unsafe struct ImageMemory
{
    private readonly int _joined;

    /// <summary>A batch in one piece.</summary>
    /// <param name="numbers">The first number.</param>
    /// <param name="shape">The sizes.</param>
    public ImageMemory(void* numbers, ImageShape shape)
    {
        Numbers = numbers;
        Shape = shape;
    }

    private ImageMemory(ImageMemory a, ImageMemory b)
        : this(a.Numbers, a.Shape with { Channels = a.Shape.Channels + b.Shape.Channels })
    {
        Joined = b.Numbers;
        _joined = b.Shape.Channels;
    }

    /// <summary>The sizes.</summary>
    public ImageShape Shape { get; }

    /// <summary>The first number; null for no batch.</summary>
    public void* Numbers { get; }

    /// <summary>The first number of the last channels, where these lie in a batch of their own; null: all lie together.</summary>
    public void* Joined { get; }

    /// <summary>The numbers of a batch of float32 that lies in one piece.</summary>
    public float* Floats => (float*)OnePiece;

    /// <summary>The numbers of a batch of bfloat16 that lies in one piece.</summary>
    public ushort* Narrow => (ushort*)OnePiece;

    private void* OnePiece => Joined is null ? Numbers : throw new InvalidOperationException("The images' channels lie in two pieces, which this operator does not read.");

    /// <summary>Looks into a tensor.</summary>
    /// <param name="pixels">[N, H, W, C] contiguous, on the CPU, float32 or bfloat16; has to outlive the result.</param>
    public static ImageMemory Of(Tensor pixels)
    {
        long[] shape = pixels.shape;
        return new(HostMemory.Pointer(pixels), new((int)shape[0], (int)shape[1], (int)shape[2], (int)shape[3], pixels.dtype == ScalarType.BFloat16));
    }

    /// <summary>The same; no batch for no tensor.</summary>
    public static ImageMemory OfOrNone(Tensor? pixels) => pixels is null ? default : Of(pixels);

    /// <summary>Two batches as one, channel behind channel, without a copy.</summary>
    /// <param name="a">[N, H, W, A].</param>
    /// <param name="b">[N, H, W, B].</param>
    /// <returns>[N, H, W, A + B].</returns>
    public static ImageMemory Join(ImageMemory a, ImageMemory b) => new(a, b);

    /// <summary>Where some channels of a pixel lie together.</summary>
    /// <param name="pixel">Which pixel, counted over the batch.</param>
    /// <param name="wanted">Which channels.</param>
    /// <typeparam name="E">The batch's numbers.</typeparam>
    /// <returns>The first of them, and how many of them, one or more.</returns>
    public ChannelRun<E> Run<E>(nint pixel, ChannelRange wanted)
        where E : unmanaged
    {
        int split = Shape.Channels - _joined;
        if (wanted.First < split)
            return new((E*)Numbers + pixel * split + wanted.First, split, Math.Min(wanted.Count, split - wanted.First));
        return new((E*)Joined + pixel * _joined + wanted.First - split, _joined, wanted.Count);
    }

    /// <summary>Copies pixels with all their channels.</summary>
    /// <param name="first">The first pixel, counted over the batch.</param>
    /// <param name="count">How many.</param>
    /// <param name="to">[count, C], written.</param>
    /// <typeparam name="E">The batch's numbers.</typeparam>
    public void Copy<E>(nint first, int count, E* to)
        where E : unmanaged
    {
        for (int c = 0; c < Shape.Channels;)
        {
            var run = Run<E>(first, new(c, Shape.Channels));
            for (int pixel = 0; pixel < count; pixel++)
                new ReadOnlySpan<E>(run.First + (nint)pixel * run.Stride, run.Count).CopyTo(new Span<E>(to + (nint)pixel * Shape.Channels + c, run.Count));
            c += run.Count;
        }
    }
}

/// <summary>Channels of pixels that lie together.</summary>
/// <param name="first">The first pixel's first.</param>
/// <param name="stride">From a pixel to the next.</param>
/// <param name="count">How many channels.</param>
/// <typeparam name="E">The numbers.</typeparam>
internal readonly unsafe struct ChannelRun<E>(E* first, int stride, int count)
    where E : unmanaged
{
    /// <summary>The first pixel's first.</summary>
    public E* First => first;

    /// <summary>From a pixel to the next.</summary>
    public int Stride => stride;

    /// <summary>How many channels.</summary>
    public int Count => count;

    /// <summary>Those of a pixel, counted from the first.</summary>
    public E* Row(int pixel) => first + (nint)pixel * stride;

    /// <summary>The same of the pixels from one on.</summary>
    public ChannelRun<E> From(int pixel) => new(Row(pixel), stride, count);
}

/// <summary>What the images of a batch are told: a row of numbers for each, or one for all.</summary>
/// <param name="numbers">The first row; null: they are told nothing.</param>
/// <param name="isPerImage">Whether every image has its own.</param>
internal readonly unsafe struct ImageRows(float* numbers, bool isPerImage)
{
    /// <summary>The first row; null: they are told nothing.</summary>
    public float* Numbers => numbers;

    /// <summary>Whether every image has its own.</summary>
    public bool IsPerImage => isPerImage;

    /// <summary>Looks into a tensor.</summary>
    /// <param name="rows">[N or 1, numbers] float32, contiguous, on the CPU, which has to outlive the result; or null.</param>
    public static ImageRows Of(Tensor? rows) => rows is null ? default : new(HostMemory.Pointer(rows), rows.shape[0] != 1);
}
