using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// Products of small matrices of 16-bit integers that lie in the cache, summed in 32 bits: <see cref="MatrixKernel{L}"/> at twice the numbers an instruction, in AVX2 and, where it is there,
/// AVX-VNNI. Factors lie as <see cref="Int16Layout"/> leaves them, the right one in the panels of <see cref="MatrixKernel{L}"/>.
/// </summary>
internal static unsafe class Int16Kernel
{
    private const int N = 8;

    /// <summary>C = A·B.</summary>
    /// <param name="a">[rows, <see cref="Int16Layout.Words"/>].</param>
    /// <param name="b">The right factor's panels.</param>
    /// <param name="c">[rows, columns], written.</param>
    /// <param name="strideC">From a row to the next.</param>
    /// <param name="rows">Rows of A and C, from <see cref="MatrixKernel{L}.Rows"/>.</param>
    /// <param name="columns">Columns of B and C, a multiple of 8.</param>
    /// <param name="k">Columns of A, a multiple of 8.</param>
    /// <param name="next">The right factor of the product that comes next, called from memory meanwhile; or null.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Multiply(int* a, int* b, float* c, int strideC, int rows, int columns, int k, int* next = null)
    {
        const int line = 64 / sizeof(int);
        nint words = Int16Layout.Words(k);
        // As much of it with every block of rows, so that it is there at the end.
        nint ahead = next is null ? 0 : (words * columns * 6 / rows / ((columns + 2 * N - 1) / (2 * N)) + line) & -line;
        int* end = next + words * columns;
        int width;
        for (int column = 0; column < columns; column += width)
        {
            width = MatrixKernel<Lanes256>.PanelAt(columns, column);
            int* panel = b + column * words;
            int fours = (6 - rows % 6) % 6 / 2, sixes = rows - 4 * fours;
            for (int row = 0; row < rows; row += row < sixes ? 6 : 4)
            {
                float* to = c + (nint)row * strideC + column;
                for (int first = 0; first < k; first += Int16Layout.Block)
                {
                    nint start = Int16Layout.Start(first);
                    int* left = a + row * words + start, right = panel + start * width;
                    int pairs = Math.Min(Int16Layout.Block, k - first) / 2;
                    if (row < sixes && width == 2 * N)
                        Block6x2(left, words, right, to, strideC, pairs, first > 0);
                    else if (row < sixes)
                        Block6x1(left, words, right, to, strideC, pairs, first > 0);
                    else if (width == 2 * N)
                        Block4x2(left, words, right, to, strideC, pairs, first > 0);
                    else
                        Block4x1(left, words, right, to, strideC, pairs, first > 0);
                }
                for (int* last = next + ahead; next < last && next < end; next += line)
                    Sse.Prefetch1(next);
            }
        }
    }

    /// <summary>C += Aᵀ·B, of factors that both are right ones: blocks of columns from <see cref="Int16Layout.Columns"/>.</summary>
    /// <param name="a">[pairs + 1, rows], the last row of factors.</param>
    /// <param name="strideA">From a row of A to the next.</param>
    /// <param name="b">[pairs + 1, columns], the last row of factors.</param>
    /// <param name="strideB">From a row of B to the next.</param>
    /// <param name="c">[rows, columns], added to.</param>
    /// <param name="strideC">From a row to the next.</param>
    /// <param name="rows">Columns of A, a multiple of 8.</param>
    /// <param name="columns">Columns of B, a multiple of 8.</param>
    /// <param name="pairs">Rows of pairs.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void AddTransposed(int* a, nint strideA, int* b, nint strideB, float* c, int strideC, int rows, int columns, int pairs)
    {
        int width;
        for (int column = 0; column < columns; column += width)
        {
            width = MatrixKernel<Lanes256>.PanelAt(columns, column);
            int* right = b + column;
            int fours = (6 - rows % 6) % 6 / 2, sixes = width > N ? rows - 4 * fours : 0, row = 0;
            for (; row < sixes; row += 6)
                Add6x2(a + row, strideA, right, strideB, c + (nint)row * strideC + column, strideC, pairs);
            for (; row < rows; row += 4)
            {
                float* to = c + (nint)row * strideC + column;
                if (width > N)
                    Add4x2(a + row, strideA, right, strideB, to, strideC, pairs);
                else
                    Add4x1(a + row, strideA, right, strideB, to, strideC, pairs);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Block6x2(int* a, nint strideA, int* b, float* c, int strideC, int pairs, bool adds)
    {
        int* a0 = a, a1 = a0 + strideA, a2 = a1 + strideA, a3 = a2 + strideA, a4 = a3 + strideA, a5 = a4 + strideA;
        Vector256<int> c00 = default, c01 = default, c10 = default, c11 = default, c20 = default, c21 = default;
        Vector256<int> c30 = default, c31 = default, c40 = default, c41 = default, c50 = default, c51 = default;
        nint i = 0;
        for (; i < pairs; i += 2)
        {
            Vector256<int> b0 = Vector256.Load(b), b1 = Vector256.Load(b + N);
            Vector256<int> v = Vector256.Create(a0[i]);
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
            (b0, b1) = (Vector256.Load(b + 2 * N), Vector256.Load(b + 3 * N));
            b += 4 * N;
            v = Vector256.Create(a0[i + 1]);
            (c00, c01) = (Dot(c00, v, b0), Dot(c01, v, b1));
            v = Vector256.Create(a1[i + 1]);
            (c10, c11) = (Dot(c10, v, b0), Dot(c11, v, b1));
            v = Vector256.Create(a2[i + 1]);
            (c20, c21) = (Dot(c20, v, b0), Dot(c21, v, b1));
            v = Vector256.Create(a3[i + 1]);
            (c30, c31) = (Dot(c30, v, b0), Dot(c31, v, b1));
            v = Vector256.Create(a4[i + 1]);
            (c40, c41) = (Dot(c40, v, b0), Dot(c41, v, b1));
            v = Vector256.Create(a5[i + 1]);
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
    private static void Block4x2(int* a, nint strideA, int* b, float* c, int strideC, int pairs, bool adds)
    {
        int* a0 = a, a1 = a0 + strideA, a2 = a1 + strideA, a3 = a2 + strideA;
        Vector256<int> c00 = default, c01 = default, c10 = default, c11 = default, c20 = default, c21 = default, c30 = default, c31 = default;
        nint i = 0;
        for (; i < pairs; i++)
        {
            Vector256<int> b0 = Vector256.Load(b), b1 = Vector256.Load(b + N);
            b += 2 * N;
            Vector256<int> v = Vector256.Create(a0[i]);
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
    private static void Block6x1(int* a, nint strideA, int* b, float* c, int strideC, int pairs, bool adds)
    {
        int* a0 = a, a1 = a0 + strideA, a2 = a1 + strideA, a3 = a2 + strideA, a4 = a3 + strideA, a5 = a4 + strideA;
        Vector256<int> c0 = default, c1 = default, c2 = default, c3 = default, c4 = default, c5 = default;
        nint i = 0;
        for (; i < pairs; i++)
        {
            Vector256<int> b0 = Vector256.Load(b);
            b += N;
            c0 = Dot(c0, Vector256.Create(a0[i]), b0);
            c1 = Dot(c1, Vector256.Create(a1[i]), b0);
            c2 = Dot(c2, Vector256.Create(a2[i]), b0);
            c3 = Dot(c3, Vector256.Create(a3[i]), b0);
            c4 = Dot(c4, Vector256.Create(a4[i]), b0);
            c5 = Dot(c5, Vector256.Create(a5[i]), b0);
        }
        Vector256<float> f = Vector256.Load((float*)b);
        Store(c0, f, a0 + i, c, adds);
        Store(c1, f, a1 + i, c += strideC, adds);
        Store(c2, f, a2 + i, c += strideC, adds);
        Store(c3, f, a3 + i, c += strideC, adds);
        Store(c4, f, a4 + i, c += strideC, adds);
        Store(c5, f, a5 + i, c + strideC, adds);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Block4x1(int* a, nint strideA, int* b, float* c, int strideC, int pairs, bool adds)
    {
        int* a0 = a, a1 = a0 + strideA, a2 = a1 + strideA, a3 = a2 + strideA;
        Vector256<int> c0 = default, c1 = default, c2 = default, c3 = default;
        nint i = 0;
        for (; i < pairs; i++)
        {
            Vector256<int> b0 = Vector256.Load(b);
            b += N;
            c0 = Dot(c0, Vector256.Create(a0[i]), b0);
            c1 = Dot(c1, Vector256.Create(a1[i]), b0);
            c2 = Dot(c2, Vector256.Create(a2[i]), b0);
            c3 = Dot(c3, Vector256.Create(a3[i]), b0);
        }
        Vector256<float> f = Vector256.Load((float*)b);
        Store(c0, f, a0 + i, c, adds);
        Store(c1, f, a1 + i, c += strideC, adds);
        Store(c2, f, a2 + i, c += strideC, adds);
        Store(c3, f, a3 + i, c + strideC, adds);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Add6x2(int* a, nint strideA, int* b, nint strideB, float* c, int strideC, int pairs)
    {
        Vector256<int> c00 = default, c01 = default, c10 = default, c11 = default, c20 = default, c21 = default;
        Vector256<int> c30 = default, c31 = default, c40 = default, c41 = default, c50 = default, c51 = default;
        for (int i = 0; i < pairs; i++, a += strideA, b += strideB)
        {
            Vector256<int> b0 = Vector256.Load(b), b1 = Vector256.Load(b + N);
            Vector256<int> v = Vector256.Create(a[0]);
            (c00, c01) = (Dot(c00, v, b0), Dot(c01, v, b1));
            v = Vector256.Create(a[1]);
            (c10, c11) = (Dot(c10, v, b0), Dot(c11, v, b1));
            v = Vector256.Create(a[2]);
            (c20, c21) = (Dot(c20, v, b0), Dot(c21, v, b1));
            v = Vector256.Create(a[3]);
            (c30, c31) = (Dot(c30, v, b0), Dot(c31, v, b1));
            v = Vector256.Create(a[4]);
            (c40, c41) = (Dot(c40, v, b0), Dot(c41, v, b1));
            v = Vector256.Create(a[5]);
            (c50, c51) = (Dot(c50, v, b0), Dot(c51, v, b1));
        }
        Vector256<float> f0 = Vector256.Load((float*)b), f1 = Vector256.Load((float*)b + N);
        Store(c00, c01, f0, f1, a, c, adds: true);
        Store(c10, c11, f0, f1, a + 1, c += strideC, adds: true);
        Store(c20, c21, f0, f1, a + 2, c += strideC, adds: true);
        Store(c30, c31, f0, f1, a + 3, c += strideC, adds: true);
        Store(c40, c41, f0, f1, a + 4, c += strideC, adds: true);
        Store(c50, c51, f0, f1, a + 5, c + strideC, adds: true);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Add4x2(int* a, nint strideA, int* b, nint strideB, float* c, int strideC, int pairs)
    {
        Vector256<int> c00 = default, c01 = default, c10 = default, c11 = default, c20 = default, c21 = default;
        Vector256<int> c30 = default, c31 = default;
        for (int i = 0; i < pairs; i++, a += strideA, b += strideB)
        {
            Vector256<int> b0 = Vector256.Load(b), b1 = Vector256.Load(b + N);
            Vector256<int> v = Vector256.Create(a[0]);
            (c00, c01) = (Dot(c00, v, b0), Dot(c01, v, b1));
            v = Vector256.Create(a[1]);
            (c10, c11) = (Dot(c10, v, b0), Dot(c11, v, b1));
            v = Vector256.Create(a[2]);
            (c20, c21) = (Dot(c20, v, b0), Dot(c21, v, b1));
            v = Vector256.Create(a[3]);
            (c30, c31) = (Dot(c30, v, b0), Dot(c31, v, b1));
        }
        Vector256<float> f0 = Vector256.Load((float*)b), f1 = Vector256.Load((float*)b + N);
        Store(c00, c01, f0, f1, a, c, adds: true);
        Store(c10, c11, f0, f1, a + 1, c += strideC, adds: true);
        Store(c20, c21, f0, f1, a + 2, c += strideC, adds: true);
        Store(c30, c31, f0, f1, a + 3, c + strideC, adds: true);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Add4x1(int* a, nint strideA, int* b, nint strideB, float* c, int strideC, int pairs)
    {
        Vector256<int> c0 = default, c1 = default, c2 = default, c3 = default;
        for (int i = 0; i < pairs; i++, a += strideA, b += strideB)
        {
            Vector256<int> b0 = Vector256.Load(b);
            c0 = Dot(c0, Vector256.Create(a[0]), b0);
            c1 = Dot(c1, Vector256.Create(a[1]), b0);
            c2 = Dot(c2, Vector256.Create(a[2]), b0);
            c3 = Dot(c3, Vector256.Create(a[3]), b0);
        }
        Vector256<float> f = Vector256.Load((float*)b);
        Store(c0, f, a, c, adds: true);
        Store(c1, f, a + 1, c += strideC, adds: true);
        Store(c2, f, a + 2, c += strideC, adds: true);
        Store(c3, f, a + 3, c + strideC, adds: true);
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

    /// <summary>Sums, times the factors of their columns and of their row.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(Vector256<int> sums, Vector256<float> columns, int* row, float* to, bool adds)
    {
        Vector256<float> factors = columns * Vector256.Create(*(float*)row), v = Vector256.ConvertToSingle(sums) * factors;
        (adds ? v + Vector256.Load(to) : v).Store(to);
    }
}
