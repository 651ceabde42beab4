using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Microsoft.ML.Diffusion;

/// <content>G g Gᵀ: weights to their values at the points.</content>
internal readonly unsafe partial struct ComplexPoints
{
    /// <summary>Of two inputs, whose numbers lie 18 registers apart.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void WeightRealRow(float* three, ushort* u, nint stride)
    {
        Vector512<float> x0 = Vector512.Load(three), x1 = Vector512.Load(three + N), x2 = Vector512.Load(three + 2 * N);
        three += 18 * N;
        Vector512<float> y0 = Vector512.Load(three), y1 = Vector512.Load(three + N), y2 = Vector512.Load(three + 2 * N);
        var (zeroX, oneX, minusX, infinityX) = WeightReal(x0, x1, x2);
        var (zeroY, oneY, minusY, infinityY) = WeightReal(y0, y1, y2);
        Pairs.Store(zeroX, zeroY, u);
        Pairs.Store(oneX, oneY, u + stride);
        Pairs.Store(minusX, minusY, u + 2 * stride);
        Pairs.Store(infinityX, infinityY, u + 3 * stride);
        var (reX, imX) = WeightComplex(x0, x1, x2);
        var (reY, imY) = WeightComplex(y0, y1, y2);
        StoreWeights(reX, imX, reY, imY, u + 4 * stride, stride);
    }

    /// <summary>Of two inputs, whose numbers lie 18 registers apart.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void WeightComplexRows(float* rows, ushort* u, nint stride)
    {
        float* next = rows + 18 * N;
        Vector512<float> x0 = Vector512.Load(rows), x1 = Vector512.Load(rows + N), x2 = Vector512.Load(rows + 2 * N);
        Vector512<float> z0 = Vector512.Load(rows + 3 * N), z1 = Vector512.Load(rows + 4 * N), z2 = Vector512.Load(rows + 5 * N);
        Vector512<float> y0 = Vector512.Load(next), y1 = Vector512.Load(next + N), y2 = Vector512.Load(next + 2 * N);
        Vector512<float> w0 = Vector512.Load(next + 3 * N), w1 = Vector512.Load(next + 4 * N), w2 = Vector512.Load(next + 5 * N);
        var (zeroX, oneX, minusX, infinityX) = WeightReal(x0, x1, x2);
        var (zeroZ, oneZ, minusZ, infinityZ) = WeightReal(z0, z1, z2);
        var (zeroY, oneY, minusY, infinityY) = WeightReal(y0, y1, y2);
        var (zeroW, oneW, minusW, infinityW) = WeightReal(w0, w1, w2);
        StoreWeights(zeroX, zeroZ, zeroY, zeroW, u, stride);
        StoreWeights(oneX, oneZ, oneY, oneW, u + 3 * stride, stride);
        StoreWeights(minusX, minusZ, minusY, minusW, u + 6 * stride, stride);
        StoreWeights(infinityX, infinityZ, infinityY, infinityW, u + 9 * stride, stride);
        Vector512<float> half = Vector512.Create(0.5f);
        var (rrX, riX) = WeightComplex(x0 * half, x1 * half, x2 * half);
        var (irX, iiX) = WeightComplex(z0 * half, z1 * half, z2 * half);
        var (rrY, riY) = WeightComplex(y0 * half, y1 * half, y2 * half);
        var (irY, iiY) = WeightComplex(w0 * half, w1 * half, w2 * half);
        StoreWeights(rrX - iiX, riX + irX, rrY - iiY, riY + irY, u + 12 * stride, stride);
        StoreWeights(rrX + iiX, irX - riX, rrY + iiY, irY - riY, u + 15 * stride, stride);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static (Vector512<float> Zero, Vector512<float> One, Vector512<float> Minus, Vector512<float> Infinity) WeightReal(Vector512<float> g0, Vector512<float> g1, Vector512<float> g2)
    {
        Vector512<float> quarter = Vector512.Create(0.25f), even = (g0 + g2) * quarter, odd = g1 * quarter;
        return (g0, even + odd, even - odd, g2);
    }

    /// <remarks>Twice the value: that at −i gives as much.</remarks>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static (Vector512<float> Re, Vector512<float> Im) WeightComplex(Vector512<float> g0, Vector512<float> g1, Vector512<float> g2)
    {
        Vector512<float> half = Vector512.Create(0.5f);
        return ((g0 - g2) * half, g1 * half);
    }
}
