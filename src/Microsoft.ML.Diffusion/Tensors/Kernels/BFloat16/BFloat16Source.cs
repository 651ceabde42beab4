namespace Microsoft.ML.Diffusion;

/// <summary>Where a convolution of bfloat16 takes its input from, a row of pixels at a time, as <see cref="PixelSource"/> does for float32. Read by several threads at once.</summary>
internal abstract unsafe class BFloat16Source
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
    /// <param name="channels">Which channels.</param>
    /// <param name="room">As <see cref="Begin"/> left it.</param>
    /// <param name="to">[width, channels], written.</param>
    public abstract void Read(int image, int row, ChannelRange channels, float* room, ushort* to);

    /// <summary>Copies numbers.</summary>
    internal static void Copy(ushort* from, ushort* to, int count) => new ReadOnlySpan<ushort>(from, count).CopyTo(new Span<ushort>(to, count));
}

/// <summary>Images as they lie in memory.</summary>
/// <param name="pixels">[images, height, width, channels].</param>
/// <param name="height">Rows of an image.</param>
/// <param name="width">Pixels of a row.</param>
/// <param name="channels">Numbers of a pixel.</param>
internal sealed unsafe class BFloat16Image(ushort* pixels, int height, int width, int channels) : BFloat16Source
{
    /// <inheritdoc/>
    public override void Read(int image, int row, ChannelRange wanted, float* room, ushort* to)
    {
        ushort* from = pixels + ((nint)image * height + row) * width * channels;
        if (wanted.Count == channels)
        {
            Copy(from, to, width * channels);
            return;
        }
        from += wanted.First;
        for (int x = 0; x < width; x++, from += channels, to += wanted.Count)
            Copy(from, to, wanted.Count);
    }
}

/// <summary>Every other pixel of every other row.</summary>
/// <param name="pixels">[images, 2·height, 2·width, channels].</param>
/// <param name="height">Rows that are read of an image.</param>
/// <param name="width">Pixels that are read of a row.</param>
/// <param name="channels">Numbers of a pixel.</param>
/// <param name="row">The first row, 0 or 1.</param>
/// <param name="column">The first pixel, 0 or 1.</param>
internal sealed unsafe class BFloat16Quarter(ushort* pixels, int height, int width, int channels, int row, int column) : BFloat16Source
{
    /// <inheritdoc/>
    public override void Read(int image, int at, ChannelRange wanted, float* room, ushort* to)
    {
        ushort* from = pixels + ((((nint)image * height + at) * 2 + row) * 2 * width + column) * channels + wanted.First;
        for (int x = 0; x < width; x++, from += 2 * channels, to += wanted.Count)
            Copy(from, to, wanted.Count);
    }
}

/// <summary>Images through group norm, FiLM and SiLU.</summary>
/// <param name="norm">The norm, measured.</param>
internal sealed unsafe class BFloat16Norm(NormBatch norm) : BFloat16Source
{
    /// <inheritdoc/>
    public override int Room => 2 * norm.Channels;

    /// <inheritdoc/>
    public override void Begin(int image, float* room) => norm.Factors(image, room, room + norm.Channels);

    /// <inheritdoc/>
    public override void Read(int image, int row, ChannelRange wanted, float* room, ushort* to)
    {
        for (int first = wanted.First; first < wanted.End;)
        {
            var run = norm.Run<NarrowElement>(image, row, wanted with { First = first });
            float* factor = room + first, offset = factor + norm.Channels;
            NormKernel<Lanes512, NarrowElement>.Apply(
                run.First, norm.Width, run.Count, run.Stride, factor, offset, norm.Settings.Silu, (NarrowElement*)to + first - wanted.First, wanted.Count);
            first += run.Count;
        }
    }
}

/// <summary>The left factor of a product of bfloat16, some rows at a time, as <see cref="RowSource"/> does for float32. Read by several threads at once.</summary>
internal abstract unsafe class BFloat16Rows
{
    /// <summary>Writes some rows.</summary>
    /// <param name="first">The first.</param>
    /// <param name="count">How many.</param>
    /// <param name="to">[count, columns].</param>
    public abstract void Read(nint first, int count, ushort* to);
}

/// <summary>The pixels of a batch through group norm, FiLM and SiLU.</summary>
/// <param name="norm">The norm, measured.</param>
internal sealed unsafe class BFloat16NormRows(NormBatch norm) : BFloat16Rows
{
    /// <inheritdoc/>
    public override void Read(nint first, int count, ushort* to) => norm.Apply(first, count, to);
}

/// <summary>The pixels of a batch that lies in two pieces.</summary>
/// <param name="x">[N, H, W, C].</param>
internal sealed unsafe class BFloat16JoinedRows(ImageMemory x) : BFloat16Rows
{
    /// <inheritdoc/>
    public override void Read(nint first, int count, ushort* to) => x.Copy(first, count, to);
}

/// <summary>For each output of a strided convolution the pixels that it sees, side by side; zero outside the image.</summary>
/// <param name="pixels">[N, H, W, C].</param>
/// <param name="size">The sizes.</param>
internal sealed unsafe class BFloat16WindowRows(ushort* pixels, WindowSize size) : BFloat16Rows
{
    /// <inheritdoc/>
    public override void Read(nint first, int count, ushort* to) => WindowRows.Copy(pixels, size, first, count, to);
}
