using System.Runtime.CompilerServices;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// Products of small matrices of 16-bit integers that lie in the cache, summed in 32 bits: <see cref="MatrixKernel{L}"/> at twice the numbers an instruction. Factors lie as
/// <see cref="Int16Layout"/> leaves them, the right one in panels of two registers' width, the last perhaps of one's: each [pairs, width] contiguous.
/// </summary>
/// <typeparam name="L">The register: of 256 bits with <see cref="Int16Blocks"/>, of 512 with <see cref="VnniUnit"/>, where it is there.</typeparam>
internal static unsafe class Int16Kernel<L>
    where L : unmanaged, ILanes<L>
{
    /// <summary>The width of the panel that begins at a column.</summary>
    /// <param name="columns">Columns of the matrix, a multiple of the lanes.</param>
    /// <param name="column">Where the panel begins.</param>
    public static int PanelAt(int columns, int column) => Math.Min(2 * L.Count, columns - column);

    /// <summary>Where the panel begins that has a column.</summary>
    public static int PanelStart(int column) => column / (2 * L.Count) * (2 * L.Count);

    /// <summary>C = A·B.</summary>
    /// <param name="a">[rows, <see cref="Int16Layout.Words"/>].</param>
    /// <param name="b">The right factor's panels.</param>
    /// <param name="c">[rows, columns], written.</param>
    /// <param name="strideC">From a row to the next.</param>
    /// <param name="rows">Rows of A and C, from <see cref="MatrixKernel{L}.Rows"/>.</param>
    /// <param name="columns">Columns of B and C, a multiple of the lanes.</param>
    /// <param name="k">Columns of A, a multiple of 8.</param>
    /// <param name="next">The right factor of the product that comes next, called from memory meanwhile; or null.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Multiply(int* a, int* b, float* c, int strideC, int rows, int columns, int k, int* next = null)
    {
        nint words = Int16Layout.Words(k);
        int blocks = (rows + 5) / 6 * ((columns + 2 * L.Count - 1) / (2 * L.Count)) * ((k + Int16Layout.Block - 1) / Int16Layout.Block);
        var ahead = new CalledAhead(next, next is null ? 0 : words * columns, blocks);
        int width;
        for (int column = 0; column < columns; column += width)
        {
            width = PanelAt(columns, column);
            int* panel = b + column * words;
            for (int first = 0; first < k; first += Int16Layout.Block)
            {
                nint start = Int16Layout.Start(first);
                var factors = new PairStrides(words, 1, width, Math.Min(Int16Layout.Block, k - first) / 2);
                MultiplyRows(factors, width, a + start, panel + start * width, c + column, strideC, rows, adds: first > 0, ref ahead);
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
    /// <param name="rows">Columns of A, a multiple of the lanes.</param>
    /// <param name="columns">Columns of B, a multiple of the lanes.</param>
    /// <param name="pairs">Rows of pairs.</param>
    /// <param name="adds">Whether C is added to, not written.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void AddTransposed(int* a, nint strideA, int* b, nint strideB, float* c, int strideC, int rows, int columns, int pairs, bool adds = true)
    {
        var factors = new PairStrides(1, strideA, strideB, pairs);
        CalledAhead nothing = default;
        int width;
        for (int column = 0; column < columns; column += width)
        {
            width = PanelAt(columns, column);
            MultiplyRows(factors, width, a, b + column, c + column, strideC, rows, adds, ref nothing);
        }
    }

    /// <summary>The product of all rows and a panel's columns.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void MultiplyRows(in PairStrides factors, int width, int* a, int* b, float* c, int strideC, int rows, bool adds, ref CalledAhead ahead)
    {
        int sixes = MatrixKernel<L>.Sixes(rows);
        bool two = width == 2 * L.Count;
        VnniUnit? unit = L.Count == Lanes512.Count ? VnniUnit.OfThisProcessor : null;
        Int16Block block = unit is null ? default : VnniUnit.BlockOf(factors, b, strideC, adds);
        for (int row = 0; row < rows; row += row < sixes ? 6 : 4)
        {
            int* left = a + row * factors.Row;
            float* to = c + (nint)row * strideC;
            ahead.Call();
            if (unit is not null)
            {
                unit.Multiply(&block, row < sixes, two, left, factors.Own, to);
                continue;
            }
            if (L.Count == Lanes256.Count)
            {
                Int16Blocks.Multiply(factors, row < sixes, two, left, b, to, strideC, adds);
                continue;
            }
            for (int half = 0; half < width; half += L.Count)
                Int16Blocks.Multiply(factors, row < sixes, true, left, b + half, to + half, strideC, adds);
        }
    }
}

/// <summary>Memory that is called while something else is computed, a part with each block of it.</summary>
internal unsafe struct CalledAhead
{
    private const int Line = KernelMemory.Alignment / sizeof(int);

    private readonly int* _end;
    private readonly nint _each;
    private int* _next;

    /// <summary>Nothing is called yet.</summary>
    /// <param name="first">The first number.</param>
    /// <param name="count">How many.</param>
    /// <param name="blocks">With so many blocks all are called.</param>
    public CalledAhead(int* first, nint count, int blocks)
    {
        _next = first;
        _end = first + count;
        _each = (count / blocks + Line) & -Line;
    }

    /// <summary>Calls the next part.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Call()
    {
        for (int* last = _next + _each; _next < last && _next < _end; _next += Line)
            Lanes.Prefetch(_next);
    }
}

/// <summary>How the pairs of both factors lie, counted in words; behind the last come the powers.</summary>
/// <param name="row">From a row of the result to the next, in the left factor.</param>
/// <param name="step">From a pair to the next there.</param>
/// <param name="right">From a row of pairs of the right factor to the next.</param>
/// <param name="pairs">How many.</param>
internal readonly struct PairStrides(nint row, nint step, nint right, int pairs)
{
    public nint Row { get; } = row;

    public nint Step { get; } = step;

    public nint Right { get; } = right;

    public int Pairs { get; } = pairs;

    /// <summary>From a row's first pair to its own sum, in the left factor.</summary>
    public nint Own => (Pairs + 1) * Step;
}
