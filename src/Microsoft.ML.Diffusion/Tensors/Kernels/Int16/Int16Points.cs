using System.Runtime.CompilerServices;

namespace Microsoft.ML.Diffusion;

/// <summary><see cref="RealPoints{L}"/> with products of 16-bit integers: tiles and weights are transformed in float32 and rounded block by block (<see cref="Int16Layout"/>).</summary>
/// <typeparam name="L">The register, as of <see cref="Int16Kernel{L}"/>.</typeparam>
internal readonly unsafe struct Int16Points<L> : IWinogradPoints<L>, IWinogradGradient<L>
    where L : unmanaged, ILanes<L>
{
    /// <summary>From a number's channels to the next number's: not a power of two apart, or they would fall on the same lines of the cache.</summary>
    private const int TileStride = Int16Layout.Block + 16;

    private static int WeightStride => Int16Layout.Block * L.Count + 16;

    public static int PixelMatrices => Values;

    public static int WeightMatrices => Values;

    public static bool KeepsWeights => true;

    public static int Values => RealPoints<L>.Values;

    public static int HalfMatrices => RealPoints<L>.HalfMatrices;

    public static int ScratchRegisters => RealPoints<L>.ScratchRegisters + Values * TileStride / L.Count;

    /// <inheritdoc/>
    /// <remarks>The values of a block of inputs stay there until its last.</remarks>
    public static int WeightRegisters => RealPoints<L>.WeightRegisters + Values * WeightStride / L.Count;

    public static int LeastPanel => L.Count;

    public static nint Floats(nint vectors, int inputs) => vectors * Int16Layout.Words(inputs);

    /// <inheritdoc/>
    /// <remarks>Float32 before they are packed; four rows at least, for two of pairs and two behind them.</remarks>
    public static nint GradientFloats(nint tiles, int channels) => RealPoints<L>.GradientFloats((tiles + 3) & ~3, channels);

    public static int Rows(int tiles) => RealPoints<L>.Rows(tiles);

    public static int PanelAt(int outputs, int output) => Int16Kernel<L>.PanelAt(outputs, output);

    public static int PanelStart(int outputs, int output) => Int16Kernel<L>.PanelStart(output);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Input(float* d, nint row, int count, float* v, nint tile, int first, int channels, nint stride, float* scratch)
    {
        float* values = scratch + RealPoints<L>.ScratchRegisters * L.Count;
        RealPoints<L>.Input(d, row, count, values, 0, 0, count, TileStride, scratch);
        int* to = (int*)v + tile * Int16Layout.Words(channels) + Int16Layout.Start(first);
        Int16Layout.Rows(values, TileStride, Values, count, to, stride);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Weights(float* g, nint input, nint row, nint column, float* u, int at, int inputs, int output, int width, nint stride, float* scratch)
    {
        float* values = scratch + RealPoints<L>.WeightRegisters * L.Count;
        int inBlock = at % Int16Layout.Block, first = at - inBlock, count = inBlock + L.Count;
        RealPoints<L>.Weights(g, input, row, column, values, inBlock, inputs, 0, L.Count, WeightStride, scratch);
        if (count < Int16Layout.Block && at + L.Count < inputs)
            return;
        int* to = (int*)u + Int16Layout.Start(first) * width + output;
        for (int number = 0; number < Values; number++, values += WeightStride, to += stride)
            Int16Layout.Columns(values, L.Count, count, L.Count, to, width);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void Multiply(float* v, nint vStride, float* u, nint uStride, float* m, nint mStride, int tiles, int width, int inputs)
    {
        int rows = Rows(tiles);
        for (int number = 0; number < Values; number++, v += vStride, u += uStride, m += mStride)
            Int16Kernel<L>.Multiply((int*)v, (int*)u, m, width, rows, width, inputs, number + 1 < Values ? (int*)(u + uStride) : null);
    }

    public static void Output<E>(float* m, nint stride, E* y, nint row, nint pixel, L bias, E* addend, float* scratch)
        where E : unmanaged, IElement<E, L> => RealPoints<L>.Output(m, stride, y, row, pixel, bias, addend, scratch);

    public static void InputHalf(float* d, nint next, nint row, int count, bool upper, float* v, nint tile, int first, int channels, nint stride, float* scales, float* scratch) =>
        RealPoints<L>.InputHalf(d, next, row, count, upper, v, tile, first, channels, stride, scales, scratch);

    public static void OutputGradientHalf(float* dy, nint next, nint row, int count, bool upper, float* v, nint tile, int first, int channels, nint stride, float* scales, float* scratch) =>
        RealPoints<L>.OutputGradientHalf(dy, next, row, count, upper, v, tile, first, channels, stride, scales, scratch);

    /// <inheritdoc/>
    /// <remarks>A block of tiles after the other, each where it lies.</remarks>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Pack(float* v, nint stride, int channels, int tiles, bool upper, float* scales)
    {
        for (int number = 0; number < HalfMatrices; number++, v += stride)
        {
            float* block = v;
            for (int left = tiles; left > 0; left -= Int16Layout.Block, block += Int16Layout.Block * channels)
                Int16Layout.Columns(block, channels, Math.Min(Int16Layout.Block, left), channels, (int*)block, channels);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void SumProducts(float* dy, nint dyStride, int outputs, int first, int count, float* x, nint xStride, int inputs, float* sums, nint sumStride, int tiles, bool add)
    {
        for (int number = 0; number < HalfMatrices; number++, dy += dyStride, x += xStride, sums += sumStride)
        {
            if (!add)
                new Span<float>(sums, count * inputs).Clear();
            float* left = dy + first, right = x;
            for (int rows = tiles; rows > 0; rows -= Int16Layout.Block, left += Int16Layout.Block * outputs, right += Int16Layout.Block * inputs)
                Int16Kernel<L>.AddTransposed((int*)left, outputs, (int*)right, inputs, sums, inputs, count, inputs, Math.Min(Int16Layout.Block, rows) / 2);
        }
    }

    public static void WeightGradientHalf(float* u, nint stride, bool upper, float* g, nint next, float* scratch) =>
        RealPoints<L>.WeightGradientHalf(u, stride, upper, g, next, scratch);
}
