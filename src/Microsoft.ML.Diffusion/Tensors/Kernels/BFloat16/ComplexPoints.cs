using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// F(4x4, 3x3) at the points 0, ±1, ±i and infinity, with products of bfloat16: 46 of them a pair of channels instead of 144 (Meng and Brothers 2019, "Efficient Winograd Convolution
/// via Integer Arithmetic"). Real points that are as many lose most of bfloat16's eight bits; at these the transforms are sums and differences, and a convolution's error is 2.3 times
/// that of rounding its weights. Pixels and weights are real, so that the values at i and −i are conjugate and one is enough. Channels are multiples of 32.
/// </summary>
/// <param name="unit">Multiplies.</param>
internal readonly unsafe partial struct ComplexPoints(PairUnit unit) : IWinogradPoints<Lanes512>, IWinogradGradient<Lanes512>
{
    // In one direction a tile has six values: at 0, 1 and −1, the real and the imaginary part of that at i, at infinity. In two it has six rows of them, 36 real numbers, of which
    // the rows and columns of i make 10 complex numbers: with the real points 4 and 4; at (i, i) and (i, −i), from the four where both meet, 2.
    //
    // A complex product is three real ones. (a + bx)(c + dx) is known from its values at x = 0, 2 and −2, which lie so that (a + bi)(c + di) loses a sixth in accuracy to four
    // products; at 0, 1 and infinity, the usual choice, it would be two fifths. Pixels are a, a + 2b, a − 2b; weights 5c/8, −(c + 2d)/8, −(c − 2d)/8. The first product is added to
    // each of the others: the sum with the third takes the place of the real part, the sum with the second that of the imaginary part. Their sum is the real part, twice their difference
    // the imaginary part.
    //
    // Registers are plain here: the JIT stops inlining where a method has some hundred calls, those of Lanes512 among them.

    private const int Re = 3, Im = 4;
    private const int N = 16;

    /// <summary>Matrices of a row of a real point: four real numbers, one complex.</summary>
    private const int RealRow = 7;

    private readonly PairUnit _unit = unit;

    /// <summary>Rows and columns of the real points.</summary>
    private static ReadOnlySpan<byte> RealIndices => [0, 1, 2, 5];

    /// <inheritdoc/>
    /// <remarks>Four rows of real points; six complex numbers in the rows of i.</remarks>
    public static int PixelMatrices => 4 * RealRow + 6 * 3;

    public static int WeightMatrices => PixelMatrices;

    public static bool KeepsWeights => true;

    public static int Values => 36;

    /// <inheritdoc/>
    /// <remarks>
    /// The lower half: the rows of 0, 1 and −1, and of that of infinity the points 0 and infinity. The upper: what is left of that row, then the rows of i.
    /// Of a complex number's gradient there are three sums, which its transform adds up.
    /// </remarks>
    public static int HalfMatrices => 23;

    public static nint GradientFloats(nint tiles, int channels) => tiles * channels / 2;

    public static int ScratchRegisters => 24;

    public static int WeightRegisters => 18 * N;

    public static int LeastPanel => MatrixUnit.Side;

    public static nint Floats(nint vectors, int inputs) => vectors * inputs / 2;

    public static int Rows(int tiles) => KernelMemory.RoundUp(tiles, PairUnit.RowMultiple);

    public static int PanelAt(int outputs, int output) => MatrixUnit.Side;

    public static int PanelStart(int outputs, int output) => output & -MatrixUnit.Side;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Input(float* d, nint row, int count, float* v, nint tile, int first, int channels, nint stride, float* scratch)
    {
        ushort* to = (ushort*)v + tile * channels + first;
        for (int c = 0; c < count; c += 2 * N, d += 2 * N, to += 2 * N)
            InputWhole(d, N, row, count, to, 2 * stride);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void InputHalf(float* d, nint next, nint row, int count, bool upper, float* v, nint tile, int first, int channels, nint stride, float* scales, float* scratch)
    {
        ushort* to = (ushort*)v + tile * channels + 2 * first;
        for (int c = 0; c < count; c += N, d += N, to += 2 * N)
        {
            if (upper)
                InputUpper(d, next, row, count, to, 2 * stride);
            else
                InputLower(d, next, row, count, to, 2 * stride);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void OutputGradientHalf(float* dy, nint next, nint row, int count, bool upper, float* v, nint tile, int first, int channels, nint stride, float* scales, float* scratch)
    {
        ushort* to = (ushort*)v + tile * channels + 2 * first;
        for (int c = 0; c < count; c += N, dy += N, to += 2 * N)
        {
            if (upper)
                OutputGradientUpper(dy, next, row, count, to, 2 * stride);
            else
                OutputGradientLower(dy, next, row, count, to, 2 * stride);
        }
    }

    /// <inheritdoc/>
    /// <remarks>Some matrices of all inputs before the next: each lies on pages of its own, and a processor keeps few of those to be written at hand.</remarks>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public static void Weights(float* g, nint input, nint row, nint column, float* u, int at, int inputs, int output, int width, nint stride, float* scratch)
    {
        for (int c = 0; c < N; c++, g += input)
        {
            for (int j = 0; j < 3; j++)
            {
                float* from = g + j * column, to = scratch + (18 * c + j) * N;
                Vector512<float> g0 = Vector512.Load(from), g1 = Vector512.Load(from + row), g2 = Vector512.Load(from + 2 * row);
                var (zero, one, minus, infinity) = WeightReal(g0, g1, g2);
                var (re, im) = WeightComplex(g0, g1, g2);
                zero.Store(to);
                one.Store(to + 3 * N);
                minus.Store(to + 6 * N);
                re.Store(to + 9 * N);
                im.Store(to + 12 * N);
                infinity.Store(to + 15 * N);
            }
        }
        // Two inputs lie together in pairs.
        u += (nint)at / 2 * width + output;
        foreach (byte point in RealIndices)
        {
            for (int c = 0; c < N; c += 2)
                WeightRealRow(scratch + (18 * c + 3 * point) * N, (ushort*)(u + (nint)c / 2 * width), 2 * stride);
            u += RealRow * stride;
        }
        for (int c = 0; c < N; c += 2)
            WeightComplexRows(scratch + (18 * c + 3 * Re) * N, (ushort*)(u + (nint)c / 2 * width), 2 * stride);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void Multiply(float* v, nint vStride, float* u, nint uStride, float* m, nint mStride, int tiles, int width, int inputs)
    {
        int rows = Rows(tiles);
        nint* offsets = stackalloc nint[inputs / MatrixUnit.Depth];
        BlockProduct product = ProductOf(offsets, width, inputs);
        _unit.Begin();
        foreach (byte row in RealIndices)
        {
            foreach (byte column in RealIndices)
            {
                Multiply(&product, v, u, m + (6 * row + column) * mStride, rows);
                v += vStride;
                u += uStride;
            }
            MultiplyComplex(&product, v, vStride, u, uStride, m + (6 * row + Re) * mStride, m + (6 * row + Im) * mStride, rows);
            v += 3 * vStride;
            u += 3 * uStride;
        }
        foreach (byte column in RealIndices)
        {
            MultiplyComplex(&product, v, vStride, u, uStride, m + (6 * Re + column) * mStride, m + (6 * Im + column) * mStride, rows);
            v += 3 * vStride;
            u += 3 * uStride;
        }
        MultiplyComplex(&product, v, vStride, u, uStride, m + (6 * Re + Re) * mStride, m + (6 * Re + Im) * mStride, rows);
        MultiplyComplex(&product, v + 3 * vStride, vStride, u + 3 * uStride, uStride, m + (6 * Im + Re) * mStride, m + (6 * Im + Im) * mStride, rows);
        _unit.End();
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public static void Output<E>(float* m, nint stride, E* y, nint row, nint pixel, Lanes512 bias, E* addend, float* scratch)
        where E : unmanaged, IElement<E, Lanes512>
    {
        foreach (byte j in RealIndices)
        {
            float* column = m + j * stride;
            var (re, im) = Number(column + 6 * Re * stride, 6 * stride);
            OutputColumn(column, stride, re, im, scratch + j * N);
        }
        // The numbers at (i, i) and below them those at (i, −i).
        float* corner = m + (6 * Re + Re) * stride;
        var (re1, im1) = Number(corner, stride);
        var (re2, im2) = Number(corner + 6 * stride, stride);
        OutputColumns(m + Re * stride, stride, re1 + re2, im1 + im2, im1 - im2, re2 - re1, scratch + Re * N);
        for (int i = 0; i < 4; i++, scratch += 6 * N, y += row)
        {
            var (y0, y1, y2, y3) = Output(
                Vector512.Load(scratch), Vector512.Load(scratch + N), Vector512.Load(scratch + 2 * N), Vector512.Load(scratch + 3 * N), Vector512.Load(scratch + 4 * N),
                Vector512.Load(scratch + 5 * N));
            WriteRow(y0, y1, y2, y3, y, pixel, bias, addend);
            if (addend is not null)
                addend += row;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void SumProducts(float* dy, nint dyStride, int outputs, int first, int count, float* x, nint xStride, int inputs, float* sums, nint sumStride, int tiles, bool add)
    {
        var product = new BlockProduct
        {
            AStride = outputs * sizeof(float),
            Steps = tiles / 2,
            BStride = inputs * sizeof(float),
            BSecond = MatrixUnit.Side / 2 * sizeof(float),
            CStride = inputs * sizeof(float),
            Accumulate = add ? 1 : 0,
        };
        _unit.Begin();
        for (int matrix = 0; matrix < HalfMatrices; matrix++, dy += dyStride, x += xStride, sums += sumStride)
        {
            product.A = (ushort*)(dy + first);
            for (int input = 0; input < inputs; input += MatrixUnit.Side)
            {
                product.B = (ushort*)(x + input);
                product.C = sums + input;
                _unit.MultiplyPairs(&product, count);
            }
        }
        _unit.End();
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public static void WeightGradientHalf(float* u, nint stride, bool upper, float* g, nint next, float* scratch)
    {
        if (upper)
        {
            var (re, im) = Sums(u + 2 * stride, stride);
            var (infinity0, infinity1, infinity2) = WeightGradient(default, Vector512.Load(u), Vector512.Load(u + stride), re, im, default);
            // What the rows of i hold, by the columns of the real points.
            float* z = u + 5 * stride;
            var (re0, im0) = Sums(z, stride);
            var (re1, im1) = Sums(z + 3 * stride, stride);
            var (re2, im2) = Sums(z + 6 * stride, stride);
            var (re5, im5) = Sums(z + 9 * stride, stride);
            var (c1, d1) = Sums(z + 12 * stride, stride);
            var (c2, d2) = Sums(z + 15 * stride, stride);
            Vector512<float> half = Vector512.Create(0.5f);
            var (a0, a1, a2) = WeightGradient(re0, re1, re2, (c1 + c2) * half, (d1 - d2) * half, re5);
            var (b0, b1, b2) = WeightGradient(im0, im1, im2, (d1 + d2) * half, (c2 - c1) * half, im5);
            (a0, a1, a2) = (a0 * half, a1 * half, a2 * half);
            StoreThree(a0, a1, a2, g, next);
            StoreThree(b0 * half, b1 * half, b2 * half, g + 3 * next, next);
            StoreThree(infinity0 - a0, infinity1 - a1, infinity2 - a2, g + 6 * next, next);
        }
        else
        {
            var (zero0, zero1, zero2) = WeightGradientOfRow(u, stride);
            var (one0, one1, one2) = WeightGradientOfRow(u + RealRow * stride, stride);
            var (minus0, minus1, minus2) = WeightGradientOfRow(u + 2 * RealRow * stride, stride);
            Vector512<float> quarter = Vector512.Create(0.25f);
            Vector512<float> even0 = (one0 + minus0) * quarter, even1 = (one1 + minus1) * quarter, even2 = (one2 + minus2) * quarter;
            StoreThree(zero0 + even0, zero1 + even1, zero2 + even2, g, next);
            StoreThree((one0 - minus0) * quarter, (one1 - minus1) * quarter, (one2 - minus2) * quarter, g + 3 * next, next);
            StoreThree(even0 + Vector512.Load(u + 21 * stride), even1, even2 + Vector512.Load(u + 22 * stride), g + 6 * next, next);
        }
    }

    /// <summary>The strides of a product of a matrix of pixels and one of weights.</summary>
    /// <param name="offsets">[inputs / 32], filled.</param>
    /// <param name="width">Columns of the panel.</param>
    /// <param name="inputs">Channels.</param>
    public static BlockProduct ProductOf(nint* offsets, int width, int inputs)
    {
        int steps = inputs / MatrixUnit.Depth;
        for (int step = 0; step < steps; step++)
            offsets[step] = step * MatrixUnit.Depth * sizeof(ushort);
        return new()
        {
            AStride = inputs * sizeof(ushort),
            Offsets = offsets,
            Steps = steps,
            BStride = MatrixUnit.Side * sizeof(float),
            BSecond = MatrixUnit.Side / 2 * sizeof(float),
            BStep = MatrixUnit.StepNumbers * sizeof(ushort),
            CStride = width * sizeof(float),
        };
    }

    /// <summary>Writes four pixels of an output.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void WriteRow<E>(Vector512<float> y0, Vector512<float> y1, Vector512<float> y2, Vector512<float> y3, E* y, nint pixel, Lanes512 bias, E* addend)
        where E : unmanaged, IElement<E, Lanes512>
    {
        y0 += bias.Value;
        y1 += bias.Value;
        y2 += bias.Value;
        y3 += bias.Value;
        if (addend is not null)
        {
            y0 += E.Load(addend).Value;
            y1 += E.Load(addend + pixel).Value;
            y2 += E.Load(addend + 2 * pixel).Value;
            y3 += E.Load(addend + 3 * pixel).Value;
        }
        E.Store(new(y0), y);
        E.Store(new(y1), y + pixel);
        E.Store(new(y2), y + 2 * pixel);
        E.Store(new(y3), y + 3 * pixel);
    }

    private void Multiply(BlockProduct* product, float* v, float* u, float* m, int rows)
    {
        product->A = (ushort*)v;
        product->B = (ushort*)u;
        product->C = m;
        product->Accumulate = 0;
        _unit.MultiplyRows(product, rows);
    }

    private void MultiplyComplex(BlockProduct* product, float* v, nint vStride, float* u, nint uStride, float* re, float* im, int rows)
    {
        Multiply(product, v, u, im, rows);
        product->Accumulate = 1;
        product->A = (ushort*)(v + 2 * vStride);
        product->B = (ushort*)(u + 2 * uStride);
        product->C = re;
        product->Start = (nint)((byte*)im - (byte*)re);
        _unit.MultiplyRows(product, rows);
        product->A = (ushort*)(v + vStride);
        product->B = (ushort*)(u + uStride);
        product->C = im;
        product->Start = 0;
        _unit.MultiplyRows(product, rows);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void StorePixels<S>(Vector512<float> a, Vector512<float> b, Vector512<float> secondA, Vector512<float> secondB, ushort* v, nint stride)
        where S : struct, ITwoRegisters
    {
        Vector512<float> two = Vector512.Create(2f), minusTwo = Vector512.Create(-2f);
        S.Store(a, secondA, v);
        S.Store(Vector512.FusedMultiplyAdd(b, two, a), Vector512.FusedMultiplyAdd(secondB, two, secondA), v + stride);
        S.Store(Vector512.FusedMultiplyAdd(b, minusTwo, a), Vector512.FusedMultiplyAdd(secondB, minusTwo, secondA), v + 2 * stride);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void StoreWeights(Vector512<float> c, Vector512<float> d, Vector512<float> secondC, Vector512<float> secondD, ushort* u, nint stride)
    {
        Vector512<float> first = Vector512.Create(0.625f), eighth = Vector512.Create(-0.125f), quarter = Vector512.Create(0.25f), minusQuarter = Vector512.Create(-0.25f);
        Pairs.Store(c * first, secondC * first, u);
        c *= eighth;
        secondC *= eighth;
        Pairs.Store(Vector512.FusedMultiplyAdd(d, minusQuarter, c), Vector512.FusedMultiplyAdd(secondD, minusQuarter, secondC), u + stride);
        Pairs.Store(Vector512.FusedMultiplyAdd(d, quarter, c), Vector512.FusedMultiplyAdd(secondD, quarter, secondC), u + 2 * stride);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void StoreGradient(Vector512<float> p, Vector512<float> q, Vector512<float> secondP, Vector512<float> secondQ, ushort* v, nint stride)
    {
        Vector512<float> two = Vector512.Create(2f), minusTwo = Vector512.Create(-2f);
        Pairs.Store(p, secondP, v);
        Pairs.Store(Vector512.FusedMultiplyAdd(q, minusTwo, p), Vector512.FusedMultiplyAdd(secondQ, minusTwo, secondP), v + stride);
        Pairs.Store(Vector512.FusedMultiplyAdd(q, two, p), Vector512.FusedMultiplyAdd(secondQ, two, secondP), v + 2 * stride);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void StoreThree(Vector512<float> first, Vector512<float> second, Vector512<float> third, float* to, nint next)
    {
        first.Store(to);
        second.Store(to + next);
        third.Store(to + 2 * next);
    }

    /// <summary>How two registers become 32 numbers of bfloat16 in memory.</summary>
    private interface ITwoRegisters
    {
        static abstract void Store(Vector512<float> first, Vector512<float> second, ushort* to);
    }

    /// <summary>One after the other.</summary>
    private readonly struct Sequence : ITwoRegisters
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static void Store(Vector512<float> first, Vector512<float> second, ushort* to) => BFloat16Layout.StoreNear(first, second, to);
    }

    /// <summary>Number by number.</summary>
    private readonly struct Pairs : ITwoRegisters
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static void Store(Vector512<float> first, Vector512<float> second, ushort* to) => BFloat16Layout.StorePairsNear(first, second, to);
    }
}
