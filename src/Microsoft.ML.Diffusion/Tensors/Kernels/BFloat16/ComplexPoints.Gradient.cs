using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Microsoft.ML.Diffusion;

/// <content>A dY Aᵀ and Gᵀ u G: the gradient of an output to values, and the sums of their products to the gradient of a weight.</content>
internal readonly unsafe partial struct ComplexPoints
{
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void OutputGradientLower(float* x, nint second, nint row, nint pixel, ushort* v, nint stride)
    {
        float* y = x + second;
        Vector512<float> x0 = Vector512.Load(x), x1 = Vector512.Load(x + pixel), x2 = Vector512.Load(x + 2 * pixel), x3 = Vector512.Load(x + 3 * pixel);
        var (zeroX, oneX, minusX, infinityX) = OutputGradientReal(x0, x1, x2, x3);
        Vector512<float> y0 = Vector512.Load(y), y1 = Vector512.Load(y + pixel), y2 = Vector512.Load(y + 2 * pixel), y3 = Vector512.Load(y + 3 * pixel);
        var (zeroY, oneY, minusY, infinityY) = OutputGradientReal(y0, y1, y2, y3);
        Pairs.Store(zeroX, zeroY, v);
        Pairs.Store(oneX, oneY, v + stride);
        Pairs.Store(minusX, minusY, v + 2 * stride);
        Pairs.Store(infinityX, infinityY, v + 3 * stride);
        StoreGradient(x0 - x2, x3 - x1, y0 - y2, y3 - y1, v + 4 * stride, stride);
        OutputGradientSums(x, y, row, pixel, v + RealRow * stride, stride);
        v += 3 * RealRow * stride;
        x += 3 * row;
        y += 3 * row;
        Pairs.Store(Vector512.Load(x), Vector512.Load(y), v);
        Pairs.Store(Vector512.Load(x + 3 * pixel), Vector512.Load(y + 3 * pixel), v + stride);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void OutputGradientUpper(float* x, nint second, nint row, nint pixel, ushort* v, nint stride)
    {
        float* y = x + second;
        OutputGradientComplexRows(x, y, row, pixel, v + 5 * stride, stride);
        x += 3 * row;
        y += 3 * row;
        Vector512<float> x0 = Vector512.Load(x), x1 = Vector512.Load(x + pixel), x2 = Vector512.Load(x + 2 * pixel), x3 = Vector512.Load(x + 3 * pixel);
        Vector512<float> y0 = Vector512.Load(y), y1 = Vector512.Load(y + pixel), y2 = Vector512.Load(y + 2 * pixel), y3 = Vector512.Load(y + 3 * pixel);
        Pairs.Store(x0 + x2 + (x1 + x3), y0 + y2 + (y1 + y3), v);
        Pairs.Store(x0 + x2 - (x1 + x3), y0 + y2 - (y1 + y3), v + stride);
        StoreGradient(x0 - x2, x3 - x1, y0 - y2, y3 - y1, v + 2 * stride, stride);
    }

    /// <summary>The rows of 1 and −1: sum and difference of what even and odd rows of pixels give.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void OutputGradientSums(float* x, float* y, nint row, nint pixel, ushort* v, nint stride)
    {
        nint other = 2 * row;
        Vector512<float> x0 = Sum(x, other), x1 = Sum(x + pixel, other), x2 = Sum(x + 2 * pixel, other), x3 = Sum(x + 3 * pixel, other);
        var (zeroX, oneX, minusX, infinityX) = OutputGradientReal(x0, x1, x2, x3);
        var (reX, imX) = OutputGradientComplex(x0, x1, x2, x3);
        Vector512<float> y0 = Sum(y, other), y1 = Sum(y + pixel, other), y2 = Sum(y + 2 * pixel, other), y3 = Sum(y + 3 * pixel, other);
        var (zeroY, oneY, minusY, infinityY) = OutputGradientReal(y0, y1, y2, y3);
        var (reY, imY) = OutputGradientComplex(y0, y1, y2, y3);
        x += row;
        y += row;
        x0 = Sum(x, other);
        x1 = Sum(x + pixel, other);
        x2 = Sum(x + 2 * pixel, other);
        x3 = Sum(x + 3 * pixel, other);
        var (oddZeroX, oddOneX, oddMinusX, oddInfinityX) = OutputGradientReal(x0, x1, x2, x3);
        var (oddReX, oddImX) = OutputGradientComplex(x0, x1, x2, x3);
        y0 = Sum(y, other);
        y1 = Sum(y + pixel, other);
        y2 = Sum(y + 2 * pixel, other);
        y3 = Sum(y + 3 * pixel, other);
        var (oddZeroY, oddOneY, oddMinusY, oddInfinityY) = OutputGradientReal(y0, y1, y2, y3);
        var (oddReY, oddImY) = OutputGradientComplex(y0, y1, y2, y3);

        ushort* minus = v + RealRow * stride;
        Pairs.Store(zeroX + oddZeroX, zeroY + oddZeroY, v);
        Pairs.Store(zeroX - oddZeroX, zeroY - oddZeroY, minus);
        Pairs.Store(oneX + oddOneX, oneY + oddOneY, v + stride);
        Pairs.Store(oneX - oddOneX, oneY - oddOneY, minus + stride);
        Pairs.Store(minusX + oddMinusX, minusY + oddMinusY, v + 2 * stride);
        Pairs.Store(minusX - oddMinusX, minusY - oddMinusY, minus + 2 * stride);
        Pairs.Store(infinityX + oddInfinityX, infinityY + oddInfinityY, v + 3 * stride);
        Pairs.Store(infinityX - oddInfinityX, infinityY - oddInfinityY, minus + 3 * stride);
        StoreGradient(reX + oddReX, imX + oddImX, reY + oddReY, imY + oddImY, v + 4 * stride, stride);
        StoreGradient(reX - oddReX, imX - oddImX, reY - oddReY, imY - oddImY, minus + 4 * stride, stride);
    }

    /// <summary>The rows of i: complex numbers at (i, 0), (i, 1), (i, −1), (i, ∞), (i, i) and (i, −i).</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void OutputGradientComplexRows(float* x, float* y, nint row, nint pixel, ushort* v, nint stride)
    {
        nint other = 2 * row;
        Vector512<float> x0 = Difference(x, other), x1 = Difference(x + pixel, other), x2 = Difference(x + 2 * pixel, other), x3 = Difference(x + 3 * pixel, other);
        var (zeroX, oneX, minusX, infinityX) = OutputGradientReal(x0, x1, x2, x3);
        var (rrX, riX) = OutputGradientComplex(x0, x1, x2, x3);
        Vector512<float> y0 = Difference(y, other), y1 = Difference(y + pixel, other), y2 = Difference(y + 2 * pixel, other), y3 = Difference(y + 3 * pixel, other);
        var (zeroY, oneY, minusY, infinityY) = OutputGradientReal(y0, y1, y2, y3);
        var (rrY, riY) = OutputGradientComplex(y0, y1, y2, y3);
        x += 3 * row;
        y += 3 * row;
        other = -other;
        x0 = Difference(x, other);
        x1 = Difference(x + pixel, other);
        x2 = Difference(x + 2 * pixel, other);
        x3 = Difference(x + 3 * pixel, other);
        var (imZeroX, imOneX, imMinusX, imInfinityX) = OutputGradientReal(x0, x1, x2, x3);
        var (irX, iiX) = OutputGradientComplex(x0, x1, x2, x3);
        y0 = Difference(y, other);
        y1 = Difference(y + pixel, other);
        y2 = Difference(y + 2 * pixel, other);
        y3 = Difference(y + 3 * pixel, other);
        var (imZeroY, imOneY, imMinusY, imInfinityY) = OutputGradientReal(y0, y1, y2, y3);
        var (irY, iiY) = OutputGradientComplex(y0, y1, y2, y3);

        StoreGradient(zeroX, imZeroX, zeroY, imZeroY, v, stride);
        StoreGradient(oneX, imOneX, oneY, imOneY, v + 3 * stride, stride);
        StoreGradient(minusX, imMinusX, minusY, imMinusY, v + 6 * stride, stride);
        StoreGradient(infinityX, imInfinityX, infinityY, imInfinityY, v + 9 * stride, stride);
        StoreGradient(rrX - iiX, riX + irX, rrY - iiY, riY + irY, v + 12 * stride, stride);
        StoreGradient(rrX + iiX, irX - riX, rrY + iiY, irY - riY, v + 15 * stride, stride);
    }

    /// <summary>The real points of four pixels' gradients.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static (Vector512<float> Zero, Vector512<float> One, Vector512<float> Minus, Vector512<float> Infinity) OutputGradientReal(
        Vector512<float> y0, Vector512<float> y1, Vector512<float> y2, Vector512<float> y3)
    {
        Vector512<float> even = y0 + y2, odd = y1 + y3;
        return (y0, even + odd, even - odd, y3);
    }

    /// <summary>The value at i of the same.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static (Vector512<float> Re, Vector512<float> Im) OutputGradientComplex(Vector512<float> y0, Vector512<float> y1, Vector512<float> y2, Vector512<float> y3) => (y0 - y2, y3 - y1);

    /// <summary>The real and the imaginary part of Σ (a − bi)(p + qi), of the sums of ap, (a + 2b)(p − 2q) and (a − 2b)(p + 2q).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static (Vector512<float> Re, Vector512<float> Im) Sums(float* u, nint stride)
    {
        Vector512<float> second = Vector512.Load(u + stride), third = Vector512.Load(u + 2 * stride);
        return (Vector512.FusedMultiplyAdd(second + third, Vector512.Create(-0.125f), Vector512.Load(u) * Vector512.Create(1.25f)), (third - second) * Vector512.Create(0.25f));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static (Vector512<float> G0, Vector512<float> G1, Vector512<float> G2) WeightGradientOfRow(float* u, nint stride)
    {
        var (re, im) = Sums(u + 4 * stride, stride);
        return WeightGradient(Vector512.Load(u), Vector512.Load(u + stride), Vector512.Load(u + 2 * stride), re, im, Vector512.Load(u + 3 * stride));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static (Vector512<float> G0, Vector512<float> G1, Vector512<float> G2) WeightGradient(Vector512<float> u0, Vector512<float> u1, Vector512<float> u2, Vector512<float> re, Vector512<float> im, Vector512<float> u5)
    {
        Vector512<float> quarter = Vector512.Create(0.25f), half = Vector512.Create(0.5f), even = (u1 + u2) * quarter;
        re *= half;
        return (u0 + even + re, Vector512.FusedMultiplyAdd(u1 - u2, quarter, im * half), even - re + u5);
    }
}
