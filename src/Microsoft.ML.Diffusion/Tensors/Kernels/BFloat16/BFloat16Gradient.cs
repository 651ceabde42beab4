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

    /// <summary>Steps for which gradient and input stay in the first-level cache while the taps take their turns.</summary>
    private const int ChunkSteps = 16;

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
        nint* offsets = stackalloc nint[ChunkSteps];
        for (int step = 0; step < ChunkSteps; step++)
            offsets[step] = step * MatrixUnit.Depth * sizeof(ushort);
        var product = new BlockProduct
        {
            AStride = _pieces.GradientStride * sizeof(ushort),
            ASecond = MatrixUnit.Side / 2 * _pieces.GradientStride * sizeof(ushort),
            Offsets = offsets,
            BStride = size.Inputs * 2 * sizeof(ushort),
            BSecond = MatrixUnit.Depth * sizeof(ushort),
            BStep = MatrixUnit.Depth * size.Inputs * sizeof(ushort),
            CStride = size.Taps * size.Inputs * sizeof(float),
            Accumulate = 1,
        };
        _unit.Begin();
        for (int piece = 0; piece < count; piece++, memory += _pieces.InputFloats + _pieces.GradientFloats)
        {
            ushort* x = (ushort*)memory + 2 * input, gradient = (ushort*)(memory + _pieces.InputFloats) + output * _pieces.GradientStride;
            for (int step = 0; step < _pieces.Steps; step += ChunkSteps)
            {
                product.Steps = Math.Min(ChunkSteps, _pieces.Steps - step);
                product.A = gradient + step * MatrixUnit.Depth;
                for (int tap = 0; tap < size.Taps; tap++)
                {
                    product.B = x + _pieces.TapNumbers(tap) + (nint)step * MatrixUnit.Depth * size.Inputs;
                    product.C = _dWeight + ((nint)output * size.Taps + tap) * size.Inputs + input;
                    _unit.Multiply(&product);
                }
            }
        }
        _unit.End();
    }
}

/// <summary>A batch in pieces for <see cref="BFloat16Gradient"/>: the gradient by its transpose, the input in pairs of pixels, shifted for each tap.</summary>
/// <param name="size">The weight's sizes.</param>
/// <param name="positions">Pixels of a piece, with zeros among them; zeros follow up to a multiple of 32.</param>
internal abstract unsafe class GradientPieces(WeightSize size, int positions)
{
    /// <summary>The weight's sizes.</summary>
    public WeightSize Size { get; } = size;

    /// <summary>Pieces.</summary>
    public abstract int Count { get; }

    /// <summary>Steps of 32 pixels.</summary>
    public int Steps { get; } = (positions + MatrixUnit.Depth - 1) / MatrixUnit.Depth;

    /// <summary>From an output's gradients to the next output's; an odd number of cache lines, so that 16 of them do not fall on the same lines of a cache.</summary>
    public nint GradientStride { get; } = ((positions + MatrixUnit.Depth - 1) / MatrixUnit.Depth | 1) * MatrixUnit.Depth;

    /// <summary>Floats of a piece's laid out input.</summary>
    public abstract nint InputFloats { get; }

    /// <summary>Floats of a piece's laid out gradient.</summary>
    public nint GradientFloats => Size.Outputs * GradientStride / 2;

    /// <summary>Floats that <see cref="LayOut"/> works in.</summary>
    public abstract nint Room { get; }

    /// <summary>How many numbers of the laid out input come before the pair of pixels that a tap reads for the first two outputs.</summary>
    public abstract nint TapNumbers(int tap);

    /// <summary>Lays a piece out.</summary>
    /// <param name="piece">Which.</param>
    /// <param name="input">[<see cref="InputFloats"/>], written: rows of C pairs.</param>
    /// <param name="gradient">[D, <see cref="GradientStride"/>], written.</param>
    /// <param name="sums">[D], written: the sums of the gradient's pixels; or null.</param>
    /// <param name="room">[<see cref="Room"/>].</param>
    public abstract void LayOut(int piece, ushort* input, ushort* gradient, float* sums, float* room);

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

/// <summary>
/// The images of a 3x3 convolution; small ones lie several in a piece, a row of zeros after each. The input lies there twice, in pairs that begin with an even pixel and in
/// such that begin with an odd one: whatever a tap's distance, its pairs are there.
/// </summary>
/// <param name="size">The sizes.</param>
/// <param name="x">[N, H, W, C].</param>
/// <param name="dy">[N, H, W, D].</param>
internal sealed unsafe class ConvolutionPieces(ConvolutionSize size, PixelSource x, float* dy)
    : GradientPieces(new(size.Outputs, 9, size.Inputs), ImagesTogether(size) * ImagePositions(size))
{
    /// <summary>Pixels for which it is worth while to begin a product.</summary>
    private const int WantedPositions = 256;

    private readonly int _together = ImagesTogether(size);
    private readonly int _pitch = PitchOf(size.Width);

    /// <inheritdoc/>
    public override int Count => (size.Images + _together - 1) / _together;

    /// <inheritdoc/>
    public override nint InputFloats => Pairs * 2 * size.Inputs;

    /// <inheritdoc/>
    public override nint Room => x.Room + (nint)(_pitch + 1) * size.Inputs + (nint)Steps * MatrixUnit.Depth * size.Outputs / 2 + size.Outputs;

    /// <summary>Pixels of zeros before the first and after the last: the farthest distance of a tap, up to an even number.</summary>
    private int Lead => _pitch + 2;

    /// <summary>Pairs of pixels of either kind.</summary>
    private nint Pairs => (2 * Lead + (nint)Steps * MatrixUnit.Depth) / 2;

    /// <inheritdoc/>
    public override nint TapNumbers(int tap)
    {
        int first = Lead + (tap / 3 - 1) * _pitch + (tap % 3 - 1);
        return (first / 2 + (first % 2) * Pairs) * 2 * size.Inputs;
    }

    /// <inheritdoc/>
    public override void LayOut(int piece, ushort* input, ushort* gradient, float* sums, float* room)
    {
        // Room for the source; a row of the input between zeros; a pixel of zeros; pairs of the gradient.
        float* row = room + x.Room, zeros = row + (nint)(_pitch + 1) * size.Inputs;
        ushort* gradients = (ushort*)(zeros + size.Outputs);
        new Span<float>(zeros, size.Outputs).Clear();
        new Span<float>(row, size.Inputs).Clear();
        new Span<float>(row + (nint)(size.Width + 1) * size.Inputs, (_pitch - size.Width) * size.Inputs).Clear();
        if (sums is not null)
            new Span<float>(sums, size.Outputs).Clear();

        nint rowNumbers = (nint)_pitch * size.Inputs, gradientNumbers = (nint)_pitch * size.Outputs;
        ushort* even = input, odd = input + Pairs * 2 * size.Inputs;
        new Span<ushort>(even, Lead * size.Inputs).Clear();
        new Span<ushort>(odd, Lead * size.Inputs).Clear();
        even += Lead * size.Inputs;
        // The pair of the last zero and the first pixel.
        odd += (Lead - 2) * size.Inputs;
        int first = piece * _together, images = Math.Min(_together, size.Images - first);
        for (int image = first; image < first + images; image++)
        {
            x.Begin(image, room);
            for (int top = 0; top < size.Height; top++, even += rowNumbers, odd += rowNumbers, gradients += gradientNumbers)
            {
                x.Read(image, top, room, row + size.Inputs, size.Inputs);
                for (int column = 0; column < _pitch; column += 2)
                {
                    float* pixel = row + (nint)column * size.Inputs;
                    BFloat16Layout.Pairs(pixel, pixel + size.Inputs, size.Inputs, odd + (nint)column * size.Inputs);
                    BFloat16Layout.Pairs(pixel + size.Inputs, pixel + 2 * size.Inputs, size.Inputs, even + (nint)column * size.Inputs);
                }
                float* slopes = dy + ((nint)image * size.Height + top) * size.Width * size.Outputs;
                if (sums is not null)
                    AddRows(slopes, size.Width, size.Outputs, sums);
                for (int column = 0; column < _pitch; column += 2)
                {
                    float* slope = slopes + (nint)column * size.Outputs;
                    BFloat16Layout.Pairs(
                        column < size.Width ? slope : zeros, column + 1 < size.Width ? slope + size.Outputs : zeros, size.Outputs, gradients + (nint)column * size.Outputs);
                }
            }
            new Span<ushort>(even, (int)rowNumbers).Clear();
            new Span<ushort>(odd, (int)rowNumbers).Clear();
            new Span<ushort>(gradients, (int)gradientNumbers).Clear();
            even += rowNumbers;
            odd += rowNumbers;
            gradients += gradientNumbers;
        }
        new Span<ushort>(even, (int)(input + Pairs * 2 * size.Inputs - even)).Clear();
        new Span<ushort>(odd, (int)(input + Pairs * 4 * size.Inputs - odd)).Clear();
        ushort* begin = (ushort*)(zeros + size.Outputs), end = begin + (nint)Steps * MatrixUnit.Depth * size.Outputs;
        new Span<ushort>(gradients, (int)(end - gradients)).Clear();
        BFloat16Layout.Columns(begin, Steps * MatrixUnit.Depth, size.Outputs, gradient, GradientStride);
    }

    /// <summary>Pixels of a row with a zero after them, or two: an even number, so that pixels keep their parity from row to row.</summary>
    private static int PitchOf(int width) => (width + 2) / 2 * 2;

    private static int ImagePositions(ConvolutionSize size) => (size.Height + 1) * PitchOf(size.Width);

    private static int ImagesTogether(ConvolutionSize size) => Math.Clamp(WantedPositions / ImagePositions(size), 1, size.Images);
}

/// <summary>Rows of a product, some hundred a piece.</summary>
/// <param name="rows">Their number.</param>
/// <param name="inputs">Columns of x.</param>
/// <param name="outputs">Columns of dy.</param>
/// <param name="x">[rows, inputs]; null where <paramref name="source"/> gives it.</param>
/// <param name="source">Computes x; or null.</param>
/// <param name="dy">[rows, outputs].</param>
internal sealed unsafe class ProductPieces(nint rows, int inputs, int outputs, float* x, RowSource? source, float* dy)
    : GradientPieces(new(outputs, 1, inputs), (int)Math.Min(rows, PieceRows))
{
    private const int PieceRows = 512;

    /// <inheritdoc/>
    public override int Count => (int)((rows + PieceRows - 1) / PieceRows);

    /// <inheritdoc/>
    public override nint Room => (source is null ? 0 : (nint)MatrixUnit.Depth * inputs) + (nint)Steps * MatrixUnit.Depth * outputs / 2 + Math.Max(inputs, outputs);

    /// <inheritdoc/>
    public override nint InputFloats => (nint)Steps * MatrixUnit.Depth * inputs / 2;

    /// <inheritdoc/>
    public override nint TapNumbers(int tap) => 0;

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
        BFloat16Layout.Columns(pairs, Steps * MatrixUnit.Depth, outputs, gradient, GradientStride);
    }
}
