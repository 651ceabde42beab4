using TorchSharp;

namespace Microsoft.ML.Diffusion.Tests;

/// <summary>
/// The kernels over a matrix unit against the definition in double, of numbers that libtorch has rounded to bfloat16: over a unit that is written out, and over the
/// processor's where it has one.
/// </summary>
[TestClass]
public sealed unsafe class BFloat16KernelTests
{
    /// <summary>Of the largest number: sums are float32.</summary>
    private const double Tolerance = 3e-6;

    /// <summary>N, H, W, C, D.</summary>
    private static (int N, int Height, int Width, int Inputs, int Outputs)[] Shapes =>
    [
        (1, 1, 1, 32, 32),
        (1, 7, 9, 32, 64),
        (3, 2, 2, 64, 32),
        (2, 5, 1, 32, 32),
        (1, 1, 5, 32, 96),
        (5, 6, 5, 64, 64),       // blocks of several images, the last of fewer
        (1, 4, 4, 32, 128),      // outputs shared out
        (1, 96, 36, 64, 32),     // bands of an image
        (1, 5, 90, 32, 32),
    ];

    private static IEnumerable<object[]> ShapesByUnit =>
        from unit in Units
        from s in Shapes
        select new object[] { unit, s.N, s.Height, s.Width, s.Inputs, s.Outputs };

    private static IEnumerable<object[]> UnitRows => Units.Select(unit => (object[])[unit]);

    private static IEnumerable<string> Units => MatrixUnit.OfThisProcessor is null ? ["written out"] : ["written out", "the processor's"];

    [TestMethod]
    [DynamicData(nameof(ShapesByUnit))]
    public void ConvolutionsAreTheDefinition(string unit, int n, int height, int width, int inputs, int outputs)
    {
        var size = new ConvolutionSize(n, height, width, inputs, outputs);
        float[] x = Rounded(1, n * height * width * inputs), w = Rounded(2, 9 * inputs * outputs);
        float[] bias = KernelData.Numbers(3, outputs), addend = KernelData.Numbers(4, n * height * width * outputs);
        foreach (bool turned in (bool[])[false, true])
        {
            double[] want = WrittenOutConvolution.Apply(size, x, w, turned);
            Assert.IsLessThan(Tolerance, KernelData.Error(want, Convolve(unit, size, x, w, turned, null, null)), $"turned: {turned}");
            Assert.IsLessThan(Tolerance, KernelData.Error(WrittenOutConvolution.Plus(want, bias, addend), Convolve(unit, size, x, w, turned, bias, addend)), $"with both, turned: {turned}");
        }
        double[] plain = WrittenOutConvolution.Apply(size, x, w, turned: false);
        Assert.IsLessThan(Tolerance, KernelData.Error(WrittenOutConvolution.Plus(plain, bias, null), Convolve(unit, size, x, w, false, bias, null)), "with bias");
        Assert.IsLessThan(Tolerance, KernelData.Error(WrittenOutConvolution.Plus(plain, null, addend), Convolve(unit, size, x, w, false, null, addend)), "with an addend");
    }

    [TestMethod]
    [DynamicData(nameof(ShapesByUnit))]
    public void TheirWeightsGradientsAreSumsOverThePixels(string unit, int n, int height, int width, int inputs, int outputs)
    {
        var size = new ConvolutionSize(n, height, width, inputs, outputs);
        float[] x = Rounded(1, n * height * width * inputs), dy = Rounded(2, n * height * width * outputs);
        var (want, wantBias) = WrittenOutConvolution.WeightGradient(size, x, dy);
        var (got, bias) = Differentiate(unit, size, x, dy, true);
        Assert.IsLessThan(Tolerance, KernelData.Error(want, got));
        Assert.IsLessThan(Tolerance, KernelData.Error(wantBias, bias!), "bias");
        CollectionAssert.AreEqual(got, Differentiate(unit, size, x, dy, false).DWeight, "without bias");
    }

    [TestMethod]
    [DynamicData(nameof(UnitRows))]
    public void ProductsAreTheDefinition(string unit)
    {
        foreach (int rows in (int[])[4, 30, 32, 62, 128, 130, 270])
        {
            foreach (var (inputs, outputs) in ((int, int)[])[(32, 32), (32, 96), (96, 64)])
            {
                float[] x = Rounded(1, rows * inputs), weight = Rounded(2, inputs * outputs), bias = KernelData.Numbers(3, outputs), addend = KernelData.Numbers(4, rows * outputs);
                foreach (bool transposed in (bool[])[false, true])
                {
                    double[] want = WrittenOutProduct.Apply(rows, inputs, outputs, x, weight, transposed);
                    foreach (bool source in (bool[])[false, true])
                    {
                        string what = $"{rows} rows, {inputs} to {outputs}, transposed: {transposed}, source: {source}";
                        Assert.IsLessThan(Tolerance, KernelData.Error(want, Multiply(unit, rows, inputs, outputs, x, source, weight, transposed, null, null)), what);
                        Assert.IsLessThan(
                            Tolerance, KernelData.Error(WrittenOutConvolution.Plus(want, bias, addend), Multiply(unit, rows, inputs, outputs, x, source, weight, transposed, bias, addend)), what);
                    }
                }
            }
        }
    }

    [TestMethod]
    [DynamicData(nameof(UnitRows))]
    public void TheirGradientsAreSumsOverTheRows(string unit)
    {
        foreach (int rows in (int[])[4, 30, 62, 512, 514, 1100])
        {
            foreach (var (inputs, outputs) in ((int, int)[])[(32, 32), (32, 96), (96, 64)])
            {
                float[] x = Rounded(1, rows * inputs), dy = Rounded(2, rows * outputs);
                var (weight, bias) = WrittenOutProduct.WeightGradient(rows, inputs, outputs, x, dy);
                foreach (bool source in (bool[])[false, true])
                {
                    string what = $"{rows} rows, {inputs} to {outputs}, source: {source}";
                    var (dWeight, dBias) = Differentiate(unit, rows, inputs, outputs, x, source, dy, true);
                    Assert.IsLessThan(Tolerance, KernelData.Error(weight, dWeight), what);
                    Assert.IsLessThan(Tolerance, KernelData.Error(bias, dBias!), what);
                    CollectionAssert.AreEqual(dWeight, Differentiate(unit, rows, inputs, outputs, x, source, dy, false).DWeight, what);
                }
            }
        }
    }

    [TestMethod]
    [DynamicData(nameof(UnitRows))]
    public void TheRestOfTheBatchChangesNoBitOfAnImage(string unit)
    {
        const int inputs = 32, outputs = 64, images = 20;
        float[] x = KernelData.Numbers(1, images * 4 * 4 * inputs), w = KernelData.Numbers(2, 9 * inputs * outputs), bias = KernelData.Numbers(3, outputs);
        float[] all = Convolve(unit, new(images, 4, 4, inputs, outputs), x, w, false, bias, null);
        foreach (int some in (int[])[1, 3, 16, 17])
        {
            float[] y = Convolve(unit, new(some, 4, 4, inputs, outputs), x[..(some * 4 * 4 * inputs)], w, false, bias, null);
            CollectionAssert.AreEqual(all[..y.Length], y, $"{some} of {images} images");
        }
    }

    [TestMethod]
    [DynamicData(nameof(UnitRows))]
    [DoNotParallelize]
    public void TheNumberOfCoresChangesNoBit(string unit)
    {
        foreach (ConvolutionSize size in (ConvolutionSize[])[new(1, 4, 4, 32, 128), new(5, 6, 5, 64, 32), new(1, 40, 36, 32, 32)])
        {
            float[] x = KernelData.Numbers(1, size.Images * size.Height * size.Width * size.Inputs), w = KernelData.Numbers(2, 9 * size.Inputs * size.Outputs);
            float[] dy = KernelData.Numbers(3, size.Images * size.Height * size.Width * size.Outputs), bias = KernelData.Numbers(4, size.Outputs);
            var alone = On(1);
            foreach (int cores in (int[])[2, 3, 4, 8])
            {
                var (y, dWeight, dBias) = On(cores);
                CollectionAssert.AreEqual(alone.Y, y, $"{size} on {cores} cores");
                CollectionAssert.AreEqual(alone.DWeight, dWeight, $"{size} on {cores} cores");
                CollectionAssert.AreEqual(alone.DBias, dBias, $"{size} on {cores} cores");
            }

            (float[] Y, float[] DWeight, float[] DBias) On(int cores)
            {
                using var threads = new KernelData.Threads(cores);
                using var reserved = Cores.Reserve();
                float[] y = Convolve(unit, size, x, w, false, bias, null);
                var (dWeight, dBias) = Differentiate(unit, size, x, dy, true);
                return (y, dWeight, dBias!);
            }
        }
    }

    [TestMethod]
    public void NumbersAreRoundedAsLibtorchRoundsThem()
    {
        // Ties to even on both sides, the largest that stays finite, the smallest, those that are none.
        uint[] bits =
        [
            0x3F80_8000, 0x3F81_8000, 0x3F80_8001, 0x3F80_7FFF, 0xBF80_8000, 0xBF81_8000, 0x7F7F_7FFF, 0x7F7F_8000, 0x0000_0001, 0x0000_8000, 0x0001_8000, 0x8000_0000,
            0x7F80_0000, 0xFF80_0000, 0x7FC0_0000, 0xFFC0_0000,
        ];
        float[] numbers = [.. bits.Select(BitConverter.UInt32BitsToSingle), .. KernelData.Numbers(1, 48)];
        ushort[] row = new ushort[64], pairs = new ushort[64];
        fixed (float* from = numbers)
        fixed (ushort* to = row, interleaved = pairs)
        {
            BFloat16Layout.Row(from, 64, to);
            BFloat16Layout.Pairs(from, from + 32, 32, interleaved);
        }
        using Tensor all = tensor(numbers);
        using Tensor narrow = all.to(ScalarType.BFloat16);
        using Tensor wide = narrow.to(float32);
        float[] want = wide.data<float>().ToArray();
        for (int i = 0; i < 64; i++)
        {
            Assert.AreEqual(want[i], WrittenOutUnit.Widen(row[i]), $"number {i}, {numbers[i]}");
            Assert.AreEqual(row[i], pairs[i % 32 * 2 + i / 32], "in pairs");
        }
    }

    [TestMethod]
    public void AThreadsUnitIsItsOwnUntilItEnds()
    {
        var unit = new WrittenOutUnit();
        Assert.IsNull(MatrixUnit.Current);
        using (MatrixUnit.Enter(unit))
        {
            Assert.AreSame(unit, MatrixUnit.Current);
            using (MatrixUnit.Enter(null))
                Assert.IsNull(MatrixUnit.Current);
            Assert.AreSame(unit, MatrixUnit.Current);
            var other = new Thread(() => Assert.IsNull(MatrixUnit.Current));
            other.Start();
            other.Join();
        }
        Assert.IsNull(MatrixUnit.Current);
    }

    private static MatrixUnit Unit(string name) => name == "written out" ? new WrittenOutUnit() : MatrixUnit.OfThisProcessor!;

    /// <summary>Numbers that bfloat16 holds: what libtorch makes of any.</summary>
    private static float[] Rounded(int seed, int count)
    {
        using Tensor numbers = tensor(KernelData.Numbers(seed, count));
        using Tensor narrow = numbers.to(ScalarType.BFloat16);
        using Tensor wide = narrow.to(float32);
        return wide.data<float>().ToArray();
    }

    private static float[] Convolve(string unit, in ConvolutionSize size, float[] x, float[] weight, bool turned, float[]? bias, float[]? addend)
    {
        KernelData.Poison(1_000_000);
        var y = new float[size.Images * size.Height * size.Width * size.Outputs];
        y.AsSpan().Fill(float.NaN);
        fixed (float* px = x, pw = weight, pb = bias, pa = addend, py = y)
            BFloat16Convolution.Apply(Unit(unit), size, new ImageSource(px, size.Height, size.Width, size.Inputs), pw, turned, pb, pa, py);
        return y;
    }

    private static (float[] DWeight, float[]? DBias) Differentiate(string unit, ConvolutionSize size, float[] x, float[] dy, bool bias)
    {
        fixed (float* px = x, pdy = dy)
            return Add(unit, new ConvolutionPieces(size, new ImageSource(px, size.Height, size.Width, size.Inputs), pdy), bias);
    }

    private static (float[] DWeight, float[]? DBias) Differentiate(string unit, int rows, int inputs, int outputs, float[] x, bool source, float[] dy, bool bias)
    {
        fixed (float* px = x, pdy = dy)
            return Add(unit, new ProductPieces(rows, inputs, outputs, source ? null : px, source ? new ArrayRows(x, inputs) : null, pdy), bias);
    }

    private static (float[] DWeight, float[]? DBias) Add(string unit, GradientPieces pieces, bool bias)
    {
        KernelData.Poison(1_000_000);
        float[] dWeight = new float[pieces.Size.Outputs * pieces.Size.Taps * pieces.Size.Inputs];
        float[]? dBias = bias ? new float[pieces.Size.Outputs] : null;
        fixed (float* pw = dWeight, pb = dBias)
        {
            // Twice: a weight's gradient is added to what is there.
            for (int i = 0; i < 2; i++)
                BFloat16Gradient.Add(Unit(unit), pieces, pw, pb);
        }
        return ([.. dWeight.Select(value => value / 2)], dBias);
    }

    private static float[] Multiply(string unit, int rows, int inputs, int outputs, float[] x, bool source, float[] weight, bool transposed, float[]? bias, float[]? addend)
    {
        KernelData.Poison(100_000);
        var y = new float[rows * outputs];
        fixed (float* px = x, pw = weight, pb = bias, pa = addend, py = y)
            BFloat16Product.Apply(Unit(unit), rows, inputs, outputs, source ? null : px, source ? new ArrayRows(x, inputs) : null, pw, transposed, pb, pa, py);
        return y;
    }
}
