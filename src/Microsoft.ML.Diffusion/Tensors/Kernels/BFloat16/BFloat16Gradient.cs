using System.Runtime.CompilerServices;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// The gradient of a weight, Σ dy·x over pixels: pieces of the batch are laid out, dy by its transpose and x in pairs of pixels, then each core takes some blocks of the weight
/// through all pieces in turn. The result does not depend on how many cores there are.
/// </summary>
internal sealed unsafe class BFloat16Gradient
{
    /// <summary>Floats of laid out pieces that are worked on together.</summary>
    private const int BatchFloats = 2 << 20;

    private readonly MatrixUnit _unit;
    private readonly GradientPieces _pieces;
    private readonly float* _dWeight;
    private readonly float* _dBias;

    private BFloat16Gradient(MatrixUnit unit, GradientPieces pieces, float* dWeight, float* dBias)
    {
        _unit = unit;
        _pieces = pieces;
        _dWeight = dWeight;
        _dBias = dBias;
    }

    /// <summary>Adds the gradient up.</summary>
    /// <param name="unit">Multiplies.</param>
    /// <param name="pieces">The batch.</param>
    /// <param name="dWeight">[D, taps, C], added to.</param>
    /// <param name="dBias">[D], written; or null.</param>
    public static void Add(MatrixUnit unit, GradientPieces pieces, float* dWeight, float* dBias) => new BFloat16Gradient(unit, pieces, dWeight, dBias).Run();

    private void Run()
    {
        var size = _pieces.Size;
        nint floats = _pieces.InputFloats + _pieces.GradientFloats;
        int together = (int)Math.Clamp(BatchFloats / floats, 1, _pieces.Count);
        float* memory = KernelMemory.Shared(together * floats + (nint)_pieces.Count * size.Outputs), sums = memory + together * floats;
        for (int piece = 0; piece < _pieces.Count; piece += together)
        {
            int first = piece, count = Math.Min(together, _pieces.Count - piece);
            Cores.Run(count, i => LayOut(first + i, memory + i * floats, sums + (nint)(first + i) * size.Outputs));
            int across = size.Inputs / MatrixUnit.Depth;
            Cores.Run(size.Outputs / MatrixUnit.Side * across, block => Accumulate(memory, count, block / across * MatrixUnit.Side, block % across * MatrixUnit.Depth));
        }
        for (int output = 0; output < size.Outputs && _dBias is not null; output++)
        {
            double sum = 0;
            for (int piece = 0; piece < _pieces.Count; piece++)
                sum += sums[(nint)piece * size.Outputs + output];
            _dBias[output] = (float)sum;
        }
    }

    private void LayOut(int piece, float* to, float* sums)
    {
        float* room = KernelMemory.Own(_pieces.Room);
        _pieces.LayOut(piece, (ushort*)to, (ushort*)(to + _pieces.InputFloats), _dBias is null ? null : sums, room);
    }

    /// <summary>A block of outputs and inputs of the weight, all taps, over some pieces.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Accumulate(float* memory, int count, int output, int input)
    {
        var size = _pieces.Size;
        nint* offsets = stackalloc nint[_pieces.Steps];
        for (int step = 0; step < _pieces.Steps; step++)
            offsets[step] = step * MatrixUnit.Depth * sizeof(ushort);
        var product = new BlockProduct
        {
            AStride = _pieces.GradientStride * sizeof(ushort),
            ASecond = MatrixUnit.Side / 2 * _pieces.GradientStride * sizeof(ushort),
            Offsets = offsets,
            Steps = _pieces.Steps,
            BStride = size.Inputs * 2 * sizeof(ushort),
            BSecond = MatrixUnit.Depth * sizeof(ushort),
            BStep = MatrixUnit.Depth * size.Inputs * sizeof(ushort),
            CStride = size.Taps * size.Inputs * sizeof(float),
            Accumulate = 1,
        };
        _unit.Begin();
        for (int piece = 0; piece < count; piece++, memory += _pieces.InputFloats + _pieces.GradientFloats)
        {
            product.B = (ushort*)memory + 2 * input;
            ushort* gradient = (ushort*)(memory + _pieces.InputFloats) + output * _pieces.GradientStride + _pieces.Lead;
            for (int tap = 0; tap < size.Taps; tap++)
            {
                product.A = gradient - _pieces.Distance(tap);
                product.C = _dWeight + ((nint)output * size.Taps + tap) * size.Inputs + input;
                _unit.Multiply(&product);
            }
        }
        _unit.End();
    }
}

/// <summary>A batch in pieces for <see cref="BFloat16Gradient"/>.</summary>
/// <param name="size">The weight's sizes.</param>
/// <param name="positions">Pixels of a piece, with zeros among them; up to a multiple of 32 more zeros follow.</param>
/// <param name="lead">Zeros that lie before and after the gradient's pixels: the farthest distance of a tap.</param>
internal abstract unsafe class GradientPieces(WeightSize size, int positions, int lead)
{
    /// <summary>The weight's sizes.</summary>
    public WeightSize Size { get; } = size;

    /// <summary>Pieces.</summary>
    public abstract int Count { get; }

    /// <summary>Steps of 32 pixels.</summary>
    public int Steps { get; } = (positions + MatrixUnit.Depth - 1) / MatrixUnit.Depth;

    /// <summary>Zeros before an output's gradients.</summary>
    public int Lead { get; } = lead;

    /// <summary>From an output's gradients to the next output's; an odd number of cache lines, so that 16 of them do not fall on the same lines of a cache.</summary>
    public nint GradientStride { get; } = (((nint)(positions + MatrixUnit.Depth - 1) / MatrixUnit.Depth * MatrixUnit.Depth + 2 * lead + 31) / 32 | 1) * 32;

    /// <summary>Floats of a piece's laid out input.</summary>
    public nint InputFloats => (nint)Steps * MatrixUnit.Depth * Size.Inputs / 2;

    /// <summary>Floats of a piece's laid out gradient.</summary>
    public nint GradientFloats => Size.Outputs * GradientStride / 2;

    /// <summary>Floats that <see cref="LayOut"/> works in.</summary>
    public abstract nint Room { get; }

    /// <summary>How many pixels lie between what a tap reads and the output that it belongs to.</summary>
    public abstract int Distance(int tap);

    /// <summary>Lays a piece out.</summary>
    /// <param name="piece">Which.</param>
    /// <param name="input">[pixels / 2, C, 2], written.</param>
    /// <param name="gradient">[D, <see cref="GradientStride"/>], written.</param>
    /// <param name="sums">[D], written: the sums of the gradient's pixels; or null.</param>
    /// <param name="room">[<see cref="Room"/>].</param>
    public abstract void LayOut(int piece, ushort* input, ushort* gradient, float* sums, float* room);

    /// <summary>Lays the gradient out from its pairs of pixels.</summary>
    /// <param name="pairs">[<see cref="Steps"/>·32 / 2, D, 2].</param>
    /// <param name="gradient">[D, <see cref="GradientStride"/>], written.</param>
    protected void Transpose(ushort* pairs, ushort* gradient)
    {
        int pixels = Steps * MatrixUnit.Depth;
        BFloat16Layout.Columns(pairs, pixels, Size.Outputs, gradient + Lead, GradientStride);
        for (int output = 0; output < Size.Outputs && Lead > 0; output++, gradient += GradientStride)
        {
            new Span<ushort>(gradient, Lead).Clear();
            new Span<ushort>(gradient + Lead + pixels, Lead).Clear();
        }
    }

    /// <summary>Adds rows to sums.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    protected static void AddRows(float* rows, int count, int columns, float* sums)
    {
        for (int c = 0; c < columns; c += Lanes512.Count)
        {
            Lanes512 even = Lanes512.Load(sums + c), odd = default;
            float* from = rows + c;
            int row = 0;
            for (; row + 1 < count; row += 2, from += 2 * columns)
            {
                even += Lanes512.Load(from);
                odd += Lanes512.Load(from + columns);
            }
            if (row < count)
                even += Lanes512.Load(from);
            Lanes512.Store(even + odd, sums + c);
        }
    }
}

/// <summary>The images of a 3x3 convolution, a piece each.</summary>
/// <param name="size">The sizes.</param>
/// <param name="x">[N, H, W, C].</param>
/// <param name="dy">[N, H, W, D].</param>
internal sealed unsafe class ConvolutionPieces(ConvolutionSize size, PixelSource x, float* dy)
    : GradientPieces(new(size.Outputs, 9, size.Inputs), size.Height * PitchOf(size.Width), PitchOf(size.Width) + 1)
{
    /// <inheritdoc/>
    public override int Count => size.Images;

    /// <inheritdoc/>
    public override nint Room => x.Room + (nint)Pitch * size.Inputs + (nint)Steps * MatrixUnit.Depth * size.Outputs / 2 + Math.Max(size.Inputs, size.Outputs);

    private int Pitch => PitchOf(size.Width);

    /// <inheritdoc/>
    public override int Distance(int tap) => (tap / 3 - 1) * Pitch + (tap % 3 - 1);

    /// <inheritdoc/>
    public override void LayOut(int piece, ushort* input, ushort* gradient, float* sums, float* room)
    {
        // Room for the source, a row of the input, a pixel of zeros, pairs of the gradient.
        int widest = Math.Max(size.Inputs, size.Outputs);
        float* row = room + x.Room, zeros = row + (nint)Pitch * size.Inputs;
        ushort* pairs = (ushort*)(zeros + widest);
        new Span<float>(zeros, widest).Clear();
        new Span<float>(row + (nint)size.Width * size.Inputs, (Pitch - size.Width) * size.Inputs).Clear();
        if (sums is not null)
            new Span<float>(sums, size.Outputs).Clear();

        x.Begin(piece, room);
        ushort* to = pairs;
        for (int top = 0; top < size.Height; top++)
        {
            x.Read(piece, top, room, row, size.Inputs);
            for (int column = 0; column < Pitch; column += 2, input += 2 * size.Inputs)
                BFloat16Layout.Pairs(row + (nint)column * size.Inputs, row + (nint)(column + 1) * size.Inputs, size.Inputs, input);

            float* from = dy + ((nint)piece * size.Height + top) * size.Width * size.Outputs;
            if (sums is not null)
                AddRows(from, size.Width, size.Outputs, sums);
            for (int column = 0; column < Pitch; column += 2, to += 2 * size.Outputs)
            {
                float* first = from + (nint)column * size.Outputs;
                BFloat16Layout.Pairs(column < size.Width ? first : zeros, column + 1 < size.Width ? first + size.Outputs : zeros, size.Outputs, to);
            }
        }
        int rest = Steps * MatrixUnit.Depth - size.Height * Pitch;
        new Span<ushort>(input, rest * size.Inputs).Clear();
        new Span<ushort>(to, rest * size.Outputs).Clear();
        Transpose(pairs, gradient);
    }

    /// <summary>Pixels of a row with a zero after them, or two: an even number, so that no pair lies in two rows.</summary>
    private static int PitchOf(int width) => (width + 2) / 2 * 2;
}

/// <summary>Rows of a product, some hundred a piece.</summary>
/// <param name="rows">Their number.</param>
/// <param name="inputs">Columns of x.</param>
/// <param name="outputs">Columns of dy.</param>
/// <param name="x">[rows, inputs]; null where <paramref name="source"/> gives it.</param>
/// <param name="source">Computes x; or null.</param>
/// <param name="dy">[rows, outputs].</param>
internal sealed unsafe class ProductPieces(nint rows, int inputs, int outputs, float* x, RowSource? source, float* dy)
    : GradientPieces(new(outputs, 1, inputs), (int)Math.Min(rows, PieceRows), 0)
{
    private const int PieceRows = 512;

    /// <inheritdoc/>
    public override int Count => (int)((rows + PieceRows - 1) / PieceRows);

    /// <inheritdoc/>
    public override nint Room => (source is null ? 0 : (nint)MatrixUnit.Depth * inputs) + (nint)Steps * MatrixUnit.Depth * outputs / 2 + Math.Max(inputs, outputs);

    /// <inheritdoc/>
    public override int Distance(int tap) => 0;

    /// <inheritdoc/>
    public override void LayOut(int piece, ushort* input, ushort* gradient, float* sums, float* room)
    {
        nint first = (nint)piece * PieceRows;
        int count = (int)Math.Min(PieceRows, rows - first);
        float* zeros = room, computed = zeros + Math.Max(inputs, outputs);
        ushort* pairs = (ushort*)(computed + (source is null ? 0 : (nint)MatrixUnit.Depth * inputs)), to = pairs;
        new Span<float>(zeros, Math.Max(inputs, outputs)).Clear();
        if (sums is not null)
        {
            new Span<float>(sums, outputs).Clear();
            AddRows(dy + first * outputs, count, outputs, sums);
        }
        for (int row = 0; row < Steps * MatrixUnit.Depth; row += MatrixUnit.Depth)
        {
            int taken = Math.Clamp(count - row, 0, MatrixUnit.Depth);
            float* from = x + (first + row) * inputs, slope = dy + (first + row) * outputs;
            if (source is not null && taken > 0)
            {
                from = computed;
                source.Read(first + row, taken, from);
            }
            for (int i = 0; i < MatrixUnit.Depth; i += 2, input += 2 * inputs, to += 2 * outputs)
            {
                BFloat16Layout.Pairs(i < taken ? from + (nint)i * inputs : zeros, i + 1 < taken ? from + (nint)(i + 1) * inputs : zeros, inputs, input);
                BFloat16Layout.Pairs(i < taken ? slope + (nint)i * outputs : zeros, i + 1 < taken ? slope + (nint)(i + 1) * outputs : zeros, outputs, to);
            }
        }
        Transpose(pairs, gradient);
    }
}
