namespace Microsoft.ML.Diffusion;

/// <summary>
/// Where a convolution takes its input from, a row of pixels at a time: what comes before a convolution is computed as it is read and never stored.
/// Read by several threads at once.
/// </summary>
internal abstract unsafe class PixelSource
{
    /// <summary>Floats that a reader has to have for <see cref="Begin"/>.</summary>
    public virtual int Room => 0;

    /// <summary>Prepares what the rows of an image share.</summary>
    /// <param name="image">Which image.</param>
    /// <param name="room">[<see cref="Room"/>], filled.</param>
    public virtual void Begin(int image, float* room)
    {
    }

    /// <summary>Writes one row of one image.</summary>
    /// <param name="image">Which image.</param>
    /// <param name="row">Which row, inside the image.</param>
    /// <param name="room">As <see cref="Begin"/> left it.</param>
    /// <param name="to">[width, stride]; what lies between channels and stride is left alone.</param>
    /// <param name="stride">From a pixel to the next, at least the channels.</param>
    public abstract void Read(int image, int row, float* room, float* to, int stride);
}

/// <summary>Images as they lie in memory.</summary>
/// <param name="pixels">[images, height, width, channels].</param>
/// <param name="height">Rows of an image.</param>
/// <param name="width">Pixels of a row.</param>
/// <param name="channels">Numbers of a pixel.</param>
internal sealed unsafe class ImageSource(float* pixels, int height, int width, int channels) : PixelSource
{
    /// <inheritdoc/>
    public override void Read(int image, int row, float* room, float* to, int stride)
    {
        float* from = pixels + ((nint)image * height + row) * width * channels;
        if (stride == channels)
        {
            Copy(from, to, width * channels);
            return;
        }
        for (int x = 0; x < width; x++, from += channels, to += stride)
            Copy(from, to, channels);
    }

    /// <summary>Copies floats.</summary>
    internal static void Copy(float* from, float* to, int count) =>
        new ReadOnlySpan<float>(from, count).CopyTo(new Span<float>(to, count));
}

/// <summary>Images of twice the size, each pixel four times (nearest neighbours).</summary>
/// <param name="pixels">[images, height, width, channels].</param>
/// <param name="height">Rows of an image before.</param>
/// <param name="width">Pixels of a row before.</param>
/// <param name="channels">Numbers of a pixel.</param>
internal sealed unsafe class DoubledSource(float* pixels, int height, int width, int channels) : PixelSource
{
    /// <inheritdoc/>
    public override void Read(int image, int row, float* room, float* to, int stride)
    {
        float* from = pixels + ((nint)image * height + row / 2) * width * channels;
        for (int x = 0; x < width; x++, from += channels, to += 2 * stride)
        {
            ImageSource.Copy(from, to, channels);
            ImageSource.Copy(from, to + stride, channels);
        }
    }
}

/// <summary>Images through group norm, FiLM and SiLU.</summary>
/// <param name="norm">The norm, measured.</param>
internal sealed unsafe class NormSource<L>(NormBatch norm) : PixelSource
    where L : unmanaged, ILanes<L>
{
    /// <inheritdoc/>
    public override int Room => 2 * norm.Channels;

    /// <inheritdoc/>
    public override void Begin(int image, float* room) => norm.Factors(image, room, room + norm.Channels);

    /// <inheritdoc/>
    public override void Read(int image, int row, float* room, float* to, int stride) => NormKernel<L, WideElement<L>>.Apply(
        (WideElement<L>*)(norm.Image(image) + (nint)row * norm.Width * norm.Channels), norm.Width, norm.Channels, norm.Channels, room, room + norm.Channels, norm.Settings.Silu, (WideElement<L>*)to, stride);
}
