using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Microsoft.ML.Diffusion;

/// <content>Bᵀ d B: pixels to their values at the points.</content>
internal readonly unsafe partial struct ComplexPoints
{
    // The transforms of pixels keep nothing in memory between their two directions: a row of values is made of pixels that are loaded once more, which costs less than storing it.
    // Each is a method of its own, for its numbers to fit the registers.

    /// <summary>Bᵀ d B of two registers of pixels.</summary>
    /// <param name="x">The first pixel.</param>
    /// <param name="second">From the first register to the second.</param>
    /// <param name="row">From a row of pixels to the next.</param>
    /// <param name="pixel">From a pixel to the next.</param>
    /// <param name="v">The first matrix.</param>
    /// <param name="stride">From a matrix to the next.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void InputWhole(float* x, nint second, nint row, nint pixel, ushort* v, nint stride)
    {
        float* y = x + second;
        InputDifferences<Sequence>(x, y, 4 * row, pixel, v, stride);
        InputSums<Sequence>(x, y, row, pixel, v + RealRow * stride, stride);
        InputDifferences<Sequence>(x + 5 * row, y + 5 * row, -4 * row, pixel, v + 3 * RealRow * stride, stride);
        InputComplexRows<Sequence>(x, y, row, pixel, v + 4 * RealRow * stride, stride);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void InputLower(float* x, nint second, nint row, nint pixel, ushort* v, nint stride)
    {
        float* y = x + second;
        InputDifferences<Pairs>(x, y, 4 * row, pixel, v, stride);
        InputSums<Pairs>(x, y, row, pixel, v + RealRow * stride, stride);
        v += 3 * RealRow * stride;
        x += 5 * row;
        y += 5 * row;
        Pairs.Store(Difference(x, -4 * row) - Difference(x + 4 * pixel, -4 * row), Difference(y, -4 * row) - Difference(y + 4 * pixel, -4 * row), v);
        x += pixel;
        y += pixel;
        Pairs.Store(Difference(x + 4 * pixel, -4 * row) - Difference(x, -4 * row), Difference(y + 4 * pixel, -4 * row) - Difference(y, -4 * row), v + stride);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void InputUpper(float* x, nint second, nint row, nint pixel, ushort* v, nint stride)
    {
        float* y = x + second;
        InputComplexRows<Pairs>(x, y, row, pixel, v + 5 * stride, stride);
        x += 5 * row + pixel;
        y += 5 * row + pixel;
        row *= -4;
        Vector512<float> x1 = Difference(x, row), x2 = Difference(x + pixel, row), x3 = Difference(x + 2 * pixel, row), x4 = Difference(x + 3 * pixel, row);
        Vector512<float> y1 = Difference(y, row), y2 = Difference(y + pixel, row), y3 = Difference(y + 2 * pixel, row), y4 = Difference(y + 3 * pixel, row);
        Pairs.Store(x2 + x4 + (x1 + x3), y2 + y4 + (y1 + y3), v);
        Pairs.Store(x2 + x4 - (x1 + x3), y2 + y4 - (y1 + y3), v + stride);
        StorePixels<Pairs>(x4 - x2, x3 - x1, y4 - y2, y3 - y1, v + 2 * stride, stride);
    }

    /// <summary>The real points of six pixels.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static (Vector512<float> Zero, Vector512<float> One, Vector512<float> Minus, Vector512<float> Infinity) InputReal(
        Vector512<float> d0, Vector512<float> d1, Vector512<float> d2, Vector512<float> d3, Vector512<float> d4, Vector512<float> d5)
    {
        Vector512<float> even = d2 + d4, odd = d1 + d3;
        return (d0 - d4, even + odd, even - odd, d5 - d1);
    }

    /// <summary>The value at i of the same.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static (Vector512<float> Re, Vector512<float> Im) InputComplex(Vector512<float> d1, Vector512<float> d2, Vector512<float> d3, Vector512<float> d4) => (d4 - d2, d3 - d1);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> Difference(float* d, nint other) => Vector512.Load(d) - Vector512.Load(d + other);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> Sum(float* d, nint other) => Vector512.Load(d) + Vector512.Load(d + other);

    /// <summary>The row of 0 or of infinity, whose columns are differences of two pixels: four real numbers and a complex one.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void InputDifferences<S>(float* x, float* y, nint other, nint pixel, ushort* v, nint stride)
        where S : struct, ITwoRegisters
    {
        Vector512<float> x1 = Difference(x + pixel, other), x2 = Difference(x + 2 * pixel, other), x3 = Difference(x + 3 * pixel, other), x4 = Difference(x + 4 * pixel, other);
        var (zeroX, oneX, minusX, infinityX) = InputReal(Difference(x, other), x1, x2, x3, x4, Difference(x + 5 * pixel, other));
        Vector512<float> y1 = Difference(y + pixel, other), y2 = Difference(y + 2 * pixel, other), y3 = Difference(y + 3 * pixel, other), y4 = Difference(y + 4 * pixel, other);
        var (zeroY, oneY, minusY, infinityY) = InputReal(Difference(y, other), y1, y2, y3, y4, Difference(y + 5 * pixel, other));
        S.Store(zeroX, zeroY, v);
        S.Store(oneX, oneY, v + stride);
        S.Store(minusX, minusY, v + 2 * stride);
        S.Store(infinityX, infinityY, v + 3 * stride);
        var (reX, imX) = InputComplex(x1, x2, x3, x4);
        var (reY, imY) = InputComplex(y1, y2, y3, y4);
        StorePixels<S>(reX, imX, reY, imY, v + 4 * stride, stride);
    }

    /// <summary>The rows of 1 and −1: sum and difference of what even and odd rows of pixels give.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void InputSums<S>(float* x, float* y, nint row, nint pixel, ushort* v, nint stride)
        where S : struct, ITwoRegisters
    {
        x += row;
        y += row;
        nint other = 2 * row;
        Vector512<float> x1 = Sum(x + pixel, other), x2 = Sum(x + 2 * pixel, other), x3 = Sum(x + 3 * pixel, other), x4 = Sum(x + 4 * pixel, other);
        var (oddZeroX, oddOneX, oddMinusX, oddInfinityX) = InputReal(Sum(x, other), x1, x2, x3, x4, Sum(x + 5 * pixel, other));
        var (oddReX, oddImX) = InputComplex(x1, x2, x3, x4);
        Vector512<float> y1 = Sum(y + pixel, other), y2 = Sum(y + 2 * pixel, other), y3 = Sum(y + 3 * pixel, other), y4 = Sum(y + 4 * pixel, other);
        var (oddZeroY, oddOneY, oddMinusY, oddInfinityY) = InputReal(Sum(y, other), y1, y2, y3, y4, Sum(y + 5 * pixel, other));
        var (oddReY, oddImY) = InputComplex(y1, y2, y3, y4);
        x += row;
        y += row;
        x1 = Sum(x + pixel, other);
        x2 = Sum(x + 2 * pixel, other);
        x3 = Sum(x + 3 * pixel, other);
        x4 = Sum(x + 4 * pixel, other);
        var (zeroX, oneX, minusX, infinityX) = InputReal(Sum(x, other), x1, x2, x3, x4, Sum(x + 5 * pixel, other));
        var (reX, imX) = InputComplex(x1, x2, x3, x4);
        y1 = Sum(y + pixel, other);
        y2 = Sum(y + 2 * pixel, other);
        y3 = Sum(y + 3 * pixel, other);
        y4 = Sum(y + 4 * pixel, other);
        var (zeroY, oneY, minusY, infinityY) = InputReal(Sum(y, other), y1, y2, y3, y4, Sum(y + 5 * pixel, other));
        var (reY, imY) = InputComplex(y1, y2, y3, y4);

        ushort* minus = v + RealRow * stride;
        S.Store(zeroX + oddZeroX, zeroY + oddZeroY, v);
        S.Store(zeroX - oddZeroX, zeroY - oddZeroY, minus);
        S.Store(oneX + oddOneX, oneY + oddOneY, v + stride);
        S.Store(oneX - oddOneX, oneY - oddOneY, minus + stride);
        S.Store(minusX + oddMinusX, minusY + oddMinusY, v + 2 * stride);
        S.Store(minusX - oddMinusX, minusY - oddMinusY, minus + 2 * stride);
        S.Store(infinityX + oddInfinityX, infinityY + oddInfinityY, v + 3 * stride);
        S.Store(infinityX - oddInfinityX, infinityY - oddInfinityY, minus + 3 * stride);
        StorePixels<S>(reX + oddReX, imX + oddImX, reY + oddReY, imY + oddImY, v + 4 * stride, stride);
        StorePixels<S>(reX - oddReX, imX - oddImX, reY - oddReY, imY - oddImY, minus + 4 * stride, stride);
    }

    /// <summary>The rows of i: complex numbers at (i, 0), (i, 1), (i, −1), (i, ∞), (i, i) and (i, −i).</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void InputComplexRows<S>(float* x, float* y, nint row, nint pixel, ushort* v, nint stride)
        where S : struct, ITwoRegisters
    {
        x += 3 * row;
        y += 3 * row;
        nint other = -2 * row;
        Vector512<float> x1 = Difference(x + pixel, other), x2 = Difference(x + 2 * pixel, other), x3 = Difference(x + 3 * pixel, other), x4 = Difference(x + 4 * pixel, other);
        var (imZeroX, imOneX, imMinusX, imInfinityX) = InputReal(Difference(x, other), x1, x2, x3, x4, Difference(x + 5 * pixel, other));
        var (irX, iiX) = InputComplex(x1, x2, x3, x4);
        Vector512<float> y1 = Difference(y + pixel, other), y2 = Difference(y + 2 * pixel, other), y3 = Difference(y + 3 * pixel, other), y4 = Difference(y + 4 * pixel, other);
        var (imZeroY, imOneY, imMinusY, imInfinityY) = InputReal(Difference(y, other), y1, y2, y3, y4, Difference(y + 5 * pixel, other));
        var (irY, iiY) = InputComplex(y1, y2, y3, y4);
        x += row;
        y += row;
        x1 = Difference(x + pixel, other);
        x2 = Difference(x + 2 * pixel, other);
        x3 = Difference(x + 3 * pixel, other);
        x4 = Difference(x + 4 * pixel, other);
        var (zeroX, oneX, minusX, infinityX) = InputReal(Difference(x, other), x1, x2, x3, x4, Difference(x + 5 * pixel, other));
        var (rrX, riX) = InputComplex(x1, x2, x3, x4);
        y1 = Difference(y + pixel, other);
        y2 = Difference(y + 2 * pixel, other);
        y3 = Difference(y + 3 * pixel, other);
        y4 = Difference(y + 4 * pixel, other);
        var (zeroY, oneY, minusY, infinityY) = InputReal(Difference(y, other), y1, y2, y3, y4, Difference(y + 5 * pixel, other));
        var (rrY, riY) = InputComplex(y1, y2, y3, y4);

        StorePixels<S>(zeroX, imZeroX, zeroY, imZeroY, v, stride);
        StorePixels<S>(oneX, imOneX, oneY, imOneY, v + 3 * stride, stride);
        StorePixels<S>(minusX, imMinusX, minusY, imMinusY, v + 6 * stride, stride);
        StorePixels<S>(infinityX, imInfinityX, infinityY, imInfinityY, v + 9 * stride, stride);
        StorePixels<S>(rrX - iiX, riX + irX, rrY - iiY, riY + irY, v + 12 * stride, stride);
        StorePixels<S>(rrX + iiX, irX - riX, rrY + iiY, irY - riY, v + 15 * stride, stride);
    }
}
