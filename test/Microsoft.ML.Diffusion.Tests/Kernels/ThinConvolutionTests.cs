namespace Microsoft.ML.Diffusion.Tests;

/// <summary>Convolutions to and from a few channels, and their weights' gradients, against the definition in double.</summary>
[TestClass]
public sealed unsafe class ThinConvolutionTests
{
    /// <summary>Of the largest number.</summary>
    private const double Tolerance = 2e-6;

    /// <summary>N, H, W, few, registers of the others.</summary>
    private static IEnumerable<object[]> Shapes =>
        from lanes in (int[])[16, 8, 4]
        from s in ((int N, int Height, int Width, int Few, int Registers)[])
        [
            (2, 8, 8, 3, 4),
            (1, 1, 1, 3, 1),
            (1, 7, 9, 1, 2),        // rows and pixels that come out uneven
            (3, 2, 3, 4, 1),
            (2, 5, 2, 2, 3),
            (1, 40, 36, 3, 6),
            (1, 3, 400, 1, 1),      // a row wider than a band
            (1, 70, 60, 4, 2),      // several bands an image
            (20, 4, 4, 3, 1),       // more images than parts of a gradient
            (1, 4, 6, 3, 40),       // channels in several ranges
        ]
        select new object[] { lanes, s.N, s.Height, s.Width, s.Few, s.Registers };

    [TestMethod]
    [DynamicData(nameof(Shapes))]
    public void ItIsTheConvolution(int lanes, int n, int height, int width, int few, int registers)
    {
        foreach (ConvolutionSize size in (ConvolutionSize[])[new(n, height, width, few, registers * lanes), new(n, height, width, registers * lanes, few)])
        {
            float[] x = KernelData.Numbers(1, Pixels(size) * size.Inputs), w = KernelData.Numbers(2, 9 * size.Inputs * size.Outputs);
            float[] bias = KernelData.Numbers(3, size.Outputs), addend = KernelData.Numbers(4, Pixels(size) * size.Outputs);
            var convolve = Convolver(lanes);
            foreach (bool turned in (bool[])[false, true])
            {
                double[] want = WrittenOutConvolution.Apply(size, x, w, turned);
                Assert.IsLessThan(Tolerance, KernelData.Error(want, convolve(size, x, w, turned, null, null)), $"{size}, turned: {turned}");
                Assert.IsLessThan(Tolerance, KernelData.Error(WrittenOutConvolution.Plus(want, bias, null), convolve(size, x, w, turned, bias, null)), $"{size} with bias, turned: {turned}");
                Assert.IsLessThan(Tolerance, KernelData.Error(WrittenOutConvolution.Plus(want, bias, addend), convolve(size, x, w, turned, bias, addend)), $"{size} with both, turned: {turned}");
                Assert.IsLessThan(Tolerance, KernelData.Error(WrittenOutConvolution.Plus(want, null, addend), convolve(size, x, w, turned, null, addend)), $"{size} with an addend, turned: {turned}");
            }
        }
    }

    [TestMethod]
    [DynamicData(nameof(Shapes))]
    public void ItsWeightsGradientIsTheSumOverThePixels(int lanes, int n, int height, int width, int few, int registers)
    {
        foreach (ConvolutionSize size in (ConvolutionSize[])[new(n, height, width, few, registers * lanes), new(n, height, width, registers * lanes, few)])
        {
            float[] x = KernelData.Numbers(1, Pixels(size) * size.Inputs), dy = KernelData.Numbers(2, Pixels(size) * size.Outputs);
            var (want, wantBias) = WrittenOutConvolution.WeightGradient(size, x, dy);
            var (got, bias) = Differentiator(lanes)(size, x, dy, true);
            Assert.IsLessThan(Tolerance, KernelData.Error(want, got), $"{size}");
            Assert.IsLessThan(Tolerance, KernelData.Error(wantBias, bias!), $"{size} bias");
            CollectionAssert.AreEqual(got, Differentiator(lanes)(size, x, dy, false).DWeight, $"{size} without bias");
        }
    }

    [TestMethod]
    [DataRow(16)]
    [DataRow(8)]
    [DataRow(4)]
    [DoNotParallelize]
    public void NeitherCoresNorTheRestOfTheBatchChangeABit(int lanes)
    {
        foreach (ConvolutionSize size in (ConvolutionSize[])[new(5, 6, 10, 3, 4 * lanes), new(5, 6, 10, 4 * lanes, 3), new(1, 70, 60, 3, lanes), new(1, 70, 60, lanes, 3)])
        {
            float[] x = KernelData.Numbers(1, Pixels(size) * size.Inputs), w = KernelData.Numbers(2, 9 * size.Inputs * size.Outputs);
            float[] dy = KernelData.Numbers(3, Pixels(size) * size.Outputs);
            var alone = On(1);
            foreach (int cores in (int[])[2, 3, 8])
            {
                var (y, dWeight, dBias) = On(cores);
                CollectionAssert.AreEqual(alone.Y, y, $"{size} on {cores} cores");
                CollectionAssert.AreEqual(alone.DWeight, dWeight, $"{size} on {cores} cores");
                CollectionAssert.AreEqual(alone.DBias, dBias, $"{size} on {cores} cores");
            }
            float[] first = Convolver(lanes)(size with { Images = 1 }, x[..(x.Length / size.Images)], w, false, null, null);
            CollectionAssert.AreEqual(alone.Y[..first.Length], first, $"{size}: one image");

            (float[] Y, float[] DWeight, float[] DBias) On(int cores)
            {
                using var threads = new KernelData.Threads(cores);
                using var reserved = Cores.Reserve();
                float[] y = Convolver(lanes)(size, x, w, false, null, null);
                var (dWeight, dBias) = Differentiator(lanes)(size, x, dy, true);
                return (y, dWeight, dBias!);
            }
        }
    }

    [TestMethod]
    public void ItMeasuresWhatItWrites()
    {
        var size = new ConvolutionSize(2, 8, 6, 3, 32);
        float[] x = KernelData.Numbers(1, Pixels(size) * size.Inputs), w = KernelData.Numbers(2, 9 * size.Inputs * size.Outputs), y = new float[Pixels(size) * size.Outputs];
        int lines = size.Images * size.Height / MomentLines.Rows, pixels = MomentLines.Rows * size.Width;
        float[] measured = new float[lines * 2 * size.Outputs], wanted = new float[measured.Length];
        fixed (float* px = x, pw = w, py = y, pm = measured, pn = wanted)
        {
            var moments = new MomentLines(pm, pixels, size.Outputs);
            ThinConvolution<Lanes512>.Apply(size, PixelSource.Of(px, size.Height, size.Width, size.Inputs), pw, false, null, null, py, moments);
            for (int line = 0; line < lines; line++)
                new MomentLines(pn, pixels, size.Outputs).Measure<Lanes512, WideElement<Lanes512>>((WideElement<Lanes512>*)py, line, 0, size.Outputs);
        }
        CollectionAssert.AreEqual(wanted, measured);
        Assert.IsTrue(measured.All(value => value != 0));
    }

    [TestMethod]
    public void ItTakesFewChannelsOnOneSideAndWholeRegistersOnTheOther()
    {
        Assert.IsTrue(ThinConvolution<Lanes512>.Takes(new(1, 8, 8, 3, 64)));
        Assert.IsTrue(ThinConvolution<Lanes512>.Takes(new(1, 8, 8, 64, 1)));
        Assert.IsFalse(ThinConvolution<Lanes512>.Takes(new(1, 8, 8, 3, 3)), "few on both");
        Assert.IsFalse(ThinConvolution<Lanes512>.Takes(new(1, 8, 8, 3, 40)), "part of a register");
        Assert.IsFalse(ThinConvolution<Lanes512>.Takes(new(1, 8, 8, 5, 64)), "five");
    }

    private delegate float[] Convolution(in ConvolutionSize size, float[] x, float[] weight, bool turned, float[]? bias, float[]? addend);

    private delegate (float[] DWeight, float[]? DBias) Gradient(in ConvolutionSize size, float[] x, float[] dy, bool bias);

    private static int Pixels(in ConvolutionSize size) => size.Images * size.Height * size.Width;

    private static Convolution Convolver(int lanes) => KernelData.For<Convolution>(lanes, Apply<Lanes512>, Apply<Lanes256>, Apply<Lanes128>);

    private static Gradient Differentiator(int lanes) => KernelData.For<Gradient>(lanes, Differentiate<Lanes512>, Differentiate<Lanes256>, Differentiate<Lanes128>);

    private static float[] Apply<L>(in ConvolutionSize size, float[] x, float[] weight, bool turned, float[]? bias, float[]? addend)
        where L : unmanaged, ILanes<L>
    {
        KernelData.Poison(1_000_000);
        var y = new float[Pixels(size) * size.Outputs];
        y.AsSpan().Fill(float.NaN);
        fixed (float* px = x, pw = weight, pb = bias, pa = addend, py = y)
            ThinConvolution<L>.Apply(size, PixelSource.Of(px, size.Height, size.Width, size.Inputs), pw, turned, pb, pa, py, default);
        return y;
    }

    private static (float[] DWeight, float[]? DBias) Differentiate<L>(in ConvolutionSize size, float[] x, float[] dy, bool bias)
        where L : unmanaged, ILanes<L>
    {
        KernelData.Poison(1_000_000);
        float[] dWeight = new float[9 * size.Inputs * size.Outputs];
        float[]? dBias = bias ? new float[size.Outputs] : null;
        fixed (float* px = x, pdy = dy, pw = dWeight, pb = dBias)
        {
            // Twice: gradients are added to what is there.
            for (int i = 0; i < 2; i++)
                ThinConvolution<L>.AddWeightGradient(size, PixelSource.Of(px, size.Height, size.Width, size.Inputs), pdy, pw, pb);
        }
        return ([.. dWeight.Select(value => value / 2)], dBias?.Select(value => value / 2).ToArray());
    }
}
