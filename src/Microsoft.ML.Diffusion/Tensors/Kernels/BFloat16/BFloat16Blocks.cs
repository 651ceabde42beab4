using System.Runtime.CompilerServices;

namespace Microsoft.ML.Diffusion;

/// <summary>Many rows times a weight, block by block, with bias and addend: what convolutions and products over <see cref="MatrixUnit"/> have in common.</summary>
internal static unsafe class BFloat16Blocks
{
    /// <summary>Floats of a block of sums.</summary>
    public const int BlockFloats = MatrixUnit.Side * MatrixUnit.Side;

    /// <summary>Rows for which a block of the weight is used before the next one: it and they stay in the second-level cache.</summary>
    private const int GroupRows = 8 * MatrixUnit.Side;

    /// <summary>Multiplies rows of bfloat16 with some columns of a weight.</summary>
    /// <param name="unit">Multiplies; the thread has begun.</param>
    /// <param name="rows">The first row, bfloat16. Whole blocks of rows are read.</param>
    /// <param name="rowBytes">From a row to the next.</param>
    /// <param name="targets">[count]: which row of y each becomes; −1: none.</param>
    /// <param name="count">Rows.</param>
    /// <param name="offsets">[steps]: where a step reads, counted in bytes from a row.</param>
    /// <param name="steps">Their number.</param>
    /// <param name="weight">From <see cref="BFloat16Layout.Weight"/>, beginning with the first column.</param>
    /// <param name="to">What becomes of the products.</param>
    /// <param name="first">The first column.</param>
    /// <param name="columns">How many.</param>
    /// <param name="sums">[<see cref="BlockFloats"/>], worked in.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Multiply(
        MatrixUnit unit, ushort* rows, nint rowBytes, int* targets, int count, nint* offsets, int steps, ushort* weight, in ProductRows to, int first, int columns, float* sums)
    {
        var product = new BlockProduct
        {
            AStride = rowBytes,
            ASecond = MatrixUnit.Side / 2 * rowBytes,
            Offsets = offsets,
            Steps = steps,
            BStride = MatrixUnit.Side * sizeof(ushort),
            BSecond = MatrixUnit.StepNumbers / 2 * sizeof(ushort),
            BStep = MatrixUnit.StepNumbers * sizeof(ushort),
            C = sums,
            CStride = MatrixUnit.Side * sizeof(float),
        };
        for (int group = 0; group < count; group += GroupRows)
        {
            int end = Math.Min(count, group + GroupRows);
            for (int column = 0; column < columns; column += MatrixUnit.Side)
            {
                product.B = weight + (nint)(column / MatrixUnit.Side) * steps * MatrixUnit.StepNumbers;
                for (int row = group; row < end; row += MatrixUnit.Side)
                {
                    int here = Math.Min(MatrixUnit.Side, count - row);
                    Call(targets + row, here, to, first + column);
                    product.A = (ushort*)((byte*)rows + row * rowBytes);
                    unit.Multiply(&product);
                    Finish(sums, targets + row, here, to, first + column);
                }
            }
        }
    }

    /// <summary>Calls what a block is written to, and what is added to it, from memory while it is multiplied: its rows lie too far apart for a processor to see which come next.</summary>
    /// <param name="targets">[rows]: which row of y each becomes; −1: none.</param>
    /// <param name="rows">Their number.</param>
    /// <param name="to">What becomes of them.</param>
    /// <param name="column">The first column.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Call(int* targets, int rows, in ProductRows to, int column)
    {
        for (int row = 0; row < rows; row++)
        {
            if (targets[row] < 0)
                continue;
            nint at = (nint)targets[row] * to.Columns + column;
            Lanes.Prefetch(to.Y + at);
            if (to.Addend is not null)
                Lanes.Prefetch(to.Addend + at);
        }
    }

    /// <summary>Adds bias and addend to a block of sums, rounds it and writes it.</summary>
    /// <param name="sums">[rows, <see cref="MatrixUnit.Side"/>].</param>
    /// <param name="targets">[rows]: which row of y each becomes; −1: none.</param>
    /// <param name="rows">Their number.</param>
    /// <param name="to">What becomes of them.</param>
    /// <param name="column">The first column.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Finish(float* sums, int* targets, int rows, in ProductRows to, int column)
    {
        Lanes512 low = default, high = default;
        if (to.Bias is not null)
            (low, high) = (Lanes512.Load(to.Bias + column), Lanes512.Load(to.Bias + column + Lanes512.Count));
        for (int row = 0; row < rows; row++, sums += MatrixUnit.Side)
        {
            if (targets[row] < 0)
                continue;
            nint at = (nint)targets[row] * to.Columns + column;
            Lanes512 first = Lanes512.Load(sums) + low, second = Lanes512.Load(sums + Lanes512.Count) + high;
            if (to.Addend is not null)
            {
                first += NarrowElement.Load((NarrowElement*)(to.Addend + at));
                second += NarrowElement.Load((NarrowElement*)(to.Addend + at + Lanes512.Count));
            }
            BFloat16Layout.Store(first, second, to.Y + at);
        }
    }
}

/// <summary>Where the rows of a product go.</summary>
/// <param name="y">[rows, columns], written.</param>
/// <param name="columns">Their number.</param>
/// <param name="bias">[columns] or null.</param>
/// <param name="addend">[rows, columns], added; or null.</param>
internal readonly unsafe struct ProductRows(ushort* y, int columns, float* bias, ushort* addend)
{
    public ushort* Y { get; } = y;

    public int Columns { get; } = columns;

    public float* Bias { get; } = bias;

    public ushort* Addend { get; } = addend;
}
