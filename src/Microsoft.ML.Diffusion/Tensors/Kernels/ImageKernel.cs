namespace Microsoft.ML.Diffusion;

/// <summary>Copies of images, shared out over the cores: in another element type, joined along the channels, taken apart again.</summary>
internal static unsafe class ImageKernel
{
    /// <summary>Numbers that a core converts at a time.</summary>
    private const int Portion = 1 << 15;

    /// <summary>float32 to bfloat16, or back.</summary>
    /// <param name="from">The images; their numbers are a multiple of 16.</param>
    /// <param name="to">Of the same shape and the other type, written.</param>
    public static void Convert(ImageMemory from, ImageMemory to)
    {
        int count = from.Shape.Count, portions = (count + Portion - 1) / Portion;
        if (to.Shape.IsNarrow)
            Cores.Run(portions, part => BFloat16Layout.Round(from.Floats + part * Portion, Math.Min(Portion, count - part * Portion), to.Narrow + part * Portion));
        else
            Cores.Run(portions, part => BFloat16Layout.Widen(from.Narrow + part * Portion, Math.Min(Portion, count - part * Portion), to.Floats + part * Portion));
    }

    /// <summary>Joins channels.</summary>
    /// <param name="a">[N, H, W, A].</param>
    /// <param name="b">[N, H, W, B].</param>
    /// <param name="joined">[N, H, W, A + B], written.</param>
    public static void Join(ImageMemory a, ImageMemory b, ImageMemory joined)
    {
        int first = PixelBytes(a), second = PixelBytes(b), pixels = a.Shape.Width;
        Cores.Run(a.Shape.Images * a.Shape.Height, row =>
        {
            byte* fromA = (byte*)a.Numbers + (nint)row * pixels * first, fromB = (byte*)b.Numbers + (nint)row * pixels * second;
            byte* to = (byte*)joined.Numbers + (nint)row * pixels * (first + second);
            for (int pixel = 0; pixel < pixels; pixel++, fromA += first, fromB += second, to += first + second)
            {
                Copy(fromA, to, first);
                Copy(fromB, to + first, second);
            }
        });
    }

    /// <summary>Takes channels apart.</summary>
    /// <param name="joined">[N, H, W, A + B].</param>
    /// <param name="a">[N, H, W, A], written.</param>
    /// <param name="b">[N, H, W, B], written.</param>
    public static void Split(ImageMemory joined, ImageMemory a, ImageMemory b)
    {
        int first = PixelBytes(a), second = PixelBytes(b), pixels = a.Shape.Width;
        Cores.Run(a.Shape.Images * a.Shape.Height, row =>
        {
            byte* toA = (byte*)a.Numbers + (nint)row * pixels * first, toB = (byte*)b.Numbers + (nint)row * pixels * second;
            byte* from = (byte*)joined.Numbers + (nint)row * pixels * (first + second);
            for (int pixel = 0; pixel < pixels; pixel++, toA += first, toB += second, from += first + second)
            {
                Copy(from, toA, first);
                Copy(from + first, toB, second);
            }
        });
    }

    private static int PixelBytes(ImageMemory images) => images.Shape.Channels * images.Shape.NumberBytes;

    private static void Copy(byte* from, byte* to, int count) => new ReadOnlySpan<byte>(from, count).CopyTo(new Span<byte>(to, count));
}
