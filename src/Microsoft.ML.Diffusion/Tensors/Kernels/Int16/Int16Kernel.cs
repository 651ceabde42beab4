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
            int sixes = MatrixKernel<Lanes256>.Sixes(rows);
            for (int row = 0; row < rows; row += row < sixes ? 6 : 4)
            {
                float* to = c + (nint)row * strideC + column;
                for (int first = 0; first < k; first += Int16Layout.Block)
                {
                    nint start = Int16Layout.Start(first);
                    var factors = new Factors(words, 1, width, Math.Min(Int16Layout.Block, k - first) / 2);
                    MultiplyBlock(factors, row < sixes, width, a + row * words + start, panel + start * width, to, strideC, adds: first > 0);
                }
                for (int* last = next + ahead; next < last && next < end; next += line)
                    Sse.Prefetch1(next);
            }
        }
    }

    /// <summary>C += Aᵀ·B, of factors that both are right ones: blocks of columns from <see cref="Int16Layout.Columns"/>.</summary>
    /// <param name="a">[pairs + 1, rows], the last row of powers.</param>
    /// <param name="strideA">From a row of A to the next.</param>
    /// <param name="b">[pairs + 1, columns], the last row of powers.</param>
    /// <param name="strideB">From a row of B to the next.</param>
    /// <param name="c">[rows, columns], added to.</param>
    /// <param name="strideC">From a row to the next.</param>
    /// <param name="rows">Columns of A, a multiple of 8.</param>
    /// <param name="columns">Columns of B, a multiple of 8.</param>
    /// <param name="pairs">Rows of pairs.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void AddTransposed(int* a, nint strideA, int* b, nint strideB, float* c, int strideC, int rows, int columns, int pairs)
    {
        var factors = new Factors(1, strideA, strideB, pairs);
        int width;
        for (int column = 0; column < columns; column += width)
        {
            width = MatrixKernel<Lanes256>.PanelAt(columns, column);
            int sixes = MatrixKernel<Lanes256>.Sixes(rows);
            for (int row = 0; row < rows; row += row < sixes ? 6 : 4)
                MultiplyBlock(factors, row < sixes, width, a + row, b + column, c + (nint)row * strideC + column, strideC, adds: true);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void MultiplyBlock(in Factors factors, bool six, int width, int* a, int* b, float* c, int strideC, bool adds)
    {
        if (six && width == 2 * N)
            Block6x2(factors, a, b, c, strideC, adds);
        else if (six)
            Block6x1(factors, a, b, c, strideC, adds);
        else if (width == 2 * N)
            Block4x2(factors, a, b, c, strideC, adds);
        else
            Block4x1(factors, a, b, c, strideC, adds);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Block6x2(in Factors factors, int* a, int* b, float* c, int strideC, bool adds)
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
    private static void Block4x2(in Factors factors, int* a, int* b, float* c, int strideC, bool adds)
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
    private static void Block6x1(in Factors factors, int* a, int* b, float* c, int strideC, bool adds)
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
    private static void Block4x1(in Factors factors, int* a, int* b, float* c, int strideC, bool adds)
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

    /// <summary>How the pairs of both factors lie, counted in words; behind the last come the powers.</summary>
    /// <param name="row">From a row of the result to the next, in the left factor.</param>
    /// <param name="step">From a pair to the next there.</param>
    /// <param name="right">From a row of pairs of the right factor to the next.</param>
    /// <param name="pairs">How many.</param>
    private readonly struct Factors(nint row, nint step, nint right, int pairs)
    {
        public nint Row { get; } = row;

        public nint Step { get; } = step;

        public nint Right { get; } = right;

        public int Pairs { get; } = pairs;
    }
}
