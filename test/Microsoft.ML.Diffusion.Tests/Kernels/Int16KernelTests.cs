namespace Microsoft.ML.Diffusion.Tests;

/// <summary>The tests over registers of 256 bits.</summary>
[TestClass]
public sealed class Int16KernelTestsOf256Bits() : Int16KernelTests(8);

/// <summary>The tests over registers of 512 bits: with AVX512_VNNI, where it is there.</summary>
[TestClass]
public sealed class Int16KernelTestsOf512Bits() : Int16KernelTests(16)
{
    /// <summary>Sums of integers are exact: what multiplies them, and in which order, is not seen.</summary>
    [TestMethod]
    public void TheyComeToTheSameBitsAsThoseOf256()
    {
        foreach (int rows in (int[])[4, 6, 58, 62])
        {
            foreach (var (inputs, outputs) in ((int, int)[])[(32, 48), (144, 32), (400, 80)])
            {
                float[] x = KernelData.Numbers(1, rows * inputs), weight = KernelData.Numbers(2, inputs * outputs), dy = KernelData.Numbers(3, rows * outputs);
                CollectionAssert.AreEqual(
                    LinearProductTests.Apply<Lanes256, Int16Factors<Lanes256>>(rows, inputs, outputs, x, false, weight, false, null, null),
                    LinearProductTests.Apply<Lanes512, Int16Factors<Lanes512>>(rows, inputs, outputs, x, false, weight, false, null, null), $"{rows} rows, {inputs} to {outputs}");
                CollectionAssert.AreEqual(
                    LinearProductTests.Differentiate<Lanes256, Int16Factors<Lanes256>>(rows, inputs, outputs, x, false, dy, bias: false).DWeight,
                    LinearProductTests.Differentiate<Lanes512, Int16Factors<Lanes512>>(rows, inputs, outputs, x, false, dy, bias: false).DWeight, $"{rows} rows, {inputs} to {outputs}");
            }
        }
    }
}

/// <summary>Products of many rows of bfloat16 that are multiplied in integers.</summary>
[TestClass]
public sealed unsafe class Int16NarrowProductTests
{
    /// <summary>Of the largest number: half of the last of eight bits that a result keeps, and what the integers are off.</summary>
    private const double Tolerance = 1 / 250.0;

    /// <summary>Without AVX2 there is nothing to test.</summary>
    [TestInitialize]
    public void NeedsAvx2() => KernelData.NeedsAvx2();

    [TestMethod]
    public void TheyAreTheDefinition()
    {
        foreach (int rows in (int[])[4, 30, 94, 96, 98, 190, 288])
        {
            foreach (var (inputs, outputs) in ((int, int)[])[(32, 64), (96, 96), (160, 64), (288, 128)])
            {
                float[] x = KernelData.Rounded(1, rows * inputs), weight = KernelData.Numbers(2, inputs * outputs), bias = KernelData.Numbers(3, outputs), addend = KernelData.Rounded(4, rows * outputs);
                foreach (bool transposed in (bool[])[false, true])
                {
                    double[] want = WrittenOutProduct.Apply(rows, inputs, outputs, x, weight, transposed), all = WrittenOutConvolution.Plus(want, bias, addend);
                    foreach (bool source in (bool[])[false, true])
                    {
                        string what = $"{rows} rows, {inputs} to {outputs}, transposed: {transposed}, source: {source}";
                        Assert.IsLessThan(Tolerance, KernelData.Error(want, Multiply(rows, inputs, outputs, x, source, weight, transposed, null, null)), what);
                        Assert.IsLessThan(Tolerance, KernelData.Error(all, Multiply(rows, inputs, outputs, x, source, weight, transposed, bias, addend)), what);
                    }
                }
            }
        }
    }

    [TestMethod]
    [DataRow(32, 64)]
    [DataRow(64, 64)]       // both in one block
    [DataRow(128, 64)]      // a block of its own
    [DataRow(160, 128)]     // a whole block, a shared one and a part
    public void JoinedChannelsGiveTheSameBitsAsThoseThatLieTogether(int left, int right)
    {
        const int rows = 98, outputs = 64;
        int inputs = left + right;
        float[] x = KernelData.Rounded(1, rows * inputs), weight = KernelData.Numbers(2, inputs * outputs);
        ushort[] narrow = BFloat16KernelTests.Narrow(x)!, a = [.. narrow.Where((_, i) => i % inputs < left)], b = [.. narrow.Where((_, i) => i % inputs >= left)], y = new ushort[rows * outputs];
        KernelData.Poison(100_000);
        fixed (ushort* pa = a, pb = b, py = y)
        fixed (float* pw = weight)
        {
            ImageMemory joined = ImageMemory.Join(new(pa, new(1, 1, rows, left, IsNarrow: true)), new(pb, new(1, 1, rows, right, IsNarrow: true)));
            Int16NarrowProduct.Apply(rows, inputs, outputs, joined, null, pw, transposed: false, null, null, py);
        }
        CollectionAssert.AreEqual(Multiply(rows, inputs, outputs, x, false, weight, false, null, null), y.Select(WrittenOutUnit.Widen).ToArray());
    }

    [TestMethod]
    public void SmallWholeNumbersGiveTheirProductsToTheBit()
    {
        const int rows = 100, inputs = 160, outputs = 64;
        // Few enough of them that eight bits hold every sum.
        float[] x = [.. KernelData.Numbers(1, rows * inputs).Select(number => number > 0.8f ? 1f : 0)], weight = [.. KernelData.Numbers(2, inputs * outputs).Select(number => MathF.Round(number))];
        float[] want = [.. WrittenOutProduct.Apply(rows, inputs, outputs, x, weight, transposed: false).Select(number => (float)number)];
        Assert.IsTrue(want.All(number => Math.Abs(number) <= 256) && want.Any(number => number != 0));
        CollectionAssert.AreEqual(want, Multiply(rows, inputs, outputs, x, false, weight, false, null, null));
    }

    [TestMethod]
    public void AUnitThatAddsFactorsAndManyOutputsAreWorthIt()
    {
        Assert.IsTrue(Int16NarrowProduct.Takes(new WrittenOutPairUnit(integers: true), 64));
        Assert.IsFalse(Int16NarrowProduct.Takes(new WrittenOutPairUnit(integers: true), 32), "rounding costs what it gains");
        Assert.IsFalse(Int16NarrowProduct.Takes(new WrittenOutPairUnit(integers: false), 64));
        Assert.IsFalse(Int16NarrowProduct.Takes(new WrittenOutUnit(), 64), "a unit for whole matrices");
    }

    private static float[] Multiply(int rows, int inputs, int outputs, float[] x, bool source, float[] weight, bool transposed, float[]? bias, float[]? addend)
    {
        KernelData.Poison(100_000);
        ushort[] y = [.. Enumerable.Repeat((ushort)0x7FC0, rows * outputs)];
        ushort[] narrow = BFloat16KernelTests.Narrow(x)!;
        fixed (ushort* px = narrow, pa = BFloat16KernelTests.Narrow(addend), py = y)
        fixed (float* pw = weight, pb = bias)
            Int16NarrowProduct.Apply(rows, inputs, outputs, source ? default : new(px, new(1, 1, rows, inputs, IsNarrow: true)), source ? new NarrowArrayRows(narrow, inputs) : null, pw, transposed, pb, pa, py);
        return [.. y.Select(WrittenOutUnit.Widen)];
    }
}

/// <summary>Routines that add factors to multiply less, beside those that do not.</summary>
[TestClass]
public sealed unsafe class VnniUnitTests
{
    [TestMethod]
    public void SumsOfFactorsGiveTheSameBits()
    {
        if (VnniUnit.TryCreate(addsFactors: true) is not { } adds || VnniUnit.TryCreate(addsFactors: false) is not { } multiplies)
        {
            Assert.Inconclusive("This processor has no AVX512_VNNI, or the system is not Linux.");
            return;
        }
        const int width = 32;
        foreach (int count in (int[])[2, 4, 6, 30, 64, 126, 128])
        {
            int words = count / 2 + 2;
            float[] rows = KernelData.Numbers(1, count * 16), columns = KernelData.Numbers(2, count * width), before = KernelData.Numbers(3, 6 * width);
            int[] left = new int[words * 16], right = new int[words * width];
            fixed (float* fromRows = rows, fromColumns = columns)
            fixed (int* a = left, b = right)
            {
                Int16Layout.Columns(fromRows, 16, count, 16, a, 16);
                Int16Layout.Columns(fromColumns, width, count, width, b, width);
                foreach (var (six, two, add) in from six in (bool[])[false, true] from two in (bool[])[false, true] from add in (bool[])[false, true] select (six, two, add))
                {
                    float[] got = [.. before], want = [.. before];
                    var strides = new PairStrides(1, 16, width, count / 2);
                    fixed (float* c = got, d = want)
                    {
                        Int16Block block = VnniUnit.BlockOf(strides, b, width, add);
                        adds.Multiply(&block, six, two, a, strides.Own, c);
                        multiplies.Multiply(&block, six, two, a, strides.Own, d);
                    }
                    CollectionAssert.AreEqual(want, got, $"{count} numbers, six rows: {six}, two registers: {two}, added: {add}");
                    CollectionAssert.AreNotEqual(before, got);
                }
            }
        }
    }
}

/// <summary>Products and convolutions of float32 that are multiplied in 16-bit integers, against the definition in double. Processors without AVX2 never do.</summary>
/// <param name="lanes">Numbers of 32 bits of a register.</param>
public abstract unsafe class Int16KernelTests(int lanes)
{
    /// <summary>Of the largest number: 15 bits a block, of which the longest number of many seldom takes all.</summary>
    private const double Tolerance = 3e-4;

    /// <summary>The same of convolutions, whose transforms lose about three bits more.</summary>
    private const double ConvolutionTolerance = 2e-3;

    /// <summary>Numbers of a row: less than a block, a block, several, and a last one of less.</summary>
    private static readonly int[] s_lengths = [8, 24, 96, 128, 136, 392];

    /// <summary>Without AVX2 there is nothing to test.</summary>
    [TestInitialize]
    public void NeedsAvx2() => KernelData.NeedsAvx2();

    [TestMethod]
    public void ABlockIsItsNumbersRoundedToAPowerOfTwo()
    {
        foreach (float size in (float[])[1, 1e-15f, 3e15f, 1 / 3f])
        {
            float[] numbers = [.. KernelData.Numbers(1, Int16Layout.Block).Select(number => number * size)];
            var (row, power) = Row(numbers);
            Assert.AreEqual(0, Math.Log2(power) % 1, "a power of two");
            double length = Math.Sqrt(row.Sum(number => (double)number * number));
            int largest = row.Max(number => Math.Abs((int)number));
            if (Int16WideLayout.IsQuicker)
            {
                Assert.IsLessThan(65_536, length);
                Assert.IsLessThan(16_384, largest);
                Assert.IsTrue(length > 32_700 || largest > 8_190, "not all bits are taken");
            }
            else
            {
                Assert.IsInRange(16_000, 32_800, length);
            }
            for (int i = 0; i < row.Length; i++)
                Assert.AreEqual(numbers[i], row[i] * power, power / 2, $"number {i}");
        }
    }

    [TestMethod]
    public void OneNumberAloneTakesAllOfItsBits()
    {
        foreach (float number in (float[])[1, -1, 32_767, -32_768, 1.9999999f, 0.7f, float.Epsilon])
        {
            float[] numbers = new float[Int16Layout.Block];
            numbers[77] = number;
            var (row, power) = Row(numbers);
            Assert.AreEqual(number, row[77] * power, Math.Max(1.5 * power, float.Epsilon));
            Assert.AreEqual(1, row.Count(value => value != 0) + (number == float.Epsilon ? 1 : 0));
        }
    }

    [TestMethod]
    [DataRow(float.NaN)]
    [DataRow(float.PositiveInfinity)]
    [DataRow(float.NegativeInfinity)]
    public void WhatIsNoNumberIsNoneAfterwards(float number)
    {
        int rows = 6, inputs = Whole(136), outputs = 16;
        foreach (bool inWeight in (bool[])[false, true])
        {
            float[] x = KernelData.Numbers(1, rows * inputs), weight = KernelData.Numbers(2, inputs * outputs);
            (inWeight ? weight : x)[3 * inputs + 5] = number;
            float[] y = Multiply(rows, inputs, outputs, x, false, weight, false, null, null);
            for (int i = 0; i < y.Length; i++)
                Assert.AreEqual((inWeight ? i % outputs : i / outputs) != 3, float.IsFinite(y[i]), $"number {i}");
        }
    }

    [TestMethod]
    public void BlocksOfZerosGiveZeros() =>
        CollectionAssert.AreEqual(new float[6 * 16], Multiply(6, Whole(136), 16, new float[6 * Whole(136)], false, KernelData.Numbers(2, Whole(136) * 16), false, null, null));

    [TestMethod]
    public void TheLargestNumbersThereAreDoNotOverflow()
    {
        // Equal numbers are the longest sums that Cauchy and Schwarz allow.
        foreach (int inputs in s_lengths.Select(Whole))
        {
            float[] weight = [.. Enumerable.Repeat(-1.999f, lanes * inputs)];
            foreach (float number in (float[])[1.999f, 1.42f, 1.40f, 1.01f])
            {
                foreach (float sum in Multiply(4, inputs, lanes, [.. Enumerable.Repeat(number, 4 * inputs)], false, weight, false, null, null))
                    Assert.AreEqual(-1.999 * number * inputs, sum, 1e-3 * inputs, $"{inputs} times {number}");
            }
        }
    }

    [TestMethod]
    public void NumbersAloneInTheirBlocksDoNotOverflow()
    {
        // Whichever two are added up to be multiplied, they are as large as they can be.
        const int inputs = 64;
        foreach (float largest in (float[])[1.9999999f, -1.9999999f])
        {
            float[] x = new float[inputs * inputs], weight = new float[inputs * inputs];
            for (int i = 0; i < inputs; i++)
                (x[i * inputs + i], weight[i * inputs + i]) = (largest, 1.9999999f);
            float[] y = Multiply(inputs, inputs, inputs, x, false, weight, false, null, null);
            for (int i = 0; i < y.Length; i++)
                Assert.AreEqual(i / inputs == i % inputs ? 2 * largest : 0, y[i], i / inputs == i % inputs ? 1e-3 : 0, $"row {i / inputs}, column {i % inputs}");
        }
    }

    [TestMethod]
    public void ProductsAreTheDefinition()
    {
        foreach (int rows in (int[])[4, 6, 58, 62, 130])
        {
            foreach (int inputs in s_lengths.Select(Whole))
            {
                int outputs = lanes * (1 + (rows + inputs) / 8 % 5);
                float[] x = KernelData.Numbers(1, rows * inputs), weight = KernelData.Numbers(2, inputs * outputs);
                float[] bias = KernelData.Numbers(3, outputs), addend = KernelData.Numbers(4, rows * outputs);
                foreach (bool transposed in (bool[])[false, true])
                {
                    double[] want = WrittenOutProduct.Apply(rows, inputs, outputs, x, weight, transposed);
                    double[] wantAll = [.. want.Select((value, i) => value + bias[i % outputs] + addend[i])];
                    foreach (bool source in (bool[])[false, true])
                    {
                        string what = $"{rows} rows, {inputs} to {outputs}, transposed: {transposed}, source: {source}";
                        Assert.IsLessThan(Tolerance, KernelData.Error(want, Multiply(rows, inputs, outputs, x, source, weight, transposed, null, null)), what);
                        Assert.IsLessThan(Tolerance, KernelData.Error(wantAll, Multiply(rows, inputs, outputs, x, source, weight, transposed, bias, addend)), what);
                    }
                }
            }
        }
    }

    [TestMethod]
    public void TheirGradientsAreSumsOverTheRows()
    {
        foreach (int rows in (int[])[4, 6, 62, 128, 130, 258])
        {
            foreach (var (inputs, outputs) in ((int, int)[])[(32, 32), (Whole(40), Whole(56)), (Whole(136), 64)])
            {
                float[] x = KernelData.Numbers(1, rows * inputs), dy = KernelData.Numbers(2, rows * outputs);
                var (weight, bias) = WrittenOutProduct.WeightGradient(rows, inputs, outputs, x, dy);
                foreach (bool source in (bool[])[false, true])
                {
                    string what = $"{rows} rows, {inputs} to {outputs}, source: {source}";
                    var (dWeight, dBias) = Differentiate(rows, inputs, outputs, x, source, dy);
                    Assert.IsLessThan(Tolerance, KernelData.Error(weight, dWeight), what);
                    Assert.IsLessThan(2e-6, KernelData.Error(bias, dBias!), what);
                }
            }
        }
    }

    [TestMethod]
    public void NothingIsLostOfSmallWholeNumbers()
    {
        int rows = 130, inputs = Whole(136), outputs = Whole(40);
        float[] x = Wholes(1, rows * inputs), weight = Wholes(2, inputs * outputs), dy = Wholes(3, rows * outputs);
        CollectionAssert.AreEqual(
            WrittenOutProduct.Apply(rows, inputs, outputs, x, weight, false).Select(value => (float)value).ToArray(), Multiply(rows, inputs, outputs, x, true, weight, false, null, null));
        CollectionAssert.AreEqual(
            WrittenOutProduct.WeightGradient(rows, inputs, outputs, x, dy).Weight.Select(value => (float)value).ToArray(), Differentiate(rows, inputs, outputs, x, true, dy).DWeight);
    }

    [TestMethod]
    [DynamicData(nameof(WinogradConvolutionTests.Shapes), typeof(WinogradConvolutionTests))]
    public void ConvolutionsAreTheDefinition(int n, int height, int width, int inputs, int outputs)
    {
        var size = new ConvolutionSize(n, height, width, inputs, outputs);
        float[] x = KernelData.Numbers(1, n * height * width * inputs), w = KernelData.Numbers(2, 9 * inputs * outputs);
        float[] bias = KernelData.Numbers(3, outputs), addend = KernelData.Numbers(4, n * height * width * outputs);
        foreach (bool turned in (bool[])[false, true])
        {
            double[] want = WrittenOutConvolution.Apply(size, x, w, turned);
            Assert.IsLessThan(ConvolutionTolerance, KernelData.Error(want, Convolve(size, x, w, turned, null, null)), $"turned: {turned}");
            Assert.IsLessThan(ConvolutionTolerance, KernelData.Error(WrittenOutConvolution.Plus(want, bias, addend), Convolve(size, x, w, turned, bias, addend)), $"with both, turned: {turned}");
        }
    }

    [TestMethod]
    [DynamicData(nameof(WinogradConvolutionTests.Shapes), typeof(WinogradConvolutionTests))]
    [DataRow(1, 8, 8, 264, 40)]
    [DataRow(20, 16, 16, 8, 8)]
    public void TheirWeightsGradientsAreSumsOverThePixels(int n, int height, int width, int inputs, int outputs)
    {
        var size = new ConvolutionSize(n, height, width, inputs, outputs);
        int pixels = n * height * width;
        float[] x = KernelData.Numbers(1, pixels * inputs), dy = KernelData.Numbers(2, pixels * outputs);
        var (want, wantBias) = WrittenOutConvolution.WeightGradient(size, x, dy);
        var (got, bias) = Differentiate(size, x, dy);
        Assert.IsLessThan(ConvolutionTolerance, KernelData.Error(want, got));
        Assert.IsLessThan(1e-5, KernelData.Error(wantBias, bias!), "bias");
    }

    /// <summary>bfloat16 is 0.15 % away with nine taps and 0.34 % at complex points.</summary>
    [TestMethod]
    public void AConvolutionIsMoreAccurateThanInBFloat16()
    {
        var size = new ConvolutionSize(1, 12, 12, 136, 16);
        float[] x = KernelData.Numbers(1, size.Height * size.Width * size.Inputs), w = KernelData.Numbers(2, 9 * size.Inputs * size.Outputs);
        double[] exact = WrittenOutConvolution.Apply(size, x, w, turned: false);
        Assert.IsInRange(1e-4, 1.3e-3, RootMeanSquareShare(exact, Convolve(size, x, w, false, null, null)));
    }

    [TestMethod]
    public void AProductIsMoreAccurateThanInBFloat16()
    {
        const int rows = 64, inputs = 256, outputs = 64;
        float[] x = KernelData.Numbers(1, rows * inputs), weight = KernelData.Numbers(2, inputs * outputs);
        double[] exact = WrittenOutProduct.Apply(rows, inputs, outputs, x, weight, false);
        Assert.IsInRange(1e-5, 3e-4, RootMeanSquareShare(exact, Multiply(rows, inputs, outputs, x, false, weight, false, null, null)));
    }

    [TestMethod]
    [DoNotParallelize]
    public void TheNumberOfCoresChangesNoBit()
    {
        foreach (ConvolutionSize size in (ConvolutionSize[])[new(1, 8, 8, 40, 136), new(5, 12, 10, 32, 40), new(1, 40, 36, 136, 8)])
        {
            float[] x = KernelData.Numbers(1, size.Images * size.Height * size.Width * size.Inputs), w = KernelData.Numbers(2, 9 * size.Inputs * size.Outputs);
            float[] dy = KernelData.Numbers(3, size.Images * size.Height * size.Width * size.Outputs);
            var alone = On(1);
            foreach (int cores in (int[])[2, 3, 5])
            {
                var (y, dWeight) = On(cores);
                CollectionAssert.AreEqual(alone.Y, y, $"{size} on {cores} cores");
                CollectionAssert.AreEqual(alone.DWeight, dWeight, $"{size} on {cores} cores");
            }

            (float[] Y, float[] DWeight) On(int cores)
            {
                using var threads = new KernelData.Threads(cores);
                using var reserved = Cores.Reserve();
                return (Convolve(size, x, w, false, null, null), Differentiate(size, x, dy).DWeight);
            }
        }
    }

    [TestMethod]
    public void AnImageIsTheSameInEveryBatch()
    {
        const int inputs = 136, outputs = 40, images = 20;
        float[] x = KernelData.Numbers(1, images * 8 * 8 * inputs), w = KernelData.Numbers(2, 9 * inputs * outputs);
        float[] all = Convolve(new(images, 8, 8, inputs, outputs), x, w, false, null, null);
        foreach (int some in (int[])[1, 3, 17])
        {
            float[] y = Convolve(new(some, 8, 8, inputs, outputs), x[..(some * 8 * 8 * inputs)], w, false, null, null);
            CollectionAssert.AreEqual(all[..y.Length], y, $"{some} of {images} images");
        }
    }

    [TestMethod]
    public void TheChoiceIsTheThreadsAndEndsWithItsUse()
    {
        Assert.IsFalse(Int16Products.Take(64, 64));
        using (Int16Products.Enter(true))
        {
            Assert.IsTrue(Int16Products.Take(64, 64));
            Assert.IsFalse(Int16Products.Take(3, 64), "too few to gain");
            Assert.IsFalse(Int16Products.Take(64, 3), "too few to gain");
            using (Int16Products.Enter(false))
                Assert.IsFalse(Int16Products.Take(64, 64));
            Assert.IsTrue(Int16Products.Take(64, 64));
            var other = new Thread(() => Assert.IsFalse(Int16Products.Take(64, 64)));
            other.Start();
            other.Join();
        }
        Assert.IsFalse(Int16Products.Take(64, 64));
    }

    private static double RootMeanSquareShare(double[] exact, float[] got) => Math.Sqrt(exact.Zip(got, (a, b) => (a - b) * (a - b)).Sum() / exact.Sum(a => a * a));

    private static float[] Wholes(int seed, int count) => [.. KernelData.Numbers(seed, count).Select(number => MathF.Round(4 * number))];

    /// <summary>A row among others: its numbers in their order, and its power.</summary>
    private static (short[] Numbers, float Power) Row(float[] numbers)
    {
        const int rows = 7, row = 5;
        int words = (int)Int16Layout.Words(numbers.Length);
        int[] all = new int[rows * words];
        float[] matrix = new float[rows * numbers.Length];
        numbers.CopyTo(matrix, row * numbers.Length);
        fixed (float* from = matrix)
        fixed (int* to = all)
            Int16Layout.Rows(from, numbers.Length, rows, numbers.Length, to, words);
        ReadOnlySpan<short> halves = System.Runtime.InteropServices.MemoryMarshal.Cast<int, short>(all.AsSpan(row * words, words));
        short[] inOrder = new short[numbers.Length];
        for (int place = 0; place < numbers.Length / 2; place++)
        {
            var (first, second) = Int16Layout.NumbersAt(place, numbers.Length);
            (inOrder[first], inOrder[second]) = (halves[2 * place], halves[2 * place + 1]);
        }
        return (inOrder, BitConverter.Int32BitsToSingle(all[(row + 1) * words - 2]));
    }

    /// <summary>Up to whole registers.</summary>
    private int Whole(int numbers) => KernelMemory.RoundUp(numbers, lanes);

    private float[] Multiply(int rows, int inputs, int outputs, float[] x, bool source, float[] weight, bool transposed, float[]? bias, float[]? addend) => lanes == 16
        ? LinearProductTests.Apply<Lanes512, Int16Factors<Lanes512>>(rows, inputs, outputs, x, source, weight, transposed, bias, addend)
        : LinearProductTests.Apply<Lanes256, Int16Factors<Lanes256>>(rows, inputs, outputs, x, source, weight, transposed, bias, addend);

    private (float[] DWeight, float[]? DBias) Differentiate(int rows, int inputs, int outputs, float[] x, bool source, float[] dy) => lanes == 16
        ? LinearProductTests.Differentiate<Lanes512, Int16Factors<Lanes512>>(rows, inputs, outputs, x, source, dy, bias: true)
        : LinearProductTests.Differentiate<Lanes256, Int16Factors<Lanes256>>(rows, inputs, outputs, x, source, dy, bias: true);

    private float[] Convolve(in ConvolutionSize size, float[] x, float[] weight, bool turned, float[]? bias, float[]? addend) => lanes == 16
        ? WinogradConvolutionTests.Apply<Lanes512, Int16Points<Lanes512>>(size, x, weight, turned, bias, addend)
        : WinogradConvolutionTests.Apply<Lanes256, Int16Points<Lanes256>>(size, x, weight, turned, bias, addend);

    private (float[] DWeight, float[]? DBias) Differentiate(in ConvolutionSize size, float[] x, float[] dy) => lanes == 16
        ? WinogradConvolutionTests.Differentiate<Lanes512, Int16Points<Lanes512>>(size, x, dy, bias: true)
        : WinogradConvolutionTests.Differentiate<Lanes256, Int16Points<Lanes256>>(size, x, dy, bias: true);
}
