using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Microsoft.ML.Diffusion;

/// <content>Aᵀ m A: values to pixels.</content>
internal readonly unsafe partial struct ComplexPoints
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static (Vector512<float> Y0, Vector512<float> Y1, Vector512<float> Y2, Vector512<float> Y3) Output(Vector512<float> m0, Vector512<float> m1, Vector512<float> m2, Vector512<float> re, Vector512<float> im, Vector512<float> m5)
    {
        Vector512<float> even = m1 + m2, odd = m1 - m2;
        return (m0 + even + re, odd - im, even - re, odd + im + m5);
    }

    /// <summary>Real and imaginary part of a complex product.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static (Vector512<float> Re, Vector512<float> Im) Number(float* m, nint next)
    {
        Vector512<float> first = Vector512.Load(m), second = Vector512.Load(m + next), difference = first - second;
        return (first + second, difference + difference);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void OutputColumn(float* m, nint stride, Vector512<float> re, Vector512<float> im, float* to)
    {
        var (y0, y1, y2, y3) = Output(Vector512.Load(m), Vector512.Load(m + 6 * stride), Vector512.Load(m + 12 * stride), re, im, Vector512.Load(m + 30 * stride));
        StoreColumn(y0, y1, y2, y3, to);
    }

    /// <summary>The columns of i, of which the real rows hold complex numbers.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void OutputColumns(float* m, nint stride, Vector512<float> rr, Vector512<float> ir, Vector512<float> ri, Vector512<float> ii, float* to)
    {
        var (re0, im0) = Number(m, stride);
        var (re1, im1) = Number(m + 6 * stride, stride);
        var (re2, im2) = Number(m + 12 * stride, stride);
        var (re5, im5) = Number(m + 30 * stride, stride);
        var (y0, y1, y2, y3) = Output(re0, re1, re2, rr, ir, re5);
        StoreColumn(y0, y1, y2, y3, to);
        (y0, y1, y2, y3) = Output(im0, im1, im2, ri, ii, im5);
        StoreColumn(y0, y1, y2, y3, to + N);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void StoreColumn(Vector512<float> y0, Vector512<float> y1, Vector512<float> y2, Vector512<float> y3, float* to)
    {
        y0.Store(to);
        y1.Store(to + 6 * N);
        y2.Store(to + 12 * N);
        y3.Store(to + 18 * N);
    }
}
