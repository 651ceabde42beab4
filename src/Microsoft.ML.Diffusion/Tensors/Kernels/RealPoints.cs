using System.Runtime.CompilerServices;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// F(4x4, 3x3) (Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural Networks", section 4) at real points, in float32: a tile of 4x4 outputs of a 3x3 convolution
/// in 36 products a pair of channels instead of 144. Y = Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A; the weight's gradient is Gᵀ[(Bᵀ d B) ⊙ (A dY Aᵀ)]G.
/// </summary>
/// <typeparam name="L">The register.</typeparam>
internal readonly unsafe struct RealPoints<L> : IWinogradPoints<L>, IWinogradGradient<L>
    where L : unmanaged, ILanes<L>
{
    // A tile is a polynomial evaluated at 0, ±a, ±b and infinity. Lavin and Gray take 1 and 2; with these the error is half as large and its extremes a third,
    // under twice that of the plain sum (Alam et al. 2022, "Winograd Convolution for Deep Neural Networks: Efficient Point Selection"). Their powers are exact.
    public const float A = 0.625f, B = 1.5f;
    private const float NormA = 2 * A * A * (A * A - B * B), NormB = 2 * B * B * (B * B - A * A);

    public static int PixelMatrices => Values;

    public static int WeightMatrices => Values;

    public static bool KeepsWeights => false;

    public static int Values => 36;

    /// <inheritdoc/>
    /// <remarks>Three of six rows of a tile's values.</remarks>
    public static int HalfMatrices => 18;

    public static nint GradientFloats(nint tiles, int channels) => tiles * channels;

    public static int ScratchRegisters => 36;

    public static int WeightRegisters => 18 * L.Count;

    public static int LeastPanel => L.Count;

    public static nint Floats(nint vectors, int inputs) => vectors * inputs;

    public static int Rows(int tiles) => MatrixKernel<L>.Rows(tiles);

    public static int PanelAt(int outputs, int output) => MatrixKernel<L>.PanelAt(outputs, output);

    public static int PanelStart(int outputs, int output) => MatrixKernel<L>.PanelStart(outputs, output);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Input(float* d, nint row, int count, float* v, nint tile, int first, int channels, nint stride, float* scratch)
    {
        v += tile * channels + first;
        for (int c = 0; c < count; c += L.Count)
            Input(d + c, row, count, v + c, stride, scratch);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void Multiply(float* v, nint vStride, float* u, nint uStride, float* m, nint mStride, int tiles, int width, int inputs)
    {
        int rows = Rows(tiles);
        for (int number = 0; number < Values; number++, v += vStride, u += uStride, m += mStride)
            MatrixKernel<L>.Multiply(v, inputs, u, m, width, rows, width, inputs, number + 1 < Values ? u + uStride : null);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void InputHalf(float* d, nint next, nint row, int count, bool upper, float* v, nint tile, int first, int channels, nint stride, float* scales, float* scratch)
    {
        v += tile * channels + first;
        for (int c = 0; c < count; c += L.Count)
        {
            InputHalf(d + c, row, count, upper, v + c, stride, scratch);
            InputHalf(d + next + c, row, count, upper, v + channels + c, stride, scratch);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void OutputGradientHalf(float* dy, nint next, nint row, int count, bool upper, float* v, nint tile, int first, int channels, nint stride, float* scales, float* scratch)
    {
        v += tile * channels + first;
        for (int c = 0; c < count; c += L.Count)
        {
            OutputGradientHalf(dy + c, row, count, upper, v + c, stride, scratch);
            OutputGradientHalf(dy + next + c, row, count, upper, v + channels + c, stride, scratch);
        }
    }

    public void SumProducts(float* dy, nint dyStride, int outputs, int first, int count, float* x, nint xStride, int inputs, float* sums, nint sumStride, int tiles, bool add)
    {
        for (int number = 0; number < HalfMatrices; number++, dy += dyStride, x += xStride, sums += sumStride)
        {
            if (!add)
                new Span<float>(sums, count * inputs).Clear();
            MatrixKernel<L>.AddTransposed(dy + first, outputs, x, inputs, sums, inputs, count, inputs, tiles);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Input(float* d, nint row, nint pixel, float* v, nint stride, float* scratch)
    {
        int n = L.Count;
        for (int j = 0; j < 6; j++, d += pixel)
            Input(L.Load(d), L.Load(d + row), L.Load(d + 2 * row), L.Load(d + 3 * row), L.Load(d + 4 * row), L.Load(d + 5 * row), scratch + j * n, 6 * n);
        for (int i = 0; i < 6; i++, scratch += 6 * n, v += 6 * stride)
            Input(L.Load(scratch), L.Load(scratch + n), L.Load(scratch + 2 * n), L.Load(scratch + 3 * n), L.Load(scratch + 4 * n), L.Load(scratch + 5 * n), v, stride);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Output<E>(float* m, nint stride, E* y, nint row, nint pixel, L bias, E* addend, float* scratch)
        where E : unmanaged, IElement<E, L>
    {
        int n = L.Count;
        for (int j = 0; j < 6; j++, m += stride)
        {
            var (y0, y1, y2, y3) = Output(L.Load(m), L.Load(m + 6 * stride), L.Load(m + 12 * stride), L.Load(m + 18 * stride), L.Load(m + 24 * stride), L.Load(m + 30 * stride), default);
            float* to = scratch + j * n;
            L.Store(y0, to);
            L.Store(y1, to + 6 * n);
            L.Store(y2, to + 12 * n);
            L.Store(y3, to + 18 * n);
        }
        for (int i = 0; i < 4; i++, scratch += 6 * n, y += row)
        {
            var (y0, y1, y2, y3) = Output(L.Load(scratch), L.Load(scratch + n), L.Load(scratch + 2 * n), L.Load(scratch + 3 * n), L.Load(scratch + 4 * n), L.Load(scratch + 5 * n), bias);
            if (addend is not null)
            {
                y0 += E.Load(addend);
                y1 += E.Load(addend + pixel);
                y2 += E.Load(addend + 2 * pixel);
                y3 += E.Load(addend + 3 * pixel);
                addend += row;
            }
            E.Store(y0, y);
            E.Store(y1, y + pixel);
            E.Store(y2, y + 2 * pixel);
            E.Store(y3, y + 3 * pixel);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void InputHalf(float* d, nint row, nint pixel, bool upper, float* v, nint stride, float* scratch)
    {
        int n = L.Count;
        for (int j = 0; j < 6; j++, d += pixel)
        {
            if (upper)
                InputUpper(L.Load(d + row), L.Load(d + 2 * row), L.Load(d + 3 * row), L.Load(d + 4 * row), L.Load(d + 5 * row), scratch + j * n, 6 * n);
            else
                InputLower(L.Load(d), L.Load(d + row), L.Load(d + 2 * row), L.Load(d + 3 * row), L.Load(d + 4 * row), scratch + j * n, 6 * n);
        }
        for (int i = 0; i < 3; i++, scratch += 6 * n, v += 6 * stride)
            Input(L.Load(scratch), L.Load(scratch + n), L.Load(scratch + 2 * n), L.Load(scratch + 3 * n), L.Load(scratch + 4 * n), L.Load(scratch + 5 * n), v, stride);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void OutputGradientHalf(float* dy, nint row, nint pixel, bool upper, float* v, nint stride, float* scratch)
    {
        int n = L.Count;
        for (int j = 0; j < 4; j++, dy += pixel)
        {
            if (upper)
                OutputGradientUpper(L.Load(dy), L.Load(dy + row), L.Load(dy + 2 * row), L.Load(dy + 3 * row), scratch + j * n, 4 * n);
            else
                OutputGradientLower(L.Load(dy), L.Load(dy + row), L.Load(dy + 2 * row), L.Load(dy + 3 * row), scratch + j * n, 4 * n);
        }
        for (int i = 0; i < 3; i++, scratch += 4 * n, v += 6 * stride)
        {
            L y0 = L.Load(scratch), y1 = L.Load(scratch + n), y2 = L.Load(scratch + 2 * n), y3 = L.Load(scratch + 3 * n);
            OutputGradientLower(y0, y1, y2, y3, v, stride);
            OutputGradientUpper(y0, y1, y2, y3, v + 3 * stride, stride);
        }
    }

    /// <inheritdoc/>
    /// <remarks>Six numbers of all inputs before the next six: each number lies on pages of its own, and a processor keeps few of those to be written at hand.</remarks>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Weights(float* g, nint input, nint row, nint column, float* u, int at, int inputs, int output, int width, nint stride, float* scratch)
    {
        int n = L.Count;
        u += (nint)at * width + output;
        for (int c = 0; c < n; c++, g += input)
        {
            for (int j = 0; j < 3; j++)
                Weight(L.Load(g + j * column), L.Load(g + j * column + row), L.Load(g + j * column + 2 * row), scratch + (18 * c + j) * n, 3 * n);
        }
        for (int i = 0; i < 6; i++, scratch += 3 * n, u += 6 * stride)
        {
            for (int c = 0; c < n; c++)
            {
                float* three = scratch + 18 * c * n;
                Weight(L.Load(three), L.Load(three + n), L.Load(three + 2 * n), u + c * width, stride);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void WeightGradientHalf(float* u, nint stride, bool upper, float* g, nint next, float* scratch)
    {
        int n = L.Count;
        for (int j = 0; j < 6; j++, u += stride)
        {
            L u0 = L.Load(u), u1 = L.Load(u + 6 * stride), u2 = L.Load(u + 12 * stride);
            if (upper)
                WeightGradientUpper(u0, u1, u2, scratch + j * n, 6 * n);
            else
                WeightGradientLower(u0, u1, u2, scratch + j * n, 6 * n);
        }
        for (int i = 0; i < 3; i++, scratch += 6 * n, g += 3 * next)
            WeightGradient(L.Load(scratch), L.Load(scratch + n), L.Load(scratch + 2 * n), L.Load(scratch + 3 * n), L.Load(scratch + 4 * n), L.Load(scratch + 5 * n), g, next);
    }

    // The matrices, a column of numbers at a time, for the points 0, ±a, ±b and infinity.

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Input(L d0, L d1, L d2, L d3, L d4, L d5, float* to, nint stride)
    {
        InputLower(d0, d1, d2, d3, d4, to, stride);
        InputUpper(d1, d2, d3, d4, d5, to + 3 * stride, stride);
    }

    /// <summary>The points 0 and ±a.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void InputLower(L d0, L d1, L d2, L d3, L d4, float* to, nint stride)
    {
        L b2 = L.All(-B * B), product = L.All(A * A * B * B), sum = L.All(-A * A - B * B);
        L even = L.Fma(b2, d2, d4), odd = L.All(A) * L.Fma(b2, d1, d3);
        L.Store(L.Fma(product, d0, L.Fma(sum, d2, d4)), to);
        L.Store(even + odd, to + stride);
        L.Store(even - odd, to + 2 * stride);
    }

    /// <summary>The points ±b and infinity.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void InputUpper(L d1, L d2, L d3, L d4, L d5, float* to, nint stride)
    {
        L a2 = L.All(-A * A), product = L.All(A * A * B * B), sum = L.All(-A * A - B * B);
        L even = L.Fma(a2, d2, d4), odd = L.All(B) * L.Fma(a2, d1, d3);
        L.Store(even + odd, to);
        L.Store(even - odd, to + stride);
        L.Store(L.Fma(product, d1, L.Fma(sum, d3, d5)), to + 2 * stride);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static (L Y0, L Y1, L Y2, L Y3) Output(L m0, L m1, L m2, L m3, L m4, L m5, L bias)
    {
        L evenA = m1 + m2, oddA = m1 - m2, evenB = m3 + m4, oddB = m3 - m4;
        return (
            m0 + evenA + evenB + bias,
            L.Fma(L.All(A), oddA, L.Fma(L.All(B), oddB, bias)),
            L.Fma(L.All(A * A), evenA, L.Fma(L.All(B * B), evenB, bias)),
            L.Fma(L.All(A * A * A), oddA, L.Fma(L.All(B * B * B), oddB, m5 + bias)));
    }

    /// <summary>The points 0 and ±a.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void OutputGradientLower(L y0, L y1, L y2, L y3, float* to, nint stride)
    {
        L even = L.Fma(L.All(A * A), y2, y0), odd = L.Fma(L.All(A * A * A), y3, L.All(A) * y1);
        L.Store(y0, to);
        L.Store(even + odd, to + stride);
        L.Store(even - odd, to + 2 * stride);
    }

    /// <summary>The points ±b and infinity.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void OutputGradientUpper(L y0, L y1, L y2, L y3, float* to, nint stride)
    {
        L even = L.Fma(L.All(B * B), y2, y0), odd = L.Fma(L.All(B * B * B), y3, L.All(B) * y1);
        L.Store(even + odd, to);
        L.Store(even - odd, to + stride);
        L.Store(y3, to + 2 * stride);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Weight(L g0, L g1, L g2, float* to, nint stride)
    {
        L even = L.Fma(g2, L.All(A * A), g0) * L.All(1 / NormA), odd = g1 * L.All(A / NormA);
        L.Store(g0 * L.All(1 / (A * A * B * B)), to);
        L.Store(even + odd, to + stride);
        L.Store(even - odd, to + 2 * stride);
        even = L.Fma(g2, L.All(B * B), g0) * L.All(1 / NormB);
        odd = g1 * L.All(B / NormB);
        L.Store(even + odd, to + 3 * stride);
        L.Store(even - odd, to + 4 * stride);
        L.Store(g2, to + 5 * stride);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void WeightGradient(L u0, L u1, L u2, L u3, L u4, L u5, float* to, nint stride)
    {
        L evenA = (u1 + u2) * L.All(1 / NormA), oddA = (u1 - u2) * L.All(A / NormA), evenB = (u3 + u4) * L.All(1 / NormB);
        L.Store(L.Fma(u0, L.All(1 / (A * A * B * B)), evenA + evenB), to);
        L.Store(L.Fma(u3 - u4, L.All(B / NormB), oddA), to + stride);
        L.Store(L.Fma(evenA, L.All(A * A), L.Fma(evenB, L.All(B * B), u5)), to + 2 * stride);
    }

    /// <summary>What the points 0 and ±a give.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void WeightGradientLower(L u0, L u1, L u2, float* to, nint stride)
    {
        L even = (u1 + u2) * L.All(1 / NormA);
        L.Store(L.Fma(u0, L.All(1 / (A * A * B * B)), even), to);
        L.Store((u1 - u2) * L.All(A / NormA), to + stride);
        L.Store(even * L.All(A * A), to + 2 * stride);
    }

    /// <summary>What the points ±b and infinity give.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void WeightGradientUpper(L u3, L u4, L u5, float* to, nint stride)
    {
        L even = (u3 + u4) * L.All(1 / NormB);
        L.Store(even, to);
        L.Store((u3 - u4) * L.All(B / NormB), to + stride);
        L.Store(L.Fma(even, L.All(B * B), u5), to + 2 * stride);
    }
}
