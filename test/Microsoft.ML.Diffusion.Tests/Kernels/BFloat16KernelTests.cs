using TorchSharp;

namespace Microsoft.ML.Diffusion.Tests;

/// <summary>
/// The kernels of bfloat16 images against the definition in double, of numbers that libtorch has rounded to bfloat16: over a matrix unit that is written out, and over the
/// processor's where it has one.
/// </summary>
[TestClass]
public sealed unsafe class BFloat16KernelTests
{
    /// <summary>Of the largest number, where sums are written as float32.</summary>
    private const double Tolerance = 3e-6;

    /// <summary>The same of convolutions at complex points, whose transformed pixels and weights are rounded too; four deviations of what that gives.</summary>
    private const double TransformTolerance = 1 / 150.0;

    /// <summary>The same where they are rounded to 16-bit integers.</summary>
    private const double IntegerTolerance = 1 / 500.0;

    /// <summary>Before the name of a unit: convolutions by the points that it is good for, <see cref="ComplexPoints"/> or <see cref="Int16Points{L}"/>.</summary>
    private const string Points = "points, ";

    /// <summary>Of the largest number, where they are rounded to bfloat16: half a unit of its 8 bits.</summary>
    private const double Rounding = 1 / 256.0;

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
        (2, 60, 41, 32, 32),     // the last of fewer rows
        (1, 5, 90, 32, 32),
    ];

    private static IEnumerable<object[]> ShapesByConvolver =>
        from unit in Convolvers
        from s in Shapes
        select new object[] { unit, s.N, s.Height, s.Width, s.Inputs, s.Outputs };

    private static IEnumerable<object[]> DoubledShapes =>
        from unit in Convolvers
        from s in ((int N, int Height, int Width, int Inputs, int Outputs)[])[(1, 1, 1, 32, 32), (3, 4, 4, 64, 32), (2, 3, 5, 32, 64), (9, 8, 6, 32, 96), (1, 33, 20, 32, 32), (1, 80, 72, 32, 32)]
        select new object[] { unit, s.N, s.Height, s.Width, s.Inputs, s.Outputs };

    private static IEnumerable<object[]> DoubledShapesByTaps => DoubledShapes.Where(row => AtPoints((string)row[0]) is null);

    private static IEnumerable<string> Convolvers => [.. TestedUnits.Names, .. TestedUnits.PairNames.Select(unit => Points + unit)];

    private static IEnumerable<object[]> ConvolverRows => Convolvers.Select(unit => (object[])[unit]);

    [TestMethod]
    [DynamicData(nameof(ShapesByConvolver))]
    public void ConvolutionsAreTheDefinition(string unit, int n, int height, int width, int inputs, int outputs)
    {
        var size = new ConvolutionSize(n, height, width, inputs, outputs);
        float[] x = KernelData.Rounded(1, n * height * width * inputs), w = KernelData.Rounded(2, 9 * inputs * outputs);
        float[] bias = KernelData.Numbers(3, outputs), addend = KernelData.Rounded(4, n * height * width * outputs);
        double tolerance = ConvolutionTolerance(unit);
        foreach (bool turned in (bool[])[false, true])
        {
            double[] want = WrittenOutConvolution.Apply(size, x, w, turned);
            Check(want, Convolve(unit, size, x, w, turned, null, null), $"turned: {turned}", tolerance);
            Check(WrittenOutConvolution.Plus(want, bias, addend), Convolve(unit, size, x, w, turned, bias, addend), $"with both, turned: {turned}", tolerance);
        }
        double[] plain = WrittenOutConvolution.Apply(size, x, w, turned: false);
        Check(WrittenOutConvolution.Plus(plain, bias, null), Convolve(unit, size, x, w, false, bias, null), "with bias", tolerance);
        Check(WrittenOutConvolution.Plus(plain, null, addend), Convolve(unit, size, x, w, false, null, addend), "with an addend", tolerance);
    }

    [TestMethod]
    [DynamicData(nameof(ShapesByConvolver))]
    public void TheirWeightsGradientsAreSumsOverThePixels(string unit, int n, int height, int width, int inputs, int outputs)
    {
        var size = new ConvolutionSize(n, height, width, inputs, outputs);
        float[] x = KernelData.Rounded(1, n * height * width * inputs), dy = KernelData.Rounded(2, n * height * width * outputs);
        var (want, wantBias) = WrittenOutConvolution.WeightGradient(size, x, dy);
        var (got, bias) = Differentiate(unit, size, x, dy, true);
        Assert.IsLessThan(SumTolerance(unit), KernelData.Error(want, got));
        Assert.IsLessThan(Tolerance, KernelData.Error(wantBias, bias!), "bias");
        CollectionAssert.AreEqual(got, Differentiate(unit, size, x, dy, false).DWeight, "without bias");
    }

    [TestMethod]
    [DynamicData(nameof(ShapesByConvolver))]
    public void NothingIsLostOfNumbersWhoseSumsBFloat16Holds(string unit, int n, int height, int width, int inputs, int outputs)
    {
        var size = new ConvolutionSize(n, height, width, inputs, outputs);
        float[] x = SmallWholes(1, n * height * width * inputs), dy = SmallWholes(2, n * height * width * outputs);
        float[] w = SmallWholes(3, 9 * inputs * outputs);
        // The points of integers are no whole numbers.
        foreach (bool turned in AtPoints(unit) is { ConvolvesInIntegers: true } ? (bool[])[] : [false, true])
        {
            double[] want = WrittenOutConvolution.Apply(size, x, w, turned);
            CollectionAssert.AreEqual(KernelData.Rounded([.. want.Select(value => (float)value)]), Convolve(unit, size, x, w, turned, null, null), $"turned: {turned}");
        }
        if (AtPoints(unit) is { MultipliesInIntegers: true } && Int16GradientPoints.AreThere)
            return;
        var (dWeight, _) = WrittenOutConvolution.WeightGradient(size, x, dy);
        CollectionAssert.AreEqual(dWeight.Select(value => (float)value).ToArray(), Differentiate(unit, size, x, dy, true).DWeight);
    }

    [TestMethod]
    [DynamicData(nameof(DoubledShapes))]
    public void DoubledImagesAreConvolvedByLessWorkToTheSame(string unit, int n, int height, int width, int inputs, int outputs)
    {
        ConvolutionSize small = new(n, height, width, inputs, outputs), size = small with { Height = 2 * height, Width = 2 * width };
        float[] bias = KernelData.Numbers(3, outputs), addend = KernelData.Rounded(4, size.Images * size.Height * size.Width * outputs);
        float[] x = KernelData.Rounded(1, n * height * width * inputs), w = KernelData.Numbers(2, 9 * inputs * outputs);
        double[] want = WrittenOutConvolution.Apply(size, Doubled(small, x), w, turned: false);
        Check(want, Convolve(x, w, null, null), "alone", TransformTolerance);
        Check(WrittenOutConvolution.Plus(want, bias, addend), Convolve(x, w, bias, addend), "with both", TransformTolerance);

        (x, w) = (SmallWholes(5, x.Length), SmallWholes(6, w.Length));
        double[] whole = WrittenOutConvolution.Apply(size, Doubled(small, x), w, turned: false);
        CollectionAssert.AreEqual(KernelData.Rounded([.. whole.Select(value => (float)value)]), Convolve(x, w, null, null));

        float[] Convolve(float[] image, float[] weight, float[]? b, float[]? a)
        {
            KernelData.Poison(1_000_000);
            ushort[] y = Nothing(size.Images * size.Height * size.Width * outputs);
            fixed (ushort* px = Narrow(image), pa = Narrow(a), py = y)
            fixed (float* pw = weight, pb = b)
            {
                if (AtPoints(unit) is { } pairs)
                    ConvolutionKernel.Apply(pairs, size, PixelSource.Of(px, height, width, inputs, doubled: true), pw, false, pb, pa, py);
                else
                    BFloat16Convolution.ApplyDoubled(TestedUnits.Of(unit), small, new BFloat16Image(px, height, width, inputs), pw, pb, pa, py);
            }
            return [.. y.Select(WrittenOutUnit.Widen)];
        }
    }

    [TestMethod]
    [DynamicData(nameof(DoubledShapesByTaps))]
    public void TheGradientOfADoubledImageIsTheSumOverItsFourPixels(string unit, int n, int height, int width, int inputs, int outputs)
    {
        ConvolutionSize small = new(n, height, width, inputs, outputs), back = new(n, 2 * height, 2 * width, outputs, inputs);
        float[] dy = KernelData.Rounded(1, n * back.Height * back.Width * outputs), w = KernelData.Numbers(2, 9 * inputs * outputs);
        Check(Halved(small, WrittenOutConvolution.Apply(back, dy, w, turned: true)), Differentiate(dy, w), "gradient", TransformTolerance);

        (dy, w) = (SmallWholes(5, dy.Length), SmallWholes(6, w.Length));
        double[] whole = Halved(small, WrittenOutConvolution.Apply(back, dy, w, turned: true));
        CollectionAssert.AreEqual(KernelData.Rounded([.. whole.Select(value => (float)value)]), Differentiate(dy, w));

        float[] Differentiate(float[] gradient, float[] weight)
        {
            KernelData.Poison(1_000_000);
            ushort[] dx = Nothing(n * height * width * inputs);
            fixed (ushort* pdy = Narrow(gradient), pdx = dx)
            fixed (float* pw = weight)
                BFloat16Convolution.InputGradientOfDoubled(TestedUnits.Of(unit), small, pdy, pw, pdx);
            return [.. dx.Select(WrittenOutUnit.Widen)];
        }
    }

    [TestMethod]
    [DynamicData(nameof(DoubledShapesByTaps))]
    public void AWeightsGradientOverADoubledImageIsTheSumOverItsPixels(string unit, int n, int height, int width, int inputs, int outputs)
    {
        ConvolutionSize small = new(n, height, width, inputs, outputs), size = small with { Height = 2 * height, Width = 2 * width };
        float[] x = KernelData.Rounded(1, n * height * width * inputs), dy = KernelData.Rounded(2, n * size.Height * size.Width * outputs);
        var (want, wantBias) = WrittenOutConvolution.WeightGradient(size, Doubled(small, x), dy);
        var (got, bias) = Differentiate(x, dy, true);
        Assert.IsLessThan(Tolerance, KernelData.Error(want, got));
        Assert.IsLessThan(Tolerance, KernelData.Error(wantBias, bias!), "bias");
        CollectionAssert.AreEqual(got, Differentiate(x, dy, false).DWeight, "without bias");

        (x, dy) = (SmallWholes(5, x.Length), SmallWholes(6, dy.Length));
        (want, _) = WrittenOutConvolution.WeightGradient(size, Doubled(small, x), dy);
        CollectionAssert.AreEqual(want.Select(value => (float)value).ToArray(), Differentiate(x, dy, true).DWeight);

        (float[] DWeight, float[]? DBias) Differentiate(float[] image, float[] gradient, bool withBias)
        {
            fixed (ushort* px = Narrow(image), pdy = Narrow(gradient))
            {
                var pieces = new ConvolutionPieces(small, new BFloat16Image(px, height, width, inputs), pdy, doubled: true);
                return Add(new(outputs, 9, inputs), withBias, (dWeight, dBias) => BFloat16Gradient.AddDoubled(TestedUnits.Of(unit), pieces, (float*)dWeight, (float*)dBias));
            }
        }
    }

    [TestMethod]
    [DynamicData(nameof(ConvolverRows))]
    public void TheirErrorIsNearThatOfRoundingTheWeights(string unit)
    {
        var size = new ConvolutionSize(4, 16, 16, 128, 32);
        float[] x = KernelData.Rounded([.. KernelData.Numbers(1, size.Images * size.Height * size.Width * size.Inputs).Select(value => value / (1 + MathF.Exp(-value)))]);
        float[] w = KernelData.Numbers(2, 9 * size.Inputs * size.Outputs), dy = KernelData.Rounded(3, size.Images * size.Height * size.Width * size.Outputs);
        double[] want = WrittenOutConvolution.Apply(size, x, w, turned: false);
        double ofRounding = Apart(want, WrittenOutConvolution.Apply(size, x, KernelData.Rounded(w), turned: false));
        double[] written = [.. Convolve(unit, size, x, w, false, null, null).Select(value => (double)value)];
        // Writing the result rounds it once more. The same transforms at real points make ten times the error.
        Assert.IsLessThan(2.6, Apart(want, written) / ofRounding);

        var (wanted, _) = WrittenOutConvolution.WeightGradient(size, x, dy);
        Assert.IsLessThan(3 * ofRounding, Apart(wanted, [.. Differentiate(unit, size, x, dy, false).DWeight.Select(value => (double)value)]), "gradient");
    }

    [TestMethod]
    [DynamicData(nameof(TestedUnits.Rows), typeof(TestedUnits))]
    public void ProductsAreTheDefinition(string unit)
    {
        foreach (int rows in (int[])[4, 30, 32, 62, 128, 130, 270])
        {
            foreach (var (inputs, outputs) in ((int, int)[])[(32, 32), (32, 96), (96, 64)])
            {
                float[] x = KernelData.Rounded(1, rows * inputs), weight = KernelData.Rounded(2, inputs * outputs), bias = KernelData.Numbers(3, outputs), addend = KernelData.Rounded(4, rows * outputs);
                foreach (bool transposed in (bool[])[false, true])
                {
                    double[] want = WrittenOutProduct.Apply(rows, inputs, outputs, x, weight, transposed);
                    foreach (bool source in (bool[])[false, true])
                    {
                        string what = $"{rows} rows, {inputs} to {outputs}, transposed: {transposed}, source: {source}";
                        Check(want, Multiply(unit, rows, inputs, outputs, x, source, weight, transposed, null, null), what);
                        Check(WrittenOutConvolution.Plus(want, bias, addend), Multiply(unit, rows, inputs, outputs, x, source, weight, transposed, bias, addend), what);
                    }
                }
            }
        }
    }

    [TestMethod]
    [DynamicData(nameof(TestedUnits.Rows), typeof(TestedUnits))]
    public void TheirGradientsAreSumsOverTheRows(string unit)
    {
        foreach (int rows in (int[])[4, 30, 62, 512, 514, 1100])
        {
            foreach (var (inputs, outputs) in ((int, int)[])[(32, 32), (32, 96), (96, 64)])
            {
                float[] x = KernelData.Rounded(1, rows * inputs), dy = KernelData.Rounded(2, rows * outputs);
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
    [DynamicData(nameof(ConvolverRows))]
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
    [DynamicData(nameof(ConvolverRows))]
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
        ushort[] row = new ushort[64], rounded = new ushort[64];
        float[] wide = new float[64];
        fixed (float* from = numbers, back = wide)
        fixed (ushort* to = row, also = rounded)
        {
            BFloat16Layout.Row(from, 64, to);
            BFloat16Layout.Round(from, 64, also);
            for (int i = 0; i < 64; i += 16)
                Lanes512.Store(NarrowElement.Load((NarrowElement*)(to + i)), back + i);
        }
        using Tensor all = tensor(numbers);
        using Tensor narrow = all.to(ScalarType.BFloat16);
        using Tensor widened = narrow.to(float32);
        float[] want = widened.data<float>().ToArray();
        for (int i = 0; i < 64; i++)
        {
            Assert.AreEqual(want[i], WrittenOutUnit.Widen(row[i]), $"number {i}, {numbers[i]}");
            Assert.AreEqual(want[i], wide[i], $"number {i}, {numbers[i]}, and back");
        }
        CollectionAssert.AreEqual(row, rounded);
    }

    [TestMethod]
    [DataRow(2, 8, 6, 3, 2, 1, 1)]
    [DataRow(2, 7, 9, 3, 2, 0, 1)]
    [DataRow(1, 9, 7, 4, 2, 1, 1)]
    [DataRow(1, 200, 60, 3, 2, 1, 1)]       // bands of an image
    [DataRow(1, 31, 5, 3, 1, 1, 1)]
    public void GradientsOfWindowsAreAddedWhereTheirPixelsLie(int n, int height, int width, int kernel, int stride, int before, int after)
    {
        using var scope = NewDisposeScope();
        const int channels = 32;
        var size = new WindowSize(n, height, width, channels, kernel, stride, before, after);
        Tensor windows = KernelData.Draw(1, size.Outputs, size.Numbers).to(ScalarType.BFloat16), wide = windows.to(float32);
        Tensor want = full([n, height, width, channels], float.NaN), got = full([n, height, width, channels], float.NaN, ScalarType.BFloat16);
        LinearKernel.AddWindows(size, HostMemory.Pointer(wide), HostMemory.Pointer(want));
        KernelData.Poison(1_000_000);
        LinearKernel.AddWindows(size, HostMemory.Narrow(windows), HostMemory.Narrow(got));
        CollectionAssert.AreEqual(want.to(ScalarType.BFloat16).to(float32).data<float>().ToArray(), got.to(float32).data<float>().ToArray());
    }

    /// <summary>N, T, heads, d; the last keeps its weights in two parts.</summary>
    private static IEnumerable<object[]> AttentionShapes =>
        from unit in TestedUnits.Names
        from s in ((int N, int T, int Heads, int Width)[])[(2, 32, 1, 32), (1, 96, 2, 64), (2, 64, 3, 32), (1, 544, 1, 64)]
        select new object[] { unit, s.N, s.T, s.Heads, s.Width };

    [TestMethod]
    [DynamicData(nameof(AttentionShapes))]
    public void AttentionIsThatOfThePlainOperators(string unit, int images, int positions, int heads, int width)
    {
        using var scope = NewDisposeScope();
        var size = new AttentionSize(images, positions, heads, width);
        Tensor qkv = KernelData.Draw(1, images, positions, 3 * heads * width).to(ScalarType.BFloat16), leaf = qkv.to(float64).requires_grad_();
        Tensor parts = leaf.reshape(images, positions, 3, heads, width).permute(2, 0, 3, 1, 4);
        Tensor logits = parts.select(0, 0).matmul(parts.select(0, 1).transpose(-1, -2)) / Math.Sqrt(width);
        Tensor want = logits.softmax(-1).matmul(parts.select(0, 2)).transpose(1, 2).reshape(images, positions, heads * width);
        Tensor dy = KernelData.Draw(2, want.shape).to(ScalarType.BFloat16);
        (want * dy.to(float64)).sum().backward();

        Tensor y = full(want.shape, float.NaN, ScalarType.BFloat16), normalizers = empty([images, heads, positions], float32);
        Tensor dqkv = full(qkv.shape, float.NaN, ScalarType.BFloat16);
        KernelData.Poison(1_000_000);
        BFloat16Attention.Apply(TestedUnits.Of(unit), size, HostMemory.Narrow(qkv), HostMemory.Narrow(y), HostMemory.Pointer(normalizers));
        KernelData.Poison(1_000_000);
        BFloat16Attention.Backward(
            TestedUnits.Of(unit), size, HostMemory.Narrow(qkv), HostMemory.Narrow(y), HostMemory.Pointer(normalizers), HostMemory.Narrow(dy), HostMemory.Narrow(dqkv));
        // Weights and their slopes are rounded on the way, each to 8 bits.
        Assert.IsLessThan(2 * Rounding, KernelData.Error(want, y));
        Assert.IsLessThan(1e-4, KernelData.Error(logits.exp().sum(-1).log(), normalizers));
        for (int part = 0; part < 3; part++)
        {
            Tensor wanted = leaf.grad!.narrow(2, part * heads * width, heads * width), got = dqkv.narrow(2, part * heads * width, heads * width);
            Assert.IsLessThan(2 * Rounding, KernelData.Error(wanted, got), $"part {part}");
        }
    }

    private static double SumTolerance(string unit) => unit.StartsWith(Points) ? TransformTolerance : Tolerance;

    private static double ConvolutionTolerance(string unit) => AtPoints(unit) is { ConvolvesInIntegers: true } ? IntegerTolerance : SumTolerance(unit);

    private static PairUnit? AtPoints(string unit) => unit.StartsWith(Points) ? (PairUnit)TestedUnits.Of(unit[Points.Length..]) : null;

    private static void Check(double[] want, float[] got, string what, double tolerance = Tolerance)
    {
        double largest = want.Max(Math.Abs);
        for (int i = 0; i < want.Length; i++)
        {
            // Each number to its own half unit, and the sum's own error.
            if (!(Math.Abs(got[i] - want[i]) <= Math.Abs(want[i]) * Rounding + largest * tolerance))
                Assert.Fail($"{what}: number {i} is {got[i]}, not {want[i]}");
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

    /// <summary>Each pixel four times.</summary>
    private static float[] Doubled(ConvolutionSize size, float[] x)
    {
        var doubled = new float[4 * x.Length];
        for (int i = 0; i < doubled.Length; i++)
        {
            int channel = i % size.Inputs, pixel = i / size.Inputs, column = pixel % (2 * size.Width), row = pixel / (2 * size.Width);
            int image = row / (2 * size.Height), from = (image * size.Height + row % (2 * size.Height) / 2) * size.Width + column / 2;
            doubled[i] = x[from * size.Inputs + channel];
        }
        return doubled;
    }

    /// <summary>The sums over what was one pixel.</summary>
    private static double[] Halved(ConvolutionSize size, double[] x)
    {
        var halved = new double[x.Length / 4];
        for (int i = 0; i < x.Length; i++)
        {
            int channel = i % size.Inputs, pixel = i / size.Inputs, column = pixel % (2 * size.Width), row = pixel / (2 * size.Width);
            int image = row / (2 * size.Height), to = (image * size.Height + row % (2 * size.Height) / 2) * size.Width + column / 2;
            halved[to * size.Inputs + channel] += x[i];
        }
        return halved;
    }

    /// <summary>−1, 0 and 1.</summary>
    private static float[] SmallWholes(int seed, int count) => [.. KernelData.Numbers(seed, count).Select(value => MathF.Round(Math.Clamp(value, -1, 1)))];

    /// <summary>Root mean square of the difference, as a share.</summary>
    private static double Apart(double[] want, double[] got) => Math.Sqrt(want.Zip(got, (a, b) => (a - b) * (a - b)).Sum() / want.Sum(value => value * value));

    private static float[] Convolve(string unit, in ConvolutionSize size, float[] x, float[] weight, bool turned, float[]? bias, float[]? addend)
    {
        KernelData.Poison(1_000_000);
        ushort[] y = Nothing(size.Images * size.Height * size.Width * size.Outputs);
        fixed (ushort* px = Narrow(x), pa = Narrow(addend), py = y)
        fixed (float* pw = weight, pb = bias)
        {
            if (AtPoints(unit) is { } pairs)
                ConvolutionKernel.Apply(pairs, size, PixelSource.Of(px, size.Height, size.Width, size.Inputs), pw, turned, pb, pa, py);
            else
                BFloat16Convolution.Apply(TestedUnits.Of(unit), size, new BFloat16Image(px, size.Height, size.Width, size.Inputs), pw, turned, pb, pa, py);
        }
        return [.. y.Select(WrittenOutUnit.Widen)];
    }

    private static (float[] DWeight, float[]? DBias) Differentiate(string unit, ConvolutionSize size, float[] x, float[] dy, bool bias)
    {
        fixed (ushort* px = Narrow(x), pdy = Narrow(dy))
        {
            ushort* input = px, gradient = pdy;
            if (AtPoints(unit) is not { } pairs)
                return Add(unit, new ConvolutionPieces(size, new BFloat16Image(input, size.Height, size.Width, size.Inputs), gradient), bias);
            return Add(new(size.Outputs, 9, size.Inputs), bias, (dWeight, dBias) =>
                ConvolutionKernel.WeightGradient(pairs, size, PixelSource.Of(input, size.Height, size.Width, size.Inputs), gradient, (float*)dWeight, (float*)dBias));
        }
    }

    private static (float[] DWeight, float[]? DBias) Differentiate(string unit, int rows, int inputs, int outputs, float[] x, bool source, float[] dy, bool bias)
    {
        fixed (ushort* px = Narrow(x), pdy = Narrow(dy))
            return Add(unit, new ProductPieces(rows, inputs, outputs, source ? default : new(px, new(1, 1, rows, inputs, IsNarrow: true)), source ? new NarrowArrayRows(Narrow(x)!, inputs) : null, pdy), bias);
    }

    private static (float[] DWeight, float[]? DBias) Add(string unit, GradientPieces pieces, bool bias) =>
        Add(pieces.Size, bias, (dWeight, dBias) => BFloat16Gradient.Add(TestedUnits.Of(unit), pieces, (float*)dWeight, (float*)dBias));

    private static (float[] DWeight, float[]? DBias) Add(WeightSize size, bool bias, Action<nint, nint> add)
    {
        KernelData.Poison(1_000_000);
        float[] dWeight = new float[size.Outputs * size.Taps * size.Inputs];
        float[]? dBias = bias ? new float[size.Outputs] : null;
        fixed (float* pw = dWeight, pb = dBias)
        {
            // Twice: gradients are added to what is there.
            for (int i = 0; i < 2; i++)
                add((nint)pw, (nint)pb);
        }
        return ([.. dWeight.Select(value => value / 2)], dBias?.Select(value => value / 2).ToArray());
    }

    private static float[] Multiply(string unit, int rows, int inputs, int outputs, float[] x, bool source, float[] weight, bool transposed, float[]? bias, float[]? addend)
    {
        KernelData.Poison(100_000);
        ushort[] y = Nothing(rows * outputs);
        fixed (ushort* px = Narrow(x), pa = Narrow(addend), py = y)
        fixed (float* pw = weight, pb = bias)
            BFloat16Product.Apply(TestedUnits.Of(unit), rows, inputs, outputs, source ? default : new(px, new(1, 1, rows, inputs, IsNarrow: true)), source ? new NarrowArrayRows(Narrow(x)!, inputs) : null, pw, transposed, pb, pa, py);
        return [.. y.Select(WrittenOutUnit.Widen)];
    }

    /// <summary>The upper halves of numbers that bfloat16 holds; cuts off what it does not.</summary>
    internal static ushort[]? Narrow(float[]? numbers) => numbers is null ? null : [.. numbers.Select(number => (ushort)(BitConverter.SingleToUInt32Bits(number) >> 16))];

    /// <summary>NaNs: what is not written shows.</summary>
    private static ushort[] Nothing(int count) => [.. Enumerable.Repeat((ushort)0x7FC0, count)];
}
