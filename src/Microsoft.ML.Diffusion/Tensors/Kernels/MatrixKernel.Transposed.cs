using System.Runtime.CompilerServices;

namespace Microsoft.ML.Diffusion;

internal static unsafe partial class MatrixKernel<L>
{
    private const int TransposedRows = 96;

    /// <summary>C += Aᵀ·B: what a weight's gradient sums over positions.</summary>
    /// <param name="a">[k, rows].</param>
    /// <param name="strideA">From a row of A to the next.</param>
    /// <param name="b">[k, columns].</param>
    /// <param name="strideB">From a row of B to the next.</param>
    /// <param name="c">[rows, columns], added to.</param>
    /// <param name="strideC">From a row of C to the next.</param>
    /// <param name="rows">Columns of A, a multiple of 4.</param>
    /// <param name="columns">Columns of B, a multiple of the lanes.</param>
    /// <param name="k">Rows of A and B.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void AddTransposed(float* a, int strideA, float* b, int strideB, float* c, int strideC, int rows, int columns, int k)
    {
        // So many rows of a panel of B stay in the first-level cache.
        for (; k > 0; k -= TransposedRows, a += (nint)TransposedRows * strideA, b += (nint)TransposedRows * strideB)
            AddTransposedBlock(a, strideA, b, strideB, c, strideC, rows, columns, Math.Min(k, TransposedRows));
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void AddTransposedBlock(float* a, int strideA, float* b, int strideB, float* c, int strideC, int rows, int columns, int k)
    {
        int width;
        for (int column = 0; column < columns; column += width)
        {
            width = PanelAt(columns, column);
            int row = 0;
            // Blocks of 6 rows make better use of what is loaded; 4 make up the rest.
            int sixes = width > L.Count ? Sixes(rows) : 0;
            float* right = b + column;
            for (; row < sixes; row += 6)
            {
                float* to = c + (nint)row * strideC + column;
                if (width == 4 * L.Count)
                    Add6x4(a + row, strideA, right, strideB, to, strideC, k);
                else
                    Add6x2(a + row, strideA, right, strideB, to, strideC, k);
            }
            for (; row < rows; row += 4)
            {
                float* to = c + (nint)row * strideC + column;
                if (width == 4 * L.Count)
                    Add4x4(a + row, strideA, right, strideB, to, strideC, k);
                else if (width == 2 * L.Count)
                    Add4x2(a + row, strideA, right, strideB, to, strideC, k);
                else
                    Add4x1(a + row, strideA, right, strideB, to, strideC, k);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Add6x4(float* a, nint strideA, float* b, nint strideB, float* c, nint strideC, int k)
    {
        int n = L.Count;
        L c00 = default, c01 = default, c02 = default, c03 = default, c10 = default, c11 = default, c12 = default, c13 = default;
        L c20 = default, c21 = default, c22 = default, c23 = default, c30 = default, c31 = default, c32 = default, c33 = default;
        L c40 = default, c41 = default, c42 = default, c43 = default, c50 = default, c51 = default, c52 = default, c53 = default;
        for (; k > 0; k--)
        {
            L b0 = L.Load(b), b1 = L.Load(b + n), b2 = L.Load(b + 2 * n), b3 = L.Load(b + 3 * n);
            L v = L.All(a[0]);
            (c00, c01, c02, c03) = (L.Fma(v, b0, c00), L.Fma(v, b1, c01), L.Fma(v, b2, c02), L.Fma(v, b3, c03));
            v = L.All(a[1]);
            (c10, c11, c12, c13) = (L.Fma(v, b0, c10), L.Fma(v, b1, c11), L.Fma(v, b2, c12), L.Fma(v, b3, c13));
            v = L.All(a[2]);
            (c20, c21, c22, c23) = (L.Fma(v, b0, c20), L.Fma(v, b1, c21), L.Fma(v, b2, c22), L.Fma(v, b3, c23));
            v = L.All(a[3]);
            (c30, c31, c32, c33) = (L.Fma(v, b0, c30), L.Fma(v, b1, c31), L.Fma(v, b2, c32), L.Fma(v, b3, c33));
            v = L.All(a[4]);
            (c40, c41, c42, c43) = (L.Fma(v, b0, c40), L.Fma(v, b1, c41), L.Fma(v, b2, c42), L.Fma(v, b3, c43));
            v = L.All(a[5]);
            (c50, c51, c52, c53) = (L.Fma(v, b0, c50), L.Fma(v, b1, c51), L.Fma(v, b2, c52), L.Fma(v, b3, c53));
            a += strideA;
            b += strideB;
        }
        Add(c00, c01, c02, c03, c);
        Add(c10, c11, c12, c13, c += strideC);
        Add(c20, c21, c22, c23, c += strideC);
        Add(c30, c31, c32, c33, c += strideC);
        Add(c40, c41, c42, c43, c += strideC);
        Add(c50, c51, c52, c53, c + strideC);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Add6x2(float* a, nint strideA, float* b, nint strideB, float* c, nint strideC, int k)
    {
        int n = L.Count;
        L c00 = default, c01 = default, c10 = default, c11 = default, c20 = default, c21 = default;
        L c30 = default, c31 = default, c40 = default, c41 = default, c50 = default, c51 = default;
        for (; k > 0; k--)
        {
            L b0 = L.Load(b), b1 = L.Load(b + n);
            L v = L.All(a[0]);
            (c00, c01) = (L.Fma(v, b0, c00), L.Fma(v, b1, c01));
            v = L.All(a[1]);
            (c10, c11) = (L.Fma(v, b0, c10), L.Fma(v, b1, c11));
            v = L.All(a[2]);
            (c20, c21) = (L.Fma(v, b0, c20), L.Fma(v, b1, c21));
            v = L.All(a[3]);
            (c30, c31) = (L.Fma(v, b0, c30), L.Fma(v, b1, c31));
            v = L.All(a[4]);
            (c40, c41) = (L.Fma(v, b0, c40), L.Fma(v, b1, c41));
            v = L.All(a[5]);
            (c50, c51) = (L.Fma(v, b0, c50), L.Fma(v, b1, c51));
            a += strideA;
            b += strideB;
        }
        Add(c00, c01, c);
        Add(c10, c11, c += strideC);
        Add(c20, c21, c += strideC);
        Add(c30, c31, c += strideC);
        Add(c40, c41, c += strideC);
        Add(c50, c51, c + strideC);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Add4x4(float* a, nint strideA, float* b, nint strideB, float* c, nint strideC, int k)
    {
        int n = L.Count;
        L c00 = default, c01 = default, c02 = default, c03 = default, c10 = default, c11 = default, c12 = default, c13 = default;
        L c20 = default, c21 = default, c22 = default, c23 = default, c30 = default, c31 = default, c32 = default, c33 = default;
        for (; k > 0; k--)
        {
            L b0 = L.Load(b), b1 = L.Load(b + n), b2 = L.Load(b + 2 * n), b3 = L.Load(b + 3 * n);
            L v = L.All(a[0]);
            (c00, c01, c02, c03) = (L.Fma(v, b0, c00), L.Fma(v, b1, c01), L.Fma(v, b2, c02), L.Fma(v, b3, c03));
            v = L.All(a[1]);
            (c10, c11, c12, c13) = (L.Fma(v, b0, c10), L.Fma(v, b1, c11), L.Fma(v, b2, c12), L.Fma(v, b3, c13));
            v = L.All(a[2]);
            (c20, c21, c22, c23) = (L.Fma(v, b0, c20), L.Fma(v, b1, c21), L.Fma(v, b2, c22), L.Fma(v, b3, c23));
            v = L.All(a[3]);
            (c30, c31, c32, c33) = (L.Fma(v, b0, c30), L.Fma(v, b1, c31), L.Fma(v, b2, c32), L.Fma(v, b3, c33));
            a += strideA;
            b += strideB;
        }
        Add(c00, c01, c02, c03, c);
        Add(c10, c11, c12, c13, c += strideC);
        Add(c20, c21, c22, c23, c += strideC);
        Add(c30, c31, c32, c33, c + strideC);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Add4x2(float* a, nint strideA, float* b, nint strideB, float* c, nint strideC, int k)
    {
        int n = L.Count;
        L c00 = default, c01 = default, c10 = default, c11 = default, c20 = default, c21 = default, c30 = default, c31 = default;
        for (; k > 0; k--)
        {
            L b0 = L.Load(b), b1 = L.Load(b + n);
            L v = L.All(a[0]);
            (c00, c01) = (L.Fma(v, b0, c00), L.Fma(v, b1, c01));
            v = L.All(a[1]);
            (c10, c11) = (L.Fma(v, b0, c10), L.Fma(v, b1, c11));
            v = L.All(a[2]);
            (c20, c21) = (L.Fma(v, b0, c20), L.Fma(v, b1, c21));
            v = L.All(a[3]);
            (c30, c31) = (L.Fma(v, b0, c30), L.Fma(v, b1, c31));
            a += strideA;
            b += strideB;
        }
        Add(c00, c01, c);
        Add(c10, c11, c += strideC);
        Add(c20, c21, c += strideC);
        Add(c30, c31, c + strideC);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Add4x1(float* a, nint strideA, float* b, nint strideB, float* c, nint strideC, int k)
    {
        L c0 = default, c1 = default, c2 = default, c3 = default;
        for (; k > 0; k--)
        {
            L b0 = L.Load(b);
            c0 = L.Fma(L.All(a[0]), b0, c0);
            c1 = L.Fma(L.All(a[1]), b0, c1);
            c2 = L.Fma(L.All(a[2]), b0, c2);
            c3 = L.Fma(L.All(a[3]), b0, c3);
            a += strideA;
            b += strideB;
        }
        Add(c0, c);
        Add(c1, c += strideC);
        Add(c2, c += strideC);
        Add(c3, c + strideC);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Add(L v0, L v1, L v2, L v3, float* to)
    {
        Add(v0, v1, to);
        Add(v2, v3, to + 2 * L.Count);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Add(L v0, L v1, float* to)
    {
        Add(v0, to);
        Add(v1, to + L.Count);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Add(L value, float* to) => L.Store(L.Load(to) + value, to);
}
