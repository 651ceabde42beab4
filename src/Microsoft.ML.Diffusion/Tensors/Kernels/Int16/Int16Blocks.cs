using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Microsoft.ML.Diffusion;

/// <summary>The blocks of <see cref="Int16Kernel{L}"/> in registers of 256 bits: AVX2 and, where it is there, AVX-VNNI.</summary>
internal static unsafe class Int16Blocks
{
    private const int N = 8;

    /// <summary>C = A·B or C += A·B.</summary>
    /// <param name="factors">How both lie.</param>
    /// <param name="six">Whether of six rows; otherwise of four.</param>
    /// <param name="two">Whether of two registers of columns; otherwise of one.</param>
    /// <param name="a">The first row's first pair.</param>
    /// <param name="b">The first row of pairs.</param>
    /// <param name="c">The first sum.</param>
    /// <param name="strideC">From a row of sums to the next.</param>
    /// <param name="adds">Whether they are added to what is there.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Multiply(in PairStrides factors, bool six, bool two, int* a, int* b, float* c, int strideC, bool adds)
    {
        if (six && two)
            Block6x2(factors, a, b, c, strideC, adds);
        else if (six)
            Block6x1(factors, a, b, c, strideC, adds);
        else if (two)
            Block4x2(factors, a, b, c, strideC, adds);
        else
            Block4x1(factors, a, b, c, strideC, adds);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Block6x2(in PairStrides factors, int* a, int* b, float* c, int strideC, bool adds)
    {
        nint row = factors.Row, step = factors.Step, right = factors.Right, end = factors.Pairs * step, i = 0;
        int* a0 = a, a1 = a0 + row, a2 = a1 + row, a3 = a2 + row, a4 = a3 + row, a5 = a4 + row;
        Vector256<int> c00 = default, c01 = default, c10 = default, c11 = default, c20 = default, c21 = default;
        Vector256<int> c30 = default, c31 = default, c40 = default, c41 = default, c50 = default, c51 = default;
        for (; i < end; i += step, b += right)
        {
            Vector256<int> b0 = Vector256.Load(b), b1 = Vector256.Load(b + N), v = Vector256.Create(a0[i]);
            (c00, c01) = (Dot(c00, v, b0), Dot(c01, v, b1));
            v = Vector256.Create(a1[i]);
            (c10, c11) = (Dot(c10, v, b0), Dot(c11, v, b1));
            v = Vector256.Create(a2[i]);
            (c20, c21) = (Dot(c20, v, b0), Dot(c21, v, b1));
            v = Vector256.Create(a3[i]);
            (c30, c31) = (Dot(c30, v, b0), Dot(c31, v, b1));
            v = Vector256.Create(a4[i]);
            (c40, c41) = (Dot(c40, v, b0), Dot(c41, v, b1));
            v = Vector256.Create(a5[i]);
            (c50, c51) = (Dot(c50, v, b0), Dot(c51, v, b1));
        }
        Vector256<float> f0 = Vector256.Load((float*)b), f1 = Vector256.Load((float*)b + N);
        Store(c00, c01, f0, f1, a0 + i, c, adds);
        Store(c10, c11, f0, f1, a1 + i, c += strideC, adds);
        Store(c20, c21, f0, f1, a2 + i, c += strideC, adds);
        Store(c30, c31, f0, f1, a3 + i, c += strideC, adds);
        Store(c40, c41, f0, f1, a4 + i, c += strideC, adds);
        Store(c50, c51, f0, f1, a5 + i, c + strideC, adds);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Block4x2(in PairStrides factors, int* a, int* b, float* c, int strideC, bool adds)
    {
        nint row = factors.Row, step = factors.Step, right = factors.Right, end = factors.Pairs * step, i = 0;
        int* a0 = a, a1 = a0 + row, a2 = a1 + row, a3 = a2 + row;
        Vector256<int> c00 = default, c01 = default, c10 = default, c11 = default, c20 = default, c21 = default;
        Vector256<int> c30 = default, c31 = default;
        for (; i < end; i += step, b += right)
        {
            Vector256<int> b0 = Vector256.Load(b), b1 = Vector256.Load(b + N), v = Vector256.Create(a0[i]);
            (c00, c01) = (Dot(c00, v, b0), Dot(c01, v, b1));
            v = Vector256.Create(a1[i]);
            (c10, c11) = (Dot(c10, v, b0), Dot(c11, v, b1));
            v = Vector256.Create(a2[i]);
            (c20, c21) = (Dot(c20, v, b0), Dot(c21, v, b1));
            v = Vector256.Create(a3[i]);
            (c30, c31) = (Dot(c30, v, b0), Dot(c31, v, b1));
        }
        Vector256<float> f0 = Vector256.Load((float*)b), f1 = Vector256.Load((float*)b + N);
        Store(c00, c01, f0, f1, a0 + i, c, adds);
        Store(c10, c11, f0, f1, a1 + i, c += strideC, adds);
        Store(c20, c21, f0, f1, a2 + i, c += strideC, adds);
        Store(c30, c31, f0, f1, a3 + i, c + strideC, adds);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Block6x1(in PairStrides factors, int* a, int* b, float* c, int strideC, bool adds)
    {
        nint row = factors.Row, step = factors.Step, right = factors.Right, end = factors.Pairs * step, i = 0;
        int* a0 = a, a1 = a0 + row, a2 = a1 + row, a3 = a2 + row, a4 = a3 + row, a5 = a4 + row;
        Vector256<int> c0 = default, c1 = default, c2 = default, c3 = default, c4 = default, c5 = default;
        for (; i < end; i += step, b += right)
        {
            Vector256<int> b0 = Vector256.Load(b);
            c0 = Dot(c0, Vector256.Create(a0[i]), b0);
            c1 = Dot(c1, Vector256.Create(a1[i]), b0);
            c2 = Dot(c2, Vector256.Create(a2[i]), b0);
            c3 = Dot(c3, Vector256.Create(a3[i]), b0);
            c4 = Dot(c4, Vector256.Create(a4[i]), b0);
            c5 = Dot(c5, Vector256.Create(a5[i]), b0);
        }
        Vector256<float> f0 = Vector256.Load((float*)b);
        Store(c0, f0, a0 + i, c, adds);
        Store(c1, f0, a1 + i, c += strideC, adds);
        Store(c2, f0, a2 + i, c += strideC, adds);
        Store(c3, f0, a3 + i, c += strideC, adds);
        Store(c4, f0, a4 + i, c += strideC, adds);
        Store(c5, f0, a5 + i, c + strideC, adds);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Block4x1(in PairStrides factors, int* a, int* b, float* c, int strideC, bool adds)
    {
        nint row = factors.Row, step = factors.Step, right = factors.Right, end = factors.Pairs * step, i = 0;
        int* a0 = a, a1 = a0 + row, a2 = a1 + row, a3 = a2 + row;
        Vector256<int> c0 = default, c1 = default, c2 = default, c3 = default;
        for (; i < end; i += step, b += right)
        {
            Vector256<int> b0 = Vector256.Load(b);
            c0 = Dot(c0, Vector256.Create(a0[i]), b0);
            c1 = Dot(c1, Vector256.Create(a1[i]), b0);
            c2 = Dot(c2, Vector256.Create(a2[i]), b0);
            c3 = Dot(c3, Vector256.Create(a3[i]), b0);
        }
        Vector256<float> f0 = Vector256.Load((float*)b);
        Store(c0, f0, a0 + i, c, adds);
        Store(c1, f0, a1 + i, c += strideC, adds);
        Store(c2, f0, a2 + i, c += strideC, adds);
        Store(c3, f0, a3 + i, c + strideC, adds);
    }

    /// <summary>c + a₀·b₀ + a₁·b₁ of each pair.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> Dot(Vector256<int> c, Vector256<int> a, Vector256<int> b) => AvxVnni.IsSupported
        ? AvxVnni.MultiplyWideningAndAdd(c, a.AsInt16(), b.AsInt16())
        : c + Avx2.MultiplyAddAdjacent(a.AsInt16(), b.AsInt16());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(Vector256<int> v0, Vector256<int> v1, Vector256<float> f0, Vector256<float> f1, int* row, float* to, bool adds)
    {
        Store(v0, f0, row, to, adds);
        Store(v1, f1, row, to + N, adds);
    }

    /// <summary>Sums, times the powers of their columns and of their row.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(Vector256<int> sums, Vector256<float> columns, int* row, float* to, bool adds)
    {
        Vector256<float> powers = columns * Vector256.Create(*(float*)row), v = Vector256.ConvertToSingle(sums) * powers;
        (adds ? v + Vector256.Load(to) : v).Store(to);
    }
}
