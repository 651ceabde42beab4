namespace Microsoft.ML.Diffusion.Tests;

/// <summary>Blocked products and their packing against sums in double.</summary>
[TestClass]
public sealed unsafe class MatrixKernelTests
{
    /// <summary>Between the rows of a matrix, never to be touched.</summary>
    private const float Untouched = 77;

    [TestMethod]
    [DataRow(16)]
    [DataRow(8)]
    [DataRow(4)]
    public void AProductIsTheSums(int lanes)
    {
        Action<int, int, int> check = KernelData.For<Action<int, int, int>>(lanes, CheckProduct<Lanes512>, CheckProduct<Lanes256>, CheckProduct<Lanes128>);
        // Every number of rows meets every remainder of the columns on the way.
        for (int k = 1; k <= 70; k++)
        {
            for (int rows = 4; rows <= 14; rows += 2)
                check(rows, lanes * (1 + (k + rows / 2) % 9), k);
        }
    }

    [TestMethod]
    [DataRow(16)]
    [DataRow(8)]
    [DataRow(4)]
    public void ATransposedProductIsAdded(int lanes)
    {
        Action<int, int, int> check = KernelData.For<Action<int, int, int>>(lanes, CheckAdded<Lanes512>, CheckAdded<Lanes256>, CheckAdded<Lanes128>);
        // Some of them longer than the blocks that it is summed in.
        foreach (int k in (int[])[.. Enumerable.Range(1, 70), 95, 96, 97, 192, 200])
        {
            for (int rows = 4; rows <= 20; rows += 4)
                check(rows, lanes * (1 + (k + rows / 4) % 9), k);
        }
    }

    [TestMethod]
    [DataRow(16)]
    [DataRow(8)]
    [DataRow(4)]
    public void PanelsFollowOneAnotherAndEveryColumnIsInOne(int lanes) =>
        KernelData.For<Action>(lanes, CheckPanels<Lanes512>, CheckPanels<Lanes256>, CheckPanels<Lanes128>)();

    [TestMethod]
    [DataRow(16)]
    [DataRow(8)]
    [DataRow(4)]
    public void BothPackingsPutEveryNumberInItsPanel(int lanes)
    {
        Action<int, int> check = KernelData.For<Action<int, int>>(lanes, CheckPacking<Lanes512>, CheckPacking<Lanes256>, CheckPacking<Lanes128>);
        for (int registers = 1; registers <= 9; registers++)
        {
            foreach (int k in (int[])[1, 2, 15, 16, 17, 31, 33, 70])
                check(registers * lanes, k);
        }
    }

    [TestMethod]
    public void RowsAreRoundedUpToWhatBlocksMakeUp()
    {
        for (int rows = 1; rows <= 40; rows++)
        {
            int room = MatrixKernel<Lanes128>.Rows(rows);
            Assert.IsTrue(room >= rows && room >= 4 && room % 2 == 0 && room <= Math.Max(4, rows + 1), $"{rows}: {room}");
        }
    }

    private static void CheckProduct<L>(int rows, int columns, int k)
        where L : unmanaged, ILanes<L>
    {
        int strideA = k + 3, strideB = columns + 2, strideC = columns + 5;
        float[] a = KernelData.Numbers(k, rows * strideA), b = KernelData.Numbers(rows, k * strideB), c = new float[rows * strideC], panels = new float[k * columns];
        c.AsSpan().Fill(Untouched);
        float[] ahead = [.. c];
        fixed (float* pa = a, pb = b, pc = c, pd = ahead, pp = panels)
        {
            Packing<L>.Rows(pb, strideB, k, columns, pp);
            MatrixKernel<L>.Multiply(pa, strideA, pp, pc, strideC, rows, columns, k);
            MatrixKernel<L>.Multiply(pa, strideA, pp, pd, strideC, rows, columns, k, next: pp);
        }
        Assert.IsTrue(c.AsSpan().SequenceEqual(ahead), "calling the next factor from memory changes nothing");
        for (int row = 0; row < rows; row++)
        {
            for (int column = 0; column < strideC; column++)
            {
                double sum = column < columns ? 0 : Untouched, size = 0;
                for (int i = 0; column < columns && i < k; i++)
                {
                    double product = (double)a[row * strideA + i] * b[i * strideB + column];
                    sum += product;
                    size += Math.Abs(product);
                }
                if (!IsClose(sum, c[row * strideC + column], size, k))
                    Assert.Fail($"{rows}x{columns}, k {k}: {c[row * strideC + column]} at {row}, {column}, not {sum}");
            }
        }
    }

    private static void CheckAdded<L>(int rows, int columns, int k)
        where L : unmanaged, ILanes<L>
    {
        int strideA = rows + 3, strideB = columns + 2, strideC = columns + 5;
        float[] a = KernelData.Numbers(k, k * strideA), b = KernelData.Numbers(rows, k * strideB), before = KernelData.Numbers(5, rows * strideC), c = [.. before];
        fixed (float* pa = a, pb = b, pc = c)
            MatrixKernel<L>.AddTransposed(pa, strideA, pb, strideB, pc, strideC, rows, columns, k);
        for (int row = 0; row < rows; row++)
        {
            for (int column = 0; column < strideC; column++)
            {
                int at = row * strideC + column;
                double sum = before[at], size = Math.Abs(sum);
                for (int i = 0; column < columns && i < k; i++)
                {
                    double product = (double)a[i * strideA + row] * b[i * strideB + column];
                    sum += product;
                    size += Math.Abs(product);
                }
                if (!IsClose(sum, c[at], size, column < columns ? k + 3 : 0))
                    Assert.Fail($"{rows}x{columns}, k {k}: {c[at]} at {row}, {column}, not {sum}");
            }
        }
    }

    /// <summary>Every addition rounds by half a unit in the last place of what there is by then.</summary>
    private static bool IsClose(double want, float got, double size, int additions) => Math.Abs(got - want) <= additions * size * Math.Pow(2, -24);

    private static void CheckPanels<L>()
        where L : unmanaged, ILanes<L>
    {
        for (int columns = L.Count; columns <= 13 * L.Count; columns += L.Count)
        {
            int start = 0;
            while (start < columns)
            {
                int width = MatrixKernel<L>.PanelAt(columns, start);
                Assert.IsTrue(width == L.Count || width == 2 * L.Count || width == MatrixKernel<L>.Panel, $"{width}");
                for (int column = start; column < start + width; column++)
                    Assert.AreEqual(start, MatrixKernel<L>.PanelStart(columns, column), $"column {column} of {columns}");
                start += width;
            }
            Assert.AreEqual(columns, start);
        }
    }

    private static void CheckPacking<L>(int columns, int k)
        where L : unmanaged, ILanes<L>
    {
        int stride = columns + 1, strideTransposed = k + 2;
        float[] matrix = KernelData.Numbers(columns, k * stride), transposed = new float[columns * strideTransposed];
        float[] packed = new float[k * columns], packedTransposed = new float[k * columns];
        for (int i = 0; i < k; i++)
        {
            for (int column = 0; column < columns; column++)
                transposed[column * strideTransposed + i] = matrix[i * stride + column];
        }
        fixed (float* from = matrix, fromTransposed = transposed, to = packed, toTransposed = packedTransposed)
        {
            Packing<L>.Rows(from, stride, k, columns, to);
            Packing<L>.Transposed(fromTransposed, strideTransposed, k, columns, toTransposed);
        }
        CollectionAssert.AreEqual(packed, packedTransposed);
        for (int column = 0; column < columns; column++)
        {
            int start = MatrixKernel<L>.PanelStart(columns, column), width = MatrixKernel<L>.PanelAt(columns, start);
            for (int i = 0; i < k; i++)
            {
                if (matrix[i * stride + column] != packed[start * k + i * width + column - start])
                    Assert.Fail($"row {i}, column {column} of {k}x{columns}");
            }
        }
    }
}
