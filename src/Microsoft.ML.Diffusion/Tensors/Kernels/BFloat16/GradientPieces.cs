using System.Runtime.CompilerServices;

namespace Microsoft.ML.Diffusion;

/// <summary>A batch in pieces for <see cref="BFloat16Gradient"/>: the gradient by its transpose, the input in pairs of pixels, shifted for each tap.</summary>
/// <param name="size">The weight's sizes.</param>
/// <param name="positions">Pixels of a piece, with zeros among them; zeros follow up to a multiple of 32.</param>
internal abstract unsafe class GradientPieces(WeightSize size, int positions)
{
    /// <summary>The weight's sizes.</summary>
    public WeightSize Size { get; } = size;

    /// <summary>Pieces.</summary>
    public abstract int Count { get; }

    /// <summary>Parts of a piece's gradient, which share its input: each has as many of the taps, one part's after the other's.</summary>
    public virtual int Parts => 1;

    /// <summary>Steps of 32 pixels.</summary>
    public int Steps { get; } = (positions + MatrixUnit.Depth - 1) / MatrixUnit.Depth;

    /// <summary>Pixels of a piece's laid out input, two for each pair.</summary>
    public abstract nint Pixels { get; }

    /// <summary>Floats that laying out works in.</summary>
    /// <param name="inputs">Channels of the input that are laid out.</param>
    /// <param name="outputs">Those of the gradient.</param>
    public abstract nint Room(int inputs, int outputs);

    /// <summary>How many pixels of the laid out input come before the pair that a tap reads for the first two outputs.</summary>
    public abstract nint FirstPixel(int tap);

    /// <summary>Lays some channels of a piece's input out.</summary>
    /// <param name="piece">Which.</param>
    /// <param name="channels">Which.</param>
    /// <param name="to">[channels / 32, <see cref="Pixels"/> / 2, 32, 2], written.</param>
    /// <param name="room">[<see cref="Room"/>].</param>
    public abstract void LayOutInput(int piece, ChannelRange channels, ushort* to, float* room);

    /// <summary>Lays some channels of a piece's gradient out.</summary>
    /// <param name="piece">Which.</param>
    /// <param name="part">Which of its parts.</param>
    /// <param name="channels">Which.</param>
    /// <param name="to">[channels / 16, <see cref="Steps"/>, 16, 32], written.</param>
    /// <param name="sums">[channels], the pixels added to; or null.</param>
    /// <param name="room">[<see cref="Room"/>].</param>
    public abstract void LayOutGradient(int piece, int part, ChannelRange channels, ushort* to, float* sums, float* room);

    /// <summary>Writes two pixels as a row of pairs.</summary>
    /// <param name="first">[columns].</param>
    /// <param name="second">[columns].</param>
    /// <param name="columns">Their number.</param>
    /// <param name="to">[columns, 2], written.</param>
    protected static void WritePair(ushort* first, ushort* second, int columns, ushort* to) => BFloat16Layout.PairBlocks(first, second, columns, to, 2 * MatrixUnit.Side);
}

/// <summary>
/// The images of a 3x3 convolution; small ones lie several in a piece, a row of zeros after each, large ones in bands of rows. The input lies there twice, in pairs that begin with an even pixel and in
/// such that begin with an odd one: whatever a tap's distance, its pairs are there. Where the convolution doubles its images, the gradient comes in four parts, of every other pixel of every other row,
/// and the taps are <see cref="DoubledTaps"/>.
/// </summary>
/// <param name="size">The sizes, before images are doubled.</param>
/// <param name="x">[N, H, W, C].</param>
/// <param name="dy">[N, H, W, D]; doubled: [N, 2H, 2W, D].</param>
/// <param name="doubled">Whether the convolution doubles its images.</param>
internal sealed unsafe class ConvolutionPieces(ConvolutionSize size, BFloat16Source x, ushort* dy, bool doubled = false)
    : GradientPieces(new(size.Outputs, doubled ? DoubledTaps.Count : 9, size.Inputs), ImagesTogether(size) * (RowsTogether(size) + 1) * PitchOf(size.Width))
{
    /// <summary>Pixels of small images that are worth a piece: sums are read and written once a piece.</summary>
    private const int WantedPositions = 1024;

    /// <summary>Pixels of a piece of a large image: what is laid out stays in a core's cache.</summary>
    private const int MostPositions = 2048;

    private readonly int _images = ImagesTogether(size);
    private readonly int _rows = RowsTogether(size);
    private readonly int _pitch = PitchOf(size.Width);
    private readonly int _scale = doubled ? 2 : 1;

    /// <inheritdoc/>
    public override int Count => (size.Images + _images - 1) / _images * Bands;

    /// <inheritdoc/>
    public override int Parts => _scale * _scale;

    /// <summary>Bands of an image.</summary>
    private int Bands => (size.Height + _rows - 1) / _rows;

    /// <inheritdoc/>
    public override nint Pixels => 2 * OfAParity;

    /// <summary>Pixels of zeros before the first and after the last: the farthest distance of a tap, up to an even number.</summary>
    private int Lead => _pitch + 2;

    /// <summary>Pixels in pairs of one kind.</summary>
    private nint OfAParity => 2 * Lead + (nint)Steps * MatrixUnit.Depth;

    /// <inheritdoc/>
    public override nint Room(int inputs, int outputs) => x.Room + Math.Max((nint)(_pitch + 1) * inputs, ((nint)Steps * MatrixUnit.Depth + 1) * outputs) / 2;

    /// <inheritdoc/>
    public override nint FirstPixel(int tap)
    {
        // A part's taps lie further down and to the right as its pixels do.
        var (row, column) = doubled ? (tap / 8 + tap / 2 % 2, tap / 4 % 2 + tap % 2) : (tap / 3, tap % 3);
        int first = Lead + (row - 1) * _pitch + (column - 1);
        return first % 2 == 0 ? first : OfAParity + first - 1;
    }

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void LayOutInput(int piece, ChannelRange channels, ushort* to, float* room)
    {
        // Room for the source; a row between zeros.
        int count = channels.Count;
        ushort* row = (ushort*)(room + x.Room);
        new Span<ushort>(row, count).Clear();
        new Span<ushort>(row + (size.Width + 1) * count, (_pitch - size.Width) * count).Clear();

        // Before the first row of a band lies the row above it.
        nint even = Lead - _pitch, odd = OfAParity + Lead - 2 - _pitch;
        ClearPixels(to, count, 0, even);
        var (first, images, top, height) = Piece(piece);
        for (int image = first; image < first + images; image++)
        {
            x.Begin(image, room);
            // Between two images one row of zeros is enough.
            for (int y = image == first ? top - 1 : top; y <= top + height; y++, even += _pitch, odd += _pitch)
            {
                if (y < 0 || y >= size.Height)
                {
                    ClearPixels(to, count, even, _pitch);
                    ClearPixels(to, count, odd, _pitch);
                    continue;
                }
                x.Read(image, y, channels, room, row + count);
                // The first odd pair is the zero before the row and its first pixel.
                WritePairs(row, count, to + odd * MatrixUnit.Side);
                WritePairs(row + count, count, to + even * MatrixUnit.Side);
            }
        }
        ClearPixels(to, count, even, OfAParity - even);
        ClearPixels(to, count, odd, Pixels - odd);
    }

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void LayOutGradient(int piece, int part, ChannelRange channels, ushort* to, float* sums, float* room)
    {
        // A pixel of zeros, then pairs.
        int count = channels.Count, numbers = _pitch * count;
        ushort* zeros = (ushort*)room, pairs = zeros + count, next = pairs;
        new Span<ushort>(zeros, count).Clear();
        var (first, images, top, height) = Piece(piece);
        for (int image = first; image < first + images; image++)
        {
            for (int y = top; y < top + height; y++)
            {
                nint row = ((nint)image * size.Height + y) * _scale + part / 2;
                int pixel = _scale * size.Outputs;
                ushort* slope = dy + (row * _scale * size.Width + part % 2) * size.Outputs + channels.First;
                if (sums is not null)
                    SumKernel.AddRows((NarrowElement*)slope, size.Width, count, pixel, sums);
                for (int column = 0; column < _pitch; column += 2, slope += 2 * pixel, next += 2 * count)
                    WritePair(column < size.Width ? slope : zeros, column + 1 < size.Width ? slope + pixel : zeros, count, next);
            }
            new Span<ushort>(next, numbers).Clear();
            next += numbers;
        }
        new Span<ushort>(next, (int)(pairs + (nint)Steps * MatrixUnit.Depth * count - next)).Clear();
        BFloat16Layout.Columns(pairs, Steps * MatrixUnit.Depth, count, to);
    }

    /// <summary>Writes a row's pixels two by two.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void WritePairs(ushort* row, int channels, ushort* to)
    {
        nint block = Pixels * MatrixUnit.Side;
        for (int column = 0; column < _pitch; column += 2, row += 2 * channels, to += 2 * MatrixUnit.Side)
            BFloat16Layout.PairBlocks(row, row + channels, channels, to, block);
    }

    private void ClearPixels(ushort* to, int channels, nint first, nint count)
    {
        for (int c = 0; c < channels; c += MatrixUnit.Side)
            new Span<ushort>(to + c * Pixels + first * MatrixUnit.Side, checked((int)count) * MatrixUnit.Side).Clear();
    }

    /// <summary>Pixels of a row with a zero after them, or two: an even number, so that pixels keep their parity from row to row.</summary>
    private static int PitchOf(int width) => (width + 2) / 2 * 2;

    private static int RowsTogether(ConvolutionSize size) => Math.Clamp(MostPositions / PitchOf(size.Width) - 1, 1, size.Height);

    private static int ImagesTogether(ConvolutionSize size) =>
        RowsTogether(size) < size.Height ? 1 : Math.Clamp(WantedPositions / ((size.Height + 1) * PitchOf(size.Width)), 1, size.Images);

    private (int First, int Images, int Top, int Height) Piece(int piece)
    {
        int first = piece / Bands * _images, top = piece % Bands * _rows;
        return (first, Math.Min(_images, size.Images - first), top, Math.Min(_rows, size.Height - top));
    }
}

/// <summary>Rows of a product, some hundred a piece.</summary>
/// <param name="rows">Their number.</param>
/// <param name="inputs">Columns of x.</param>
/// <param name="outputs">Columns of dy.</param>
/// <param name="x">[rows, inputs]; not read where there is a <paramref name="source"/>.</param>
/// <param name="source">Computes x; or null.</param>
/// <param name="dy">[rows, outputs].</param>
internal sealed unsafe class ProductPieces(nint rows, int inputs, int outputs, ImageMemory x, BFloat16Rows? source, ushort* dy)
    : GradientPieces(new(outputs, 1, inputs), (int)Math.Min(rows, PieceRows))
{
    private const int PieceRows = 512;

    /// <inheritdoc/>
    public override int Count => (int)((rows + PieceRows - 1) / PieceRows);

    /// <inheritdoc/>
    public override nint Pixels => (nint)Steps * MatrixUnit.Depth;

    /// <inheritdoc/>
    public override nint Room(int inputChannels, int outputChannels) => Math.Max(MatrixUnit.Depth * (nint)inputs, (Pixels + 1) * outputChannels) / 2 + inputs;

    /// <inheritdoc/>
    public override nint FirstPixel(int tap) => 0;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void LayOutInput(int piece, ChannelRange channels, ushort* to, float* room)
    {
        nint first = (nint)piece * PieceRows;
        int count = (int)Math.Min(PieceRows, rows - first);
        ushort* zeros = (ushort*)room, computed = zeros + inputs;
        new Span<ushort>(zeros, inputs).Clear();
        for (int row = 0; row < Pixels; row += MatrixUnit.Depth)
        {
            int taken = Math.Clamp(count - row, 0, MatrixUnit.Depth);
            if (source is not null && taken > 0)
                source.Read(first + row, taken, computed);
            for (int at = 0; at < channels.Count;)
            {
                ChannelRange rest = channels with { First = channels.First + at };
                ChannelRun<ushort> run = source is null ? x.Run<ushort>(first + row, rest) : new(computed + rest.First, inputs, rest.Count);
                ushort* pairs = to + at * Pixels;
                for (int i = 0; i < MatrixUnit.Depth; i += 2, pairs += 2 * MatrixUnit.Side)
                {
                    ushort* even = i < taken ? run.First + (nint)i * run.Stride : zeros, odd = i + 1 < taken ? run.First + (nint)(i + 1) * run.Stride : zeros;
                    BFloat16Layout.PairBlocks(even, odd, run.Count, pairs, Pixels * MatrixUnit.Side);
                }
                at += run.Count;
            }
            to += MatrixUnit.Depth * MatrixUnit.Side;
        }
    }

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void LayOutGradient(int piece, int part, ChannelRange channels, ushort* to, float* sums, float* room)
    {
        nint first = (nint)piece * PieceRows;
        int count = (int)Math.Min(PieceRows, rows - first);
        ushort* zeros = (ushort*)room, pairs = zeros + channels.Count, slope = dy + first * outputs + channels.First;
        new Span<ushort>(zeros, channels.Count).Clear();
        if (sums is not null)
            SumKernel.AddRows((NarrowElement*)slope, count, channels.Count, outputs, sums);
        ushort* next = pairs;
        for (int row = 0; row < Pixels; row += 2, slope += 2 * outputs, next += 2 * channels.Count)
            WritePair(row < count ? slope : zeros, row + 1 < count ? slope + outputs : zeros, channels.Count, next);
        BFloat16Layout.Columns(pairs, (int)Pixels, channels.Count, to);
    }
}
