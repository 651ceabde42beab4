using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// The way back to the weights of <see cref="RealPoints{L}"/> with products of 16-bit integers, in registers of 512 bits. A value is rounded as it is computed: what a channel's values at a point can be at
/// most is known from its pixels (<see cref="TileSize"/>). As a vector over tiles they are at most as long as the pixels, times the length of the point's coefficients (Cauchy-Schwarz), and none is
/// larger than the largest pixel, times the sum of the coefficients: the point's <see cref="Int16Scale"/>. Pixels that vary freely leave their values 10 to 11 bits, which is enough: a weight's gradient is
/// more accurate than with the 46 products of bfloat16 of <see cref="ComplexPoints"/>.
/// </summary>
internal readonly unsafe struct Int16GradientPoints : IWinogradGradient<Lanes512>
{
    private const float A = RealPoints<Lanes512>.A, B = RealPoints<Lanes512>.B;

    private const int N = 16;

    /// <summary>Points that differ by more than a sign: 0, a, b, infinity.</summary>
    private const int Kinds = 4;

    /// <summary>What the points' values are made of: of pixels, and of a gradient.</summary>
    private static readonly Coefficients s_ofInput = new(
        [[A * A * B * B, -A * A - B * B, 1], [-A * B * B, -B * B, A, 1], [-A * A * B, -A * A, B, 1], [A * A * B * B, -A * A - B * B, 1]]);

    private static readonly Coefficients s_ofGradient = new([[1], [1, A, A * A, A * A * A], [1, B, B * B, B * B * B], [1]]);

    /// <summary>Whether the processor's registers are that wide.</summary>
    public static bool AreThere => Int16WideLayout.IsQuicker;

    public static int HalfMatrices => RealPoints<Lanes512>.HalfMatrices;

    public static int ScratchRegisters => RealPoints<Lanes512>.ScratchRegisters;

    /// <inheritdoc/>
    /// <remarks>Pairs of tiles; behind the last their powers and own sums, as <see cref="Int16Layout"/> has them.</remarks>
    public static nint GradientFloats(nint tiles, int channels) => (tiles / 2 + 2) * channels;

    /// <inheritdoc/>
    /// <remarks>[<see cref="Kinds"/>, <see cref="Kinds"/>, channels].</remarks>
    public static nint ScaleFloats(int channels) => Kinds * Kinds * channels;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Scale(TileSize size, int channels, bool ofGradient, float* scales)
    {
        Coefficients coefficients = ofGradient ? s_ofGradient : s_ofInput;
        for (int row = 0; row < Kinds; row++)
        {
            for (int column = 0; column < Kinds; column++, scales += channels)
            {
                float length = coefficients.Lengths[row] * coefficients.Lengths[column], sum = coefficients.Sums[row] * coefficients.Sums[column];
                for (int c = 0; c < channels; c += N)
                    Int16Scale.Of(Vector512.Load(size.Squares + c), Vector512.Load(size.Largest + c), length, sum).Store(scales + c);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void InputHalf(float* d, nint next, nint row, int count, bool upper, float* v, nint tile, int first, int channels, nint stride, float* scales, float* scratch)
    {
        int* to = (int*)v + tile / 2 * channels + first;
        scales += first + (upper ? 2 * Kinds * channels : 0);
        for (int c = 0; c < count; c += N, d += N, to += N, scales += N)
        {
            if (upper)
            {
                InputUpperColumns(d, row, count, scratch);
                InputUpperColumns(d + next, row, count, scratch + 18 * N);
            }
            else
            {
                InputLowerColumns(d, row, count, scratch);
                InputLowerColumns(d + next, row, count, scratch + 18 * N);
            }
            for (int i = 0; i < 3; i++)
                InputRow(scratch + 6 * i * N, to + 6 * i * stride, stride, scales + KindOfRow(upper, i) * Kinds * channels, channels);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void OutputGradientHalf(float* dy, nint next, nint row, int count, bool upper, float* v, nint tile, int first, int channels, nint stride, float* scales, float* scratch)
    {
        int* to = (int*)v + tile / 2 * channels + first;
        scales += first + (upper ? 2 * Kinds * channels : 0);
        for (int c = 0; c < count; c += N, dy += N, to += N, scales += N)
        {
            if (upper)
            {
                GradientUpperColumns(dy, row, count, scratch);
                GradientUpperColumns(dy + next, row, count, scratch + 12 * N);
            }
            else
            {
                GradientLowerColumns(dy, row, count, scratch);
                GradientLowerColumns(dy + next, row, count, scratch + 12 * N);
            }
            for (int i = 0; i < 3; i++)
                GradientRow(scratch + 4 * i * N, to + 6 * i * stride, stride, scales + KindOfRow(upper, i) * Kinds * channels, channels);
        }
    }

    /// <inheritdoc/>
    /// <remarks>They lack their powers and own sums.</remarks>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Pack(float* v, nint stride, int channels, int tiles, bool upper, float* scales)
    {
        int pairs = tiles / 2;
        for (int number = 0; number < HalfMatrices; number++, v += stride)
        {
            int column = number % 6, kind = (upper ? 2 : 0) + KindOfRow(upper, number / 6);
            float* scale = scales + (kind * Kinds + (column + 1) / 2) * channels;
            for (int c = 0; c < channels; c += N)
            {
                int* pair = (int*)v + c;
                Vector512<int> own = default;
                for (int i = 0; i < pairs - 1; i += 2, pair += 2 * channels)
                    own -= Avx512BW.MultiplyAddAdjacent(Vector512.Load(pair).AsInt16(), Vector512.Load(pair + channels).AsInt16());
                pair = (int*)v + pairs * channels + c;
                (Vector512<float>.One / Vector512.Load(scale + c)).Store((float*)pair);
                own.Store(pair + channels);
            }
        }
    }

    public void SumProducts(float* dy, nint dyStride, int outputs, int first, int count, float* x, nint xStride, int inputs, float* sums, nint sumStride, int tiles, bool add)
    {
        for (int number = 0; number < HalfMatrices; number++, dy += dyStride, x += xStride, sums += sumStride)
            Int16Kernel<Lanes512>.AddTransposed((int*)dy + first, outputs, (int*)x, inputs, sums, inputs, count, inputs, tiles / 2, add);
    }

    public static void WeightGradientHalf(float* u, nint stride, bool upper, float* g, nint next, float* scratch) =>
        RealPoints<Lanes512>.WeightGradientHalf(u, stride, upper, g, next, scratch);

    /// <summary>Which kind a row of a half's points is, counted from its first: 0, a, −a or b, −b, infinity.</summary>
    private static int KindOfRow(bool upper, int row) => (upper ? row : row + 1) / 2;

    // The matrices are those of RealPoints. Registers are plain, as in ComplexPoints.

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void InputLowerColumns(float* d, nint row, nint pixel, float* to)
    {
        for (int j = 0; j < 6; j++, d += pixel, to += N)
        {
            var (zero, plus, minus) = InputLower(Vector512.Load(d), Vector512.Load(d + row), Vector512.Load(d + 2 * row), Vector512.Load(d + 3 * row), Vector512.Load(d + 4 * row));
            zero.Store(to);
            plus.Store(to + 6 * N);
            minus.Store(to + 12 * N);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void InputUpperColumns(float* d, nint row, nint pixel, float* to)
    {
        for (int j = 0; j < 6; j++, d += pixel, to += N)
        {
            var (plus, minus, infinity) = InputUpper(Vector512.Load(d + row), Vector512.Load(d + 2 * row), Vector512.Load(d + 3 * row), Vector512.Load(d + 4 * row), Vector512.Load(d + 5 * row));
            plus.Store(to);
            minus.Store(to + 6 * N);
            infinity.Store(to + 12 * N);
        }
    }

    /// <summary>A row of points of two tiles.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void InputRow(float* x, int* to, nint stride, float* scales, nint kind)
    {
        float* y = x + 18 * N;
        Vector512<float> x1 = Vector512.Load(x + N), x2 = Vector512.Load(x + 2 * N), x3 = Vector512.Load(x + 3 * N), x4 = Vector512.Load(x + 4 * N);
        Vector512<float> y1 = Vector512.Load(y + N), y2 = Vector512.Load(y + 2 * N), y3 = Vector512.Load(y + 3 * N), y4 = Vector512.Load(y + 4 * N);
        var (zeroX, plusAX, minusAX) = InputLower(Vector512.Load(x), x1, x2, x3, x4);
        var (zeroY, plusAY, minusAY) = InputLower(Vector512.Load(y), y1, y2, y3, y4);
        Vector512<float> scale = Vector512.Load(scales + kind);
        Int16WideLayout.Pair(zeroX, zeroY, Vector512.Load(scales)).Store(to);
        Int16WideLayout.Pair(plusAX, plusAY, scale).Store(to + stride);
        Int16WideLayout.Pair(minusAX, minusAY, scale).Store(to + 2 * stride);
        var (plusBX, minusBX, infinityX) = InputUpper(x1, x2, x3, x4, Vector512.Load(x + 5 * N));
        var (plusBY, minusBY, infinityY) = InputUpper(y1, y2, y3, y4, Vector512.Load(y + 5 * N));
        to += 3 * stride;
        scale = Vector512.Load(scales + 2 * kind);
        Int16WideLayout.Pair(plusBX, plusBY, scale).Store(to);
        Int16WideLayout.Pair(minusBX, minusBY, scale).Store(to + stride);
        Int16WideLayout.Pair(infinityX, infinityY, Vector512.Load(scales + 3 * kind)).Store(to + 2 * stride);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void GradientLowerColumns(float* dy, nint row, nint pixel, float* to)
    {
        for (int j = 0; j < 4; j++, dy += pixel, to += N)
        {
            Vector512<float> y0 = Vector512.Load(dy);
            var (plus, minus) = Gradient(y0, Vector512.Load(dy + row), Vector512.Load(dy + 2 * row), Vector512.Load(dy + 3 * row), A);
            y0.Store(to);
            plus.Store(to + 4 * N);
            minus.Store(to + 8 * N);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void GradientUpperColumns(float* dy, nint row, nint pixel, float* to)
    {
        for (int j = 0; j < 4; j++, dy += pixel, to += N)
        {
            Vector512<float> y3 = Vector512.Load(dy + 3 * row);
            var (plus, minus) = Gradient(Vector512.Load(dy), Vector512.Load(dy + row), Vector512.Load(dy + 2 * row), y3, B);
            plus.Store(to);
            minus.Store(to + 4 * N);
            y3.Store(to + 8 * N);
        }
    }

    /// <summary>A row of points of two tiles.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void GradientRow(float* x, int* to, nint stride, float* scales, nint kind)
    {
        float* y = x + 12 * N;
        Vector512<float> x0 = Vector512.Load(x), x1 = Vector512.Load(x + N), x2 = Vector512.Load(x + 2 * N), x3 = Vector512.Load(x + 3 * N);
        Vector512<float> y0 = Vector512.Load(y), y1 = Vector512.Load(y + N), y2 = Vector512.Load(y + 2 * N), y3 = Vector512.Load(y + 3 * N);
        Int16WideLayout.Pair(x0, y0, Vector512.Load(scales)).Store(to);
        Vector512<float> scale = Vector512.Load(scales + kind);
        var (plusX, minusX) = Gradient(x0, x1, x2, x3, A);
        var (plusY, minusY) = Gradient(y0, y1, y2, y3, A);
        Int16WideLayout.Pair(plusX, plusY, scale).Store(to + stride);
        Int16WideLayout.Pair(minusX, minusY, scale).Store(to + 2 * stride);
        to += 3 * stride;
        scale = Vector512.Load(scales + 2 * kind);
        (plusX, minusX) = Gradient(x0, x1, x2, x3, B);
        (plusY, minusY) = Gradient(y0, y1, y2, y3, B);
        Int16WideLayout.Pair(plusX, plusY, scale).Store(to);
        Int16WideLayout.Pair(minusX, minusY, scale).Store(to + stride);
        Int16WideLayout.Pair(x3, y3, Vector512.Load(scales + 3 * kind)).Store(to + 2 * stride);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static (Vector512<float> Zero, Vector512<float> Plus, Vector512<float> Minus) InputLower(
        Vector512<float> d0, Vector512<float> d1, Vector512<float> d2, Vector512<float> d3, Vector512<float> d4)
    {
        Vector512<float> b2 = Vector512.Create(-B * B);
        Vector512<float> even = Vector512.FusedMultiplyAdd(b2, d2, d4), odd = Vector512.Create(A) * Vector512.FusedMultiplyAdd(b2, d1, d3);
        return (Vector512.FusedMultiplyAdd(Vector512.Create(A * A * B * B), d0, Vector512.FusedMultiplyAdd(Vector512.Create(-A * A - B * B), d2, d4)), even + odd, even - odd);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static (Vector512<float> Plus, Vector512<float> Minus, Vector512<float> Infinity) InputUpper(
        Vector512<float> d1, Vector512<float> d2, Vector512<float> d3, Vector512<float> d4, Vector512<float> d5)
    {
        Vector512<float> a2 = Vector512.Create(-A * A);
        Vector512<float> even = Vector512.FusedMultiplyAdd(a2, d2, d4), odd = Vector512.Create(B) * Vector512.FusedMultiplyAdd(a2, d1, d3);
        return (even + odd, even - odd, Vector512.FusedMultiplyAdd(Vector512.Create(A * A * B * B), d1, Vector512.FusedMultiplyAdd(Vector512.Create(-A * A - B * B), d3, d5)));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static (Vector512<float> Plus, Vector512<float> Minus) Gradient(Vector512<float> y0, Vector512<float> y1, Vector512<float> y2, Vector512<float> y3, float point)
    {
        Vector512<float> even = Vector512.FusedMultiplyAdd(Vector512.Create(point * point), y2, y0);
        Vector512<float> odd = Vector512.FusedMultiplyAdd(Vector512.Create(point * point * point), y3, Vector512.Create(point) * y1);
        return (even + odd, even - odd);
    }

    /// <summary>Rows of coefficients.</summary>
    private sealed class Coefficients(float[][] rows)
    {
        /// <summary>The length of each as a vector.</summary>
        public float[] Lengths { get; } = [.. rows.Select(row => MathF.Sqrt(row.Sum(c => c * c)))];

        /// <summary>The sum of the absolute values of each.</summary>
        public float[] Sums { get; } = [.. rows.Select(row => row.Sum(MathF.Abs))];
    }
}
