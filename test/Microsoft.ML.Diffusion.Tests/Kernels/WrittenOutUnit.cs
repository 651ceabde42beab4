namespace Microsoft.ML.Diffusion.Tests;

/// <summary>What a <see cref="MatrixUnit"/> does, written out: stands in for the processor's where there is none, and checks that every user begins and ends.</summary>
internal sealed unsafe class WrittenOutUnit : MatrixUnit
{
    [ThreadStatic] private static int s_begun;

    /// <summary>bfloat16 is the upper half of a float32.</summary>
    public static float Widen(ushort number) => BitConverter.UInt32BitsToSingle((uint)number << 16);

    public override void Begin() => CountBegin();

    public override void Multiply(BlockProduct* product) => Multiply(product, Side, secondRows: true);

    public override void End() => CountEnd();

    internal static void CountBegin() => Assert.AreEqual(1, ++s_begun);

    internal static void CountEnd() => Assert.AreEqual(0, --s_begun);

    /// <param name="product">The factors.</param>
    /// <param name="rows">Rows of A and C.</param>
    /// <param name="secondRows">Whether rows from 16 on lie elsewhere.</param>
    internal static void Multiply(BlockProduct* product, int rows, bool secondRows) => Multiply(product, rows, product->Steps * Depth, (row, k) =>
    {
        byte* a = (byte*)product->A + (secondRows ? row / 16 * product->ASecond + row % 16 * product->AStride : row * product->AStride);
        return ((ushort*)(a + product->Offsets[k / Depth]))[k % Depth];
    }, k => (byte*)product->B + k / Depth * product->BStep + k % Depth / 2 * product->BStride);

    /// <param name="product">The factors.</param>
    /// <param name="rows">Columns of A, rows of C.</param>
    internal static void MultiplyPairs(BlockProduct* product, int rows) => Multiply(
        product, rows, 2 * product->Steps, (row, k) => ((ushort*)((byte*)product->A + k / 2 * product->AStride))[2 * row + k % 2], k => (byte*)product->B + k / 2 * product->BStride);

    private delegate byte* Place(nint k);

    private static void Multiply(BlockProduct* product, int rows, nint depth, Func<int, nint, ushort> left, Place pairs)
    {
        Assert.AreEqual(1, s_begun, "Begin comes first.");
        Assert.IsGreaterThan(0, product->Steps);
        for (int row = 0; row < rows; row++)
        {
            float* c = (float*)((byte*)product->C + row * product->CStride);
            var sums = new float[Side];
            for (nint k = 0; k < depth; k++)
            {
                float value = Widen(left(row, k));
                byte* right = pairs(k);
                for (int column = 0; column < Side; column++)
                    sums[column] += value * Widen(((ushort*)(right + column / 16 * product->BSecond))[column % 16 * 2 + k % 2]);
            }
            for (int column = 0; column < Side; column++)
                c[column] = sums[column] + (product->Accumulate != 0 ? ((float*)((byte*)c + product->Start))[column] : 0);
        }
    }
}

/// <summary>The same of a <see cref="PairUnit"/>.</summary>
/// <param name="integers">Whether convolutions are multiplied in integers.</param>
internal sealed unsafe class WrittenOutPairUnit(bool integers) : PairUnit
{
    public override bool ConvolvesInIntegers => integers;

    public override bool MultipliesInIntegers => integers;

    public override void Begin() => WrittenOutUnit.CountBegin();

    public override void Multiply(BlockProduct* product) => WrittenOutUnit.Multiply(product, Side, secondRows: true);

    public override void MultiplyRows(BlockProduct* product, int rows)
    {
        Assert.AreEqual(0, rows % RowMultiple);
        WrittenOutUnit.Multiply(product, rows, secondRows: false);
    }

    public override void MultiplyPairs(BlockProduct* product, int rows)
    {
        Assert.AreEqual(0, rows % RowMultiple);
        WrittenOutUnit.MultiplyPairs(product, rows);
    }

    public override void End() => WrittenOutUnit.CountEnd();
}
