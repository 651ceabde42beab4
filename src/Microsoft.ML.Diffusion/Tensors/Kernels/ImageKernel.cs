namespace Microsoft.ML.Diffusion;

/// <summary>Simple work on images, shared out over the cores: copies in another element type or of joined channels, sums, products, other sizes.</summary>
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
        var both = ImageMemory.Join(a, b);
        int width = a.Shape.Width;
        Cores.Run(a.Shape.Images * a.Shape.Height, row =>
        {
            nint pixel = (nint)row * width;
            if (joined.Shape.IsNarrow)
                both.Copy(pixel, width, joined.Narrow + pixel * joined.Shape.Channels);
            else
                both.Copy(pixel, width, joined.Floats + pixel * joined.Shape.Channels);
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

    /// <summary>Adds a row to every pixel of an image.</summary>
    /// <param name="x">[N, H, W, C], added to; its channels fill a register.</param>
    /// <param name="rows">[N or 1, C].</param>
    /// <param name="isPerImage">Whether every image has its own row.</param>
    public static void AddRows(ImageMemory x, float* rows, bool isPerImage)
    {
        int channels = x.Shape.Channels, lanes = Lanes.Dividing(channels);
        nint pixels = (nint)x.Shape.Height * x.Shape.Width;
        Cores.Run(x.Shape.Images, image =>
        {
            nint first = image * pixels * channels;
            float* row = rows + (isPerImage ? image * channels : 0);
            if (x.Shape.IsNarrow)
                PixelKernel<Lanes512, NarrowElement>.AddRow((NarrowElement*)x.Narrow + first, pixels, channels, row);
            else if (lanes == 16)
                PixelKernel<Lanes512, WideElement<Lanes512>>.AddRow((WideElement<Lanes512>*)x.Floats + first, pixels, channels, row);
            else if (lanes == 8)
                PixelKernel<Lanes256, WideElement<Lanes256>>.AddRow((WideElement<Lanes256>*)x.Floats + first, pixels, channels, row);
            else
                PixelKernel<Lanes128, WideElement<Lanes128>>.AddRow((WideElement<Lanes128>*)x.Floats + first, pixels, channels, row);
        });
    }

    /// <summary>The gradient of <see cref="AddRows"/>: sums over the pixels.</summary>
    /// <param name="dx">[N, H, W, C].</param>
    /// <param name="dRows">[N or 1, C], added to.</param>
    /// <param name="isPerImage">Whether every image has its own row.</param>
    public static void SumRows(ImageMemory dx, float* dRows, bool isPerImage)
    {
        int channels = dx.Shape.Channels, lanes = Lanes.Dividing(channels), parts = isPerImage ? dx.Shape.Images : 1;
        nint pixels = dx.Shape.Pixels / parts;
        Cores.Run(parts, part =>
        {
            nint first = part * pixels * channels;
            float* sums = dRows + (nint)part * channels;
            if (dx.Shape.IsNarrow)
                PixelKernel<Lanes512, NarrowElement>.Sum((NarrowElement*)dx.Narrow + first, pixels, channels, sums);
            else if (lanes == 16)
                PixelKernel<Lanes512, WideElement<Lanes512>>.Sum((WideElement<Lanes512>*)dx.Floats + first, pixels, channels, sums);
            else if (lanes == 8)
                PixelKernel<Lanes256, WideElement<Lanes256>>.Sum((WideElement<Lanes256>*)dx.Floats + first, pixels, channels, sums);
            else
                PixelKernel<Lanes128, WideElement<Lanes128>>.Sum((WideElement<Lanes128>*)dx.Floats + first, pixels, channels, sums);
        });
    }

    /// <summary>Multiplies each number by one of its own.</summary>
    /// <param name="x">[N, H, W, C], multiplied; its channels fill a register.</param>
    /// <param name="factors">[N, H, W, C] of the same type.</param>
    public static void Multiply(ImageMemory x, ImageMemory factors)
    {
        int lanes = Lanes.Dividing(x.Shape.Channels);
        nint image = x.Shape.Pixels / x.Shape.Images * x.Shape.Channels;
        Cores.Run(x.Shape.Images, i =>
        {
            nint first = i * image;
            if (x.Shape.IsNarrow)
                PixelKernel<Lanes512, NarrowElement>.Multiply((NarrowElement*)x.Narrow + first, (NarrowElement*)factors.Narrow + first, image);
            else if (lanes == 16)
                PixelKernel<Lanes512, WideElement<Lanes512>>.Multiply((WideElement<Lanes512>*)x.Floats + first, (WideElement<Lanes512>*)factors.Floats + first, image);
            else if (lanes == 8)
                PixelKernel<Lanes256, WideElement<Lanes256>>.Multiply((WideElement<Lanes256>*)x.Floats + first, (WideElement<Lanes256>*)factors.Floats + first, image);
            else
                PixelKernel<Lanes128, WideElement<Lanes128>>.Multiply((WideElement<Lanes128>*)x.Floats + first, (WideElement<Lanes128>*)factors.Floats + first, image);
        });
    }

    /// <summary>Adds up 2x2 pixels, times a factor: the mean, or the gradient of a doubled image.</summary>
    /// <param name="from">[N, 2H, 2W, C]; its channels fill a register.</param>
    /// <param name="to">[N, H, W, C], written.</param>
    /// <param name="factor">The factor.</param>
    public static void Halve(ImageMemory from, ImageMemory to, float factor)
    {
        int width = to.Shape.Width, channels = to.Shape.Channels, lanes = Lanes.Dividing(channels);
        Cores.Run(to.Shape.Images * to.Shape.Height, row =>
        {
            nint small = (nint)row * width * channels, large = 4 * small;
            if (to.Shape.IsNarrow)
                PixelKernel<Lanes512, NarrowElement>.Halve((NarrowElement*)from.Narrow + large, width, channels, factor, (NarrowElement*)to.Narrow + small);
            else if (lanes == 16)
                PixelKernel<Lanes512, WideElement<Lanes512>>.Halve((WideElement<Lanes512>*)from.Floats + large, width, channels, factor, (WideElement<Lanes512>*)to.Floats + small);
            else if (lanes == 8)
                PixelKernel<Lanes256, WideElement<Lanes256>>.Halve((WideElement<Lanes256>*)from.Floats + large, width, channels, factor, (WideElement<Lanes256>*)to.Floats + small);
            else
                PixelKernel<Lanes128, WideElement<Lanes128>>.Halve((WideElement<Lanes128>*)from.Floats + large, width, channels, factor, (WideElement<Lanes128>*)to.Floats + small);
        });
    }

    /// <summary>Writes every pixel four times, times a factor: a doubled image, or the gradient of a mean.</summary>
    /// <param name="from">[N, H, W, C]; its channels fill a register.</param>
    /// <param name="to">[N, 2H, 2W, C], written.</param>
    /// <param name="factor">The factor.</param>
    public static void Double(ImageMemory from, ImageMemory to, float factor)
    {
        int width = from.Shape.Width, channels = from.Shape.Channels, lanes = Lanes.Dividing(channels);
        Cores.Run(from.Shape.Images * from.Shape.Height, row =>
        {
            nint small = (nint)row * width * channels, large = 4 * small;
            if (from.Shape.IsNarrow)
                PixelKernel<Lanes512, NarrowElement>.Double((NarrowElement*)from.Narrow + small, width, channels, factor, (NarrowElement*)to.Narrow + large);
            else if (lanes == 16)
                PixelKernel<Lanes512, WideElement<Lanes512>>.Double((WideElement<Lanes512>*)from.Floats + small, width, channels, factor, (WideElement<Lanes512>*)to.Floats + large);
            else if (lanes == 8)
                PixelKernel<Lanes256, WideElement<Lanes256>>.Double((WideElement<Lanes256>*)from.Floats + small, width, channels, factor, (WideElement<Lanes256>*)to.Floats + large);
            else
                PixelKernel<Lanes128, WideElement<Lanes128>>.Double((WideElement<Lanes128>*)from.Floats + small, width, channels, factor, (WideElement<Lanes128>*)to.Floats + large);
        });
    }

    private static int PixelBytes(ImageMemory images) => images.Shape.Channels * images.Shape.NumberBytes;

    private static void Copy(byte* from, byte* to, int count) => new ReadOnlySpan<byte>(from, count).CopyTo(new Span<byte>(to, count));
}
