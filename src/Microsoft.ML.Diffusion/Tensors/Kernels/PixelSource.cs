namespace Microsoft.ML.Diffusion;

/// <summary>
/// Where a convolution takes its input from, a row of pixels at a time: what comes before a convolution is computed as it is read and never stored.
/// Read by several threads at once.
/// </summary>
internal abstract unsafe class PixelSource
{
    /// <summary>Images of float32.</summary>
    /// <param name="pixels">[images, height, width, channels].</param>
    /// <param name="height">Rows of an image.</param>
    /// <param name="width">Pixels of a row.</param>
    /// <param name="channels">Numbers of a pixel.</param>
    /// <param name="doubled">Whether each pixel is to be read four times.</param>
    public static PixelSource Of(float* pixels, int height, int width, int channels, bool doubled = false) => Lanes.Dividing(channels) switch
    {
        16 => Of<Lanes512, WideElement<Lanes512>>((WideElement<Lanes512>*)pixels, height, width, channels, doubled),
        8 => Of<Lanes256, WideElement<Lanes256>>((WideElement<Lanes256>*)pixels, height, width, channels, doubled),
        _ => Of<Lanes128, WideElement<Lanes128>>((WideElement<Lanes128>*)pixels, height, width, channels, doubled),
    };

    /// <summary>Images of bfloat16.</summary>
    /// <param name="pixels">[images, height, width, channels].</param>
    /// <param name="height">Rows of an image.</param>
    /// <param name="width">Pixels of a row.</param>
    /// <param name="channels">Numbers of a pixel; a multiple of 16.</param>
    /// <param name="doubled">Whether each pixel is to be read four times.</param>
    public static PixelSource Of(ushort* pixels, int height, int width, int channels, bool doubled = false) =>
        Of<Lanes512, NarrowElement>((NarrowElement*)pixels, height, width, channels, doubled);

    /// <summary>The most channels that are read at a time: fewer would leave gaps between what is read, the rows of more would not fit a core's second-level cache.</summary>
    public const int MostChannels = 128;

    /// <summary>Floats that a reader has to have for <see cref="Begin"/>.</summary>
    public const int Room = 2 * MostChannels;

    /// <summary>Whether each pixel comes four times, as neighbours.</summary>
    public virtual bool Doubles => false;

    /// <summary>Prepares what the rows of an image share.</summary>
    /// <param name="image">Which image.</param>
    /// <param name="channels">Which channels, at most <see cref="MostChannels"/>.</param>
    /// <param name="room">[<see cref="Room"/>], filled.</param>
    public virtual void Begin(int image, ChannelRange channels, float* room)
    {
    }

    /// <summary>Writes some channels of one row of one image.</summary>
    /// <param name="image">Which image.</param>
    /// <param name="row">Which row, inside the image.</param>
    /// <param name="channels">Which channels, those of <see cref="Begin"/>.</param>
    /// <param name="room">As <see cref="Begin"/> left it.</param>
    /// <param name="to">[width, stride]; what lies between channels and stride is left alone.</param>
    /// <param name="stride">From a pixel to the next, at least the channels.</param>
    public abstract void Read(int image, int row, ChannelRange channels, float* room, float* to, int stride);

    /// <summary>Adds to how large the numbers are that such a row is read as, or may be; channels are multiples of twice the lanes.</summary>
    /// <param name="image">Which image.</param>
    /// <param name="row">Which row, inside the image.</param>
    /// <param name="channels">Which channels, those of <see cref="Begin"/>.</param>
    /// <param name="room">As <see cref="Begin"/> left it.</param>
    /// <param name="size">Added to, from the first of the channels on.</param>
    /// <param name="times">How many rows of tiles see it; of each four pixels the first and the last count twice as often, for the tiles beside theirs.</param>
    public abstract void Measure(int image, int row, ChannelRange channels, float* room, TileSize size, float times);

    private static PixelSource Of<L, E>(E* pixels, int height, int width, int channels, bool doubled)
        where L : unmanaged, ILanes<L>
        where E : unmanaged, IElement<E, L> =>
        doubled ? new DoubledSource<L, E>(pixels, height, width, channels) : new ImageSource<L, E>(pixels, height, width, channels);
}

/// <summary>Images as they lie in memory.</summary>
/// <param name="pixels">[images, height, width, channels].</param>
/// <param name="height">Rows of an image.</param>
/// <param name="width">Pixels of a row.</param>
/// <param name="channels">Numbers of a pixel.</param>
/// <typeparam name="L">The register.</typeparam>
/// <typeparam name="E">The images' numbers.</typeparam>
internal sealed unsafe class ImageSource<L, E>(E* pixels, int height, int width, int channels) : PixelSource
    where L : unmanaged, ILanes<L>
    where E : unmanaged, IElement<E, L>
{
    /// <inheritdoc/>
    public override void Read(int image, int row, ChannelRange range, float* room, float* to, int stride)
    {
        E* from = pixels + ((nint)image * height + row) * width * channels + range.First;
        for (int x = 0; x < width; x++, from += channels, to += stride)
            E.Read(from, range.Count, to);
    }

    /// <inheritdoc/>
    public override void Measure(int image, int row, ChannelRange range, float* room, TileSize size, float times) =>
        TileSize<L, E>.Add(pixels + ((nint)image * height + row) * width * channels + range.First, width, range.Count, channels, size, times, 2 * times);
}

/// <summary>Images of twice the size, each pixel four times (nearest neighbours).</summary>
/// <param name="pixels">[images, height, width, channels].</param>
/// <param name="height">Rows of an image before.</param>
/// <param name="width">Pixels of a row before.</param>
/// <param name="channels">Numbers of a pixel.</param>
/// <typeparam name="L">The register.</typeparam>
/// <typeparam name="E">The images' numbers.</typeparam>
internal sealed unsafe class DoubledSource<L, E>(E* pixels, int height, int width, int channels) : PixelSource
    where L : unmanaged, ILanes<L>
    where E : unmanaged, IElement<E, L>
{
    /// <inheritdoc/>
    public override bool Doubles => true;

    /// <inheritdoc/>
    public override void Read(int image, int row, ChannelRange range, float* room, float* to, int stride)
    {
        E* from = pixels + ((nint)image * height + row / 2) * width * channels + range.First;
        for (int x = 0; x < width; x++, from += channels, to += 2 * stride)
        {
            E.Read(from, range.Count, to);
            E.Read(from, range.Count, to + stride);
        }
    }

    /// <inheritdoc/>
    /// <remarks>One of a pixel's two neighbours lies at a tile's edge.</remarks>
    public override void Measure(int image, int row, ChannelRange range, float* room, TileSize size, float times) =>
        TileSize<L, E>.Add(pixels + ((nint)image * height + row / 2) * width * channels + range.First, width, range.Count, channels, size, 3 * times, 3 * times);
}

/// <summary>Images through group norm, FiLM and SiLU.</summary>
/// <param name="norm">The norm, measured.</param>
/// <typeparam name="L">The register.</typeparam>
/// <typeparam name="E">The images' numbers.</typeparam>
internal sealed unsafe class NormSource<L, E>(NormBatch norm) : PixelSource
    where L : unmanaged, ILanes<L>
    where E : unmanaged, IElement<E, L>
{
    /// <inheritdoc/>
    public override void Begin(int image, ChannelRange channels, float* room) => norm.Factors(image, channels, room, room + MostChannels);

    /// <inheritdoc/>
    public override void Read(int image, int row, ChannelRange range, float* room, float* to, int stride)
    {
        for (int at = 0; at < range.Count;)
        {
            var run = norm.Run<E>(image, row, range with { First = range.First + at });
            NormKernel<L, E>.Apply(
                run.First, norm.Width, run.Count, run.Stride, room + at, room + MostChannels + at, norm.Settings.Silu, (WideElement<L>*)to + at, stride);
            at += run.Count;
        }
    }

    /// <inheritdoc/>
    public override void Measure(int image, int row, ChannelRange range, float* room, TileSize size, float times)
    {
        for (int at = 0; at < range.Count;)
        {
            var run = norm.Run<E>(image, row, range with { First = range.First + at });
            TileSize<L, E>.AddNormed(run.First, norm.Width, run.Count, run.Stride, room + at, room + MostChannels + at, norm.Settings.Silu, size.From(at), times, 2 * times);
            at += run.Count;
        }
    }
}
