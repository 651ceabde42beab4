using System.Runtime.CompilerServices;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// Products of small matrices that lie in the cache, a block of the result kept in registers (Goto and van de Geijn 2008). The right factor is packed:
/// panels of a few registers' width, each [K, width] contiguous.
/// </summary>
/// <typeparam name="L">The register.</typeparam>
internal static unsafe partial class MatrixKernel<L>
    where L : unmanaged, ILanes<L>
{
    /// <summary>Rows for which there is room in the left factor and the result: blocks of 6 and 4 rows make up any even number from 4 on.</summary>
    public static int Rows(int rows) => Math.Max(4, (rows + 1) & ~1);

    /// <summary>How many of an even number of rows blocks of six take; those of four take the others.</summary>
    public static int Sixes(int rows) => rows - 4 * ((6 - rows % 6) % 6 / 2);

    /// <summary>Columns of the widest panel.</summary>
    public static int Panel => L.Many ? 4 * L.Count : 2 * L.Count;

    /// <summary>The width of the panel that begins at a column; all panels but the last few have <see cref="Panel"/>.</summary>
    /// <param name="columns">Columns of the matrix, a multiple of the lanes.</param>
    /// <param name="column">Where the panel begins.</param>
    public static int PanelAt(int columns, int column)
    {
        int left = columns - column;
        return left >= Panel ? Panel : left >= 2 * L.Count ? 2 * L.Count : L.Count;
    }

    /// <summary>Where the panel begins that has a column.</summary>
    /// <param name="columns">Columns of the matrix, a multiple of the lanes.</param>
    /// <param name="column">The column.</param>
    public static int PanelStart(int columns, int column)
    {
        int full = columns / Panel * Panel;
        if (column < full)
            return column / Panel * Panel;
        return columns - full >= 2 * L.Count && column >= full + 2 * L.Count ? full + 2 * L.Count : full;
    }

    /// <summary>C = A·B.</summary>
    /// <param name="a">[rows, k].</param>
    /// <param name="strideA">From a row to the next.</param>
    /// <param name="b">[k, columns] in panels.</param>
    /// <param name="c">[rows, columns], written.</param>
    /// <param name="strideC">From a row to the next.</param>
    /// <param name="rows">Rows of A and C, from <see cref="Rows"/>.</param>
    /// <param name="columns">Columns of B and C, a multiple of the lanes.</param>
    /// <param name="k">Columns of A.</param>
    /// <param name="next">[k, columns]: the right factor of the product that comes next, called from memory meanwhile; or null.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Multiply(float* a, int strideA, float* b, float* c, int strideC, int rows, int columns, int k, float* next = null)
    {
        const int line = 64 / sizeof(float);
        // As much of it with every block of rows, so that it is there at the end.
        nint ahead = next is null ? 0 : ((nint)k * columns * 6 / rows / ((columns + Panel - 1) / Panel) + line) & -line;
        float* end = next + (nint)k * columns;
        int width;
        for (int column = 0; column < columns; column += width)
        {
            width = PanelAt(columns, column);
            float* panel = b + (nint)column * k;
            int sixes = Sixes(rows), row = 0;
            for (; row < sixes; row += 6)
            {
                float* from = a + (nint)row * strideA, to = c + (nint)row * strideC + column;
                if (width == 4 * L.Count)
                    Block6x4(from, strideA, panel, to, strideC, k);
                else if (width == 2 * L.Count)
                    Block6x2(from, strideA, panel, to, strideC, k);
                else
                    Block6x1(from, strideA, panel, to, strideC, k);
                for (float* last = next + ahead; next < last && next < end; next += line)
                    Lanes.Prefetch(next);
            }
            for (; row < rows; row += 4)
            {
                float* from = a + (nint)row * strideA, to = c + (nint)row * strideC + column;
                if (width == 4 * L.Count)
                    Block4x4(from, strideA, panel, to, strideC, k);
                else if (width == 2 * L.Count)
                    Block4x2(from, strideA, panel, to, strideC, k);
                else
                    Block4x1(from, strideA, panel, to, strideC, k);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Block6x4(float* a, int strideA, float* b, float* c, int strideC, int k)
    {
        int n = L.Count;
        float* a0 = a, a1 = a0 + strideA, a2 = a1 + strideA, a3 = a2 + strideA, a4 = a3 + strideA, a5 = a4 + strideA;
        L c00 = default, c01 = default, c02 = default, c03 = default, c10 = default, c11 = default, c12 = default, c13 = default;
        L c20 = default, c21 = default, c22 = default, c23 = default, c30 = default, c31 = default, c32 = default, c33 = default;
        L c40 = default, c41 = default, c42 = default, c43 = default, c50 = default, c51 = default, c52 = default, c53 = default;
        for (nint i = 0; i < k; i++)
        {
            L b0 = L.Load(b), b1 = L.Load(b + n), b2 = L.Load(b + 2 * n), b3 = L.Load(b + 3 * n);
            b += 4 * n;
            L v = L.All(a0[i]);
            (c00, c01, c02, c03) = (L.Fma(v, b0, c00), L.Fma(v, b1, c01), L.Fma(v, b2, c02), L.Fma(v, b3, c03));
            v = L.All(a1[i]);
            (c10, c11, c12, c13) = (L.Fma(v, b0, c10), L.Fma(v, b1, c11), L.Fma(v, b2, c12), L.Fma(v, b3, c13));
            v = L.All(a2[i]);
            (c20, c21, c22, c23) = (L.Fma(v, b0, c20), L.Fma(v, b1, c21), L.Fma(v, b2, c22), L.Fma(v, b3, c23));
            v = L.All(a3[i]);
            (c30, c31, c32, c33) = (L.Fma(v, b0, c30), L.Fma(v, b1, c31), L.Fma(v, b2, c32), L.Fma(v, b3, c33));
            v = L.All(a4[i]);
            (c40, c41, c42, c43) = (L.Fma(v, b0, c40), L.Fma(v, b1, c41), L.Fma(v, b2, c42), L.Fma(v, b3, c43));
            v = L.All(a5[i]);
            (c50, c51, c52, c53) = (L.Fma(v, b0, c50), L.Fma(v, b1, c51), L.Fma(v, b2, c52), L.Fma(v, b3, c53));
        }
        Store(c00, c01, c02, c03, c);
        Store(c10, c11, c12, c13, c += strideC);
        Store(c20, c21, c22, c23, c += strideC);
        Store(c30, c31, c32, c33, c += strideC);
        Store(c40, c41, c42, c43, c += strideC);
        Store(c50, c51, c52, c53, c + strideC);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Block6x2(float* a, int strideA, float* b, float* c, int strideC, int k)
    {
        int n = L.Count;
        float* a0 = a, a1 = a0 + strideA, a2 = a1 + strideA, a3 = a2 + strideA, a4 = a3 + strideA, a5 = a4 + strideA;
        L c00 = default, c01 = default, c10 = default, c11 = default, c20 = default, c21 = default;
        L c30 = default, c31 = default, c40 = default, c41 = default, c50 = default, c51 = default;
        for (nint i = 0; i < k; i++)
        {
            L b0 = L.Load(b), b1 = L.Load(b + n);
            b += 2 * n;
            L v = L.All(a0[i]);
            (c00, c01) = (L.Fma(v, b0, c00), L.Fma(v, b1, c01));
            v = L.All(a1[i]);
            (c10, c11) = (L.Fma(v, b0, c10), L.Fma(v, b1, c11));
            v = L.All(a2[i]);
            (c20, c21) = (L.Fma(v, b0, c20), L.Fma(v, b1, c21));
            v = L.All(a3[i]);
            (c30, c31) = (L.Fma(v, b0, c30), L.Fma(v, b1, c31));
            v = L.All(a4[i]);
            (c40, c41) = (L.Fma(v, b0, c40), L.Fma(v, b1, c41));
            v = L.All(a5[i]);
            (c50, c51) = (L.Fma(v, b0, c50), L.Fma(v, b1, c51));
        }
        Store(c00, c01, c);
        Store(c10, c11, c += strideC);
        Store(c20, c21, c += strideC);
        Store(c30, c31, c += strideC);
        Store(c40, c41, c += strideC);
        Store(c50, c51, c + strideC);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Block6x1(float* a, int strideA, float* b, float* c, int strideC, int k)
    {
        int n = L.Count;
        float* a0 = a, a1 = a0 + strideA, a2 = a1 + strideA, a3 = a2 + strideA, a4 = a3 + strideA, a5 = a4 + strideA;
        L c0 = default, c1 = default, c2 = default, c3 = default, c4 = default, c5 = default;
        for (nint i = 0; i < k; i++)
        {
            L b0 = L.Load(b);
            b += n;
            c0 = L.Fma(L.All(a0[i]), b0, c0);
            c1 = L.Fma(L.All(a1[i]), b0, c1);
            c2 = L.Fma(L.All(a2[i]), b0, c2);
            c3 = L.Fma(L.All(a3[i]), b0, c3);
            c4 = L.Fma(L.All(a4[i]), b0, c4);
            c5 = L.Fma(L.All(a5[i]), b0, c5);
        }
        L.Store(c0, c);
        L.Store(c1, c += strideC);
        L.Store(c2, c += strideC);
        L.Store(c3, c += strideC);
        L.Store(c4, c += strideC);
        L.Store(c5, c + strideC);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Block4x4(float* a, int strideA, float* b, float* c, int strideC, int k)
    {
        int n = L.Count;
        float* a0 = a, a1 = a0 + strideA, a2 = a1 + strideA, a3 = a2 + strideA;
        L c00 = default, c01 = default, c02 = default, c03 = default, c10 = default, c11 = default, c12 = default, c13 = default;
        L c20 = default, c21 = default, c22 = default, c23 = default, c30 = default, c31 = default, c32 = default, c33 = default;
        for (nint i = 0; i < k; i++)
        {
            L b0 = L.Load(b), b1 = L.Load(b + n), b2 = L.Load(b + 2 * n), b3 = L.Load(b + 3 * n);
            b += 4 * n;
            L v = L.All(a0[i]);
            (c00, c01, c02, c03) = (L.Fma(v, b0, c00), L.Fma(v, b1, c01), L.Fma(v, b2, c02), L.Fma(v, b3, c03));
            v = L.All(a1[i]);
            (c10, c11, c12, c13) = (L.Fma(v, b0, c10), L.Fma(v, b1, c11), L.Fma(v, b2, c12), L.Fma(v, b3, c13));
            v = L.All(a2[i]);
            (c20, c21, c22, c23) = (L.Fma(v, b0, c20), L.Fma(v, b1, c21), L.Fma(v, b2, c22), L.Fma(v, b3, c23));
            v = L.All(a3[i]);
            (c30, c31, c32, c33) = (L.Fma(v, b0, c30), L.Fma(v, b1, c31), L.Fma(v, b2, c32), L.Fma(v, b3, c33));
        }
        Store(c00, c01, c02, c03, c);
        Store(c10, c11, c12, c13, c += strideC);
        Store(c20, c21, c22, c23, c += strideC);
        Store(c30, c31, c32, c33, c + strideC);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Block4x2(float* a, int strideA, float* b, float* c, int strideC, int k)
    {
        int n = L.Count;
        float* a0 = a, a1 = a0 + strideA, a2 = a1 + strideA, a3 = a2 + strideA;
        L c00 = default, c01 = default, c10 = default, c11 = default, c20 = default, c21 = default;
        L c30 = default, c31 = default;
        for (nint i = 0; i < k; i++)
        {
            L b0 = L.Load(b), b1 = L.Load(b + n);
            b += 2 * n;
            L v = L.All(a0[i]);
            (c00, c01) = (L.Fma(v, b0, c00), L.Fma(v, b1, c01));
            v = L.All(a1[i]);
            (c10, c11) = (L.Fma(v, b0, c10), L.Fma(v, b1, c11));
            v = L.All(a2[i]);
            (c20, c21) = (L.Fma(v, b0, c20), L.Fma(v, b1, c21));
            v = L.All(a3[i]);
            (c30, c31) = (L.Fma(v, b0, c30), L.Fma(v, b1, c31));
        }
        Store(c00, c01, c);
        Store(c10, c11, c += strideC);
        Store(c20, c21, c += strideC);
        Store(c30, c31, c + strideC);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Block4x1(float* a, int strideA, float* b, float* c, int strideC, int k)
    {
        int n = L.Count;
        float* a0 = a, a1 = a0 + strideA, a2 = a1 + strideA, a3 = a2 + strideA;
        L c0 = default, c1 = default, c2 = default, c3 = default;
        for (nint i = 0; i < k; i++)
        {
            L b0 = L.Load(b);
            b += n;
            c0 = L.Fma(L.All(a0[i]), b0, c0);
            c1 = L.Fma(L.All(a1[i]), b0, c1);
            c2 = L.Fma(L.All(a2[i]), b0, c2);
            c3 = L.Fma(L.All(a3[i]), b0, c3);
        }
        L.Store(c0, c);
        L.Store(c1, c += strideC);
        L.Store(c2, c += strideC);
        L.Store(c3, c + strideC);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(L v0, L v1, L v2, L v3, float* to)
    {
        Store(v0, v1, to);
        Store(v2, v3, to + 2 * L.Count);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(L v0, L v1, float* to)
    {
        L.Store(v0, to);
        L.Store(v1, to + L.Count);
    }
}
