using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// <see cref="ComplexPoints"/> of an image that was doubled by nearest neighbours. The six pixels of a tile in one direction are four, p q q r r s: the value at −1 is nothing, that at i
/// has equal real and imaginary parts, so that a complex product is two real ones. 25 products a pair of channels are left of 46, of 16 transformed pixels.
/// </summary>
/// <param name="unit">Multiplies.</param>
internal readonly unsafe struct DoubledPoints(PairUnit unit) : IWinogradPoints<Lanes512>
{
    // Pixels have a value at 0, 1, i and infinity; weights and products at 0, at 1, real and imaginary part at i, and at infinity.

    private const int Pixels = 4, Products = 5;
    private const int N = 16;

    private readonly PairUnit _unit = unit;

    /// <summary>The pixels' value that belongs to each of the weights'.</summary>
    private static ReadOnlySpan<byte> PixelOf => [0, 1, 2, 2, 3];

    public static int PixelMatrices => Pixels * Pixels;

    public static int WeightMatrices => Products * Products;

    public static bool KeepsWeights => true;

    public static int Values => WeightMatrices;

    public static int ScratchRegisters => 2 * Pixels * Pixels;

    public static int WeightRegisters => 3 * Products * N;

    public static int LeastPanel => ComplexPoints.LeastPanel;

    public static nint Floats(nint vectors, int inputs) => ComplexPoints.Floats(vectors, inputs);

    public static int Rows(int tiles) => ComplexPoints.Rows(tiles);

    public static int PanelAt(int outputs, int output) => ComplexPoints.PanelAt(outputs, output);

    public static int PanelStart(int outputs, int output) => ComplexPoints.PanelStart(outputs, output);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Input(float* d, nint row, int count, float* v, nint tile, int first, int channels, nint stride, float* scratch)
    {
        ushort* to = (ushort*)v + tile * channels + first;
        for (int c = 0; c < count; c += 2 * N, d += 2 * N, to += 2 * N)
            Input(d, row, count, to, 2 * stride, scratch);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public static void Weights(float* g, nint input, nint row, nint column, float* u, int at, int inputs, int output, int width, nint stride, float* scratch)
    {
        const int three = 3 * Products;
        for (int c = 0; c < N; c++, g += input)
        {
            for (int j = 0; j < 3; j++)
            {
                float* from = g + j * column, to = scratch + (three * c + j) * N;
                var (zero, one, infinity) = WeightReal(Vector512.Load(from), Vector512.Load(from + row), Vector512.Load(from + 2 * row));
                var (re, im) = WeightComplex(Vector512.Load(from), Vector512.Load(from + row), Vector512.Load(from + 2 * row));
                zero.Store(to);
                one.Store(to + 3 * N);
                re.Store(to + 6 * N);
                im.Store(to + 9 * N);
                infinity.Store(to + 12 * N);
            }
        }
        // Two inputs lie together in pairs.
        u += (nint)at / 2 * width + output;
        for (int i = 0; i < Products; i++, scratch += 3 * N, u += Products * stride)
        {
            for (int c = 0; c < N; c += 2)
            {
                float* x = scratch + three * c * N, y = x + three * N;
                Vector512<float> x0 = Vector512.Load(x), x1 = Vector512.Load(x + N), x2 = Vector512.Load(x + 2 * N);
                Vector512<float> y0 = Vector512.Load(y), y1 = Vector512.Load(y + N), y2 = Vector512.Load(y + 2 * N);
                var (zeroX, oneX, infinityX) = WeightReal(x0, x1, x2);
                var (zeroY, oneY, infinityY) = WeightReal(y0, y1, y2);
                var (reX, imX) = WeightComplex(x0, x1, x2);
                var (reY, imY) = WeightComplex(y0, y1, y2);
                float* to = u + (nint)c / 2 * width;
                BFloat16Layout.StorePairsNear(zeroX, zeroY, (ushort*)to);
                BFloat16Layout.StorePairsNear(oneX, oneY, (ushort*)(to + stride));
                BFloat16Layout.StorePairsNear(reX, reY, (ushort*)(to + 2 * stride));
                BFloat16Layout.StorePairsNear(imX, imY, (ushort*)(to + 3 * stride));
                BFloat16Layout.StorePairsNear(infinityX, infinityY, (ushort*)(to + 4 * stride));
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void Multiply(float* v, nint vStride, float* u, nint uStride, float* m, nint mStride, int tiles, int width, int inputs)
    {
        nint* offsets = stackalloc nint[inputs / MatrixUnit.Depth];
        BlockProduct product = ComplexPoints.ProductOf(offsets, width, inputs);
        _unit.Begin();
        foreach (byte row in PixelOf)
        {
            foreach (byte column in PixelOf)
            {
                product.A = (ushort*)(v + (Pixels * row + column) * vStride);
                product.B = (ushort*)u;
                product.C = m;
                _unit.MultiplyRows(&product, Rows(tiles));
                u += uStride;
                m += mStride;
            }
        }
        _unit.End();
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public static void Output<E>(float* m, nint stride, E* y, nint row, nint pixel, Lanes512 bias, E* addend, float* scratch)
        where E : unmanaged, IElement<E, Lanes512>
    {
        for (int j = 0; j < Products; j++, m += stride)
        {
            var (y0, y1, y2, y3) = Output(m, Products * stride);
            float* to = scratch + j * N;
            y0.Store(to);
            y1.Store(to + Products * N);
            y2.Store(to + 2 * Products * N);
            y3.Store(to + 3 * Products * N);
        }
        for (int i = 0; i < 4; i++, scratch += Products * N, y += row)
        {
            var (y0, y1, y2, y3) = Output(scratch, N);
            ComplexPoints.WriteRow(y0, y1, y2, y3, y, pixel, bias, addend);
            if (addend is not null)
                addend += row;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Input(float* d, nint row, nint pixel, ushort* v, nint stride, float* scratch)
    {
        float* x = scratch, y = scratch + Pixels * Pixels * N;
        InputColumn(d, row, x);
        InputColumn(d + N, row, y);
        InputColumn(d + pixel, row, x + N);
        InputColumn(d + pixel + N, row, y + N);
        InputColumn(d + 3 * pixel, row, x + 2 * N);
        InputColumn(d + 3 * pixel + N, row, y + 2 * N);
        InputColumn(d + 5 * pixel, row, x + 3 * N);
        InputColumn(d + 5 * pixel + N, row, y + 3 * N);
        for (int i = 0; i < Pixels; i++, x += Pixels * N, y += Pixels * N, v += Pixels * stride)
        {
            Vector512<float> x0 = Vector512.Load(x), x1 = Vector512.Load(x + N), x2 = Vector512.Load(x + 2 * N), x3 = Vector512.Load(x + 3 * N);
            Vector512<float> y0 = Vector512.Load(y), y1 = Vector512.Load(y + N), y2 = Vector512.Load(y + 2 * N), y3 = Vector512.Load(y + 3 * N);
            BFloat16Layout.StoreNear(x0 - x2, y0 - y2, v);
            BFloat16Layout.StoreNear(x1 + x2, y1 + y2, v + stride);
            BFloat16Layout.StoreNear(x2 - x1, y2 - y1, v + 2 * stride);
            BFloat16Layout.StoreNear(x3 - x1, y3 - y1, v + 3 * stride);
        }
    }

    /// <summary>One of each two pixels that are the same.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void InputColumn(float* d, nint row, float* to)
    {
        Vector512<float> p = Vector512.Load(d), q = Vector512.Load(d + row), r = Vector512.Load(d + 3 * row), s = Vector512.Load(d + 5 * row);
        (p - r).Store(to);
        (q + r).Store(to + Pixels * N);
        (r - q).Store(to + 2 * Pixels * N);
        (s - q).Store(to + 3 * Pixels * N);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static (Vector512<float> Zero, Vector512<float> One, Vector512<float> Infinity) WeightReal(Vector512<float> g0, Vector512<float> g1, Vector512<float> g2) =>
        (g0, (g0 + g2 + g1) * Vector512.Create(0.5f), g2);

    /// <summary>Of (1 + i)(g0 + i·g1 − g2), twice: that at −i gives as much.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static (Vector512<float> Re, Vector512<float> Im) WeightComplex(Vector512<float> g0, Vector512<float> g1, Vector512<float> g2)
    {
        Vector512<float> half = Vector512.Create(0.5f), even = g0 - g2;
        return ((even - g1) * half, (even + g1) * half);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static (Vector512<float> Y0, Vector512<float> Y1, Vector512<float> Y2, Vector512<float> Y3) Output(float* m, nint next)
    {
        Vector512<float> one = Vector512.Load(m + next), re = Vector512.Load(m + 2 * next), im = Vector512.Load(m + 3 * next);
        return (Vector512.Load(m) + one + re, one - im, one - re, one + im + Vector512.Load(m + 4 * next));
    }
}
