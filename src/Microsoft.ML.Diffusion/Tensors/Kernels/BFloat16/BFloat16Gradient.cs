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
    private const int ChunkSteps = 10;

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
            BStride = 2 * MatrixUnit.Side * sizeof(ushort),
            BSecond = MatrixUnit.Side * sizeof(ushort),
            BStep = MatrixUnit.StepNumbers * sizeof(ushort),
            CStride = size.Taps * size.Inputs * sizeof(float),
            Accumulate = 1,
        };
        _unit.Begin();
        for (int piece = 0; piece < count; piece++, memory += _pieces.InputFloats + _pieces.GradientFloats)
        {
            ushort* x = (ushort*)memory + input * _pieces.Pixels, gradient = (ushort*)(memory + _pieces.InputFloats) + output * _pieces.GradientStride;
            for (int step = 0; step < _pieces.Steps; step += ChunkSteps)
            {
                product.Steps = Math.Min(ChunkSteps, _pieces.Steps - step);
                product.A = gradient + step * MatrixUnit.Depth;
                for (int tap = 0; tap < size.Taps; tap++)
                {
                    product.B = x + (_pieces.FirstPixel(tap) + (nint)step * MatrixUnit.Depth) * MatrixUnit.Side;
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

    /// <summary>Pixels of a piece's laid out input, two for each pair.</summary>
    public abstract nint Pixels { get; }

    /// <summary>Floats of a piece's laid out input.</summary>
    public nint InputFloats => Pixels * Size.Inputs / 2;

    /// <summary>Floats of a piece's laid out gradient.</summary>
    public nint GradientFloats => Size.Outputs * GradientStride / 2;

    /// <summary>Floats that <see cref="LayOut"/> works in.</summary>
    public abstract nint Room { get; }

    /// <summary>How many pixels of the laid out input come before the pair that a tap reads for the first two outputs.</summary>
    public abstract nint FirstPixel(int tap);

    /// <summary>Lays a piece out.</summary>
    /// <param name="piece">Which.</param>
    /// <param name="input">[C / 32, <see cref="Pixels"/> / 2, 32, 2], written.</param>
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
    public override nint Pixels => 2 * OfAParity;

    /// <inheritdoc/>
    public override nint Room =>
        x.Room + (nint)size.Width * size.Inputs + (nint)(_pitch + 1) * size.Inputs / 2 + (nint)Steps * MatrixUnit.Depth * size.Outputs / 2 + size.Outputs;

    /// <summary>Pixels of zeros before the first and after the last: the farthest distance of a tap, up to an even number.</summary>
    private int Lead => _pitch + 2;

    /// <summary>Pixels in pairs of one kind.</summary>
    private nint OfAParity => 2 * Lead + (nint)Steps * MatrixUnit.Depth;

    /// <inheritdoc/>
    public override nint FirstPixel(int tap)
    {
        int first = Lead + (tap / 3 - 1) * _pitch + (tap % 3 - 1);
        return first % 2 == 0 ? first : OfAParity + first - 1;
    }

    /// <inheritdoc/>
    public override void LayOut(int piece, ushort* input, ushort* gradient, float* sums, float* room)
    {
        // Room for the source, for a row that it works in; a row of the input between zeros; a pixel of zeros; pairs of the gradient.
        int rowNumbers = size.Width * size.Inputs;
        float* wide = room + x.Room, zeros = wide + rowNumbers + (nint)(_pitch + 1) * size.Inputs / 2;
        ushort* row = (ushort*)(wide + rowNumbers), gradients = (ushort*)(zeros + size.Outputs);
        new Span<float>(zeros, size.Outputs).Clear();
        new Span<ushort>(row, size.Inputs).Clear();
        new Span<ushort>(row + size.Inputs + rowNumbers, (_pitch - size.Width) * size.Inputs).Clear();
        if (sums is not null)
            new Span<float>(sums, size.Outputs).Clear();

        nint even = Lead, odd = OfAParity + Lead - 2, gradientNumbers = (nint)_pitch * size.Outputs;
        ClearPixels(input, 0, Lead);
        ClearPixels(input, OfAParity, Lead);
        int first = piece * _together, images = Math.Min(_together, size.Images - first);
        for (int image = first; image < first + images; image++)
        {
            x.Begin(image, room);
            for (int top = 0; top < size.Height; top++, even += _pitch, odd += _pitch, gradients += gradientNumbers)
            {
                x.ReadRounded(image, top, room, row + size.Inputs, rowNumbers, size.Inputs, wide);
                // The first odd pair is the zero before the row and its first pixel.
                WritePairs(row, input, odd);
                WritePairs(row + size.Inputs, input, even);
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
            ClearPixels(input, even, _pitch);
            ClearPixels(input, odd, _pitch);
            new Span<ushort>(gradients, (int)gradientNumbers).Clear();
            even += _pitch;
            odd += _pitch;
            gradients += gradientNumbers;
        }
        ClearPixels(input, even, OfAParity - even);
        ClearPixels(input, odd, Pixels - odd);
        ushort* begin = (ushort*)(zeros + size.Outputs), end = begin + (nint)Steps * MatrixUnit.Depth * size.Outputs;
        new Span<ushort>(gradients, (int)(end - gradients)).Clear();
        BFloat16Layout.Columns(begin, Steps * MatrixUnit.Depth, size.Outputs, gradient, GradientStride);
    }

    /// <summary>Writes a row's pixels two by two.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void WritePairs(ushort* row, ushort* input, nint pixel)
    {
        ushort* to = input + pixel * MatrixUnit.Side;
        nint block = Pixels * MatrixUnit.Side;
        for (int column = 0; column < _pitch; column += 2, row += 2 * size.Inputs, to += 2 * MatrixUnit.Side)
            BFloat16Layout.PairBlocks(row, row + size.Inputs, size.Inputs, to, block);
    }

    private void ClearPixels(ushort* input, nint first, nint count)
    {
        for (int c = 0; c < size.Inputs; c += MatrixUnit.Side)
            new Span<ushort>(input + c * Pixels + first * MatrixUnit.Side, checked((int)count) * MatrixUnit.Side).Clear();
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
    public override nint Room =>
        (source is null ? 0 : (nint)MatrixUnit.Depth * inputs) + (nint)MatrixUnit.Depth * inputs / 2 + (nint)Steps * MatrixUnit.Depth * outputs / 2 + Math.Max(inputs, outputs);

    /// <inheritdoc/>
    public override nint Pixels => (nint)Steps * MatrixUnit.Depth;

    /// <inheritdoc/>
    public override nint FirstPixel(int tap) => 0;

    /// <inheritdoc/>
    public override void LayOut(int piece, ushort* input, ushort* gradient, float* sums, float* room)
    {
        nint first = (nint)piece * PieceRows;
        int count = (int)Math.Min(PieceRows, rows - first);
        float* zeros = room, computed = zeros + Math.Max(inputs, outputs);
        ushort* narrow = (ushort*)(computed + (source is null ? 0 : (nint)MatrixUnit.Depth * inputs)), pairs = narrow + (nint)MatrixUnit.Depth * inputs, to = pairs;
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
            BFloat16Layout.Row(from, (nint)taken * inputs, narrow);
            new Span<ushort>(narrow + (nint)taken * inputs, (MatrixUnit.Depth - taken) * inputs).Clear();
            for (int i = 0; i < MatrixUnit.Depth; i += 2, input += 2 * MatrixUnit.Side, to += 2 * outputs)
            {
                BFloat16Layout.PairBlocks(narrow + (nint)i * inputs, narrow + (nint)(i + 1) * inputs, inputs, input, Pixels * MatrixUnit.Side);
                BFloat16Layout.Pairs(i < taken ? slope + (nint)i * outputs : zeros, i + 1 < taken ? slope + (nint)(i + 1) * outputs : zeros, outputs, to);
            }
        }
        BFloat16Layout.Columns(pairs, Steps * MatrixUnit.Depth, outputs, gradient, GradientStride);
    }
}
