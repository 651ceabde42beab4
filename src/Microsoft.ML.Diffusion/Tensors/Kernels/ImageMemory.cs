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

/// <summary>A batch of images where it lies: numbers of a pixel side by side, pixels and rows one after the other. It belongs to somebody else.</summary>
/// <param name="numbers">The first number.</param>
/// <param name="shape">The sizes.</param>
internal readonly unsafe struct ImageMemory(void* numbers, ImageShape shape)
{
    /// <summary>The sizes.</summary>
    public ImageShape Shape => shape;

    /// <summary>The first number; null for no batch.</summary>
    public void* Numbers => numbers;

    /// <summary>The numbers of a batch of float32.</summary>
    public float* Floats => (float*)numbers;

    /// <summary>The numbers of a batch of bfloat16.</summary>
    public ushort* Narrow => (ushort*)numbers;

    /// <summary>Looks into a tensor.</summary>
    /// <param name="pixels">[N, H, W, C] contiguous, on the CPU, float32 or bfloat16; has to outlive the result.</param>
    public static ImageMemory Of(Tensor pixels)
    {
        long[] shape = pixels.shape;
        return new(HostMemory.Pointer(pixels), new((int)shape[0], (int)shape[1], (int)shape[2], (int)shape[3], pixels.dtype == ScalarType.BFloat16));
    }

    /// <summary>The same; no batch for no tensor.</summary>
    public static ImageMemory OfOrNone(Tensor? pixels) => pixels is null ? default : Of(pixels);
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
