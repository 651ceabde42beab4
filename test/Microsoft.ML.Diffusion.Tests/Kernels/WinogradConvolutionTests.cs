namespace Microsoft.ML.Diffusion.Tests;

/// <summary>The fast convolution and its weight's gradient against the definition in double.</summary>
[TestClass]
public sealed unsafe class WinogradConvolutionTests
{
    /// <summary>Of the largest number: the transforms lose about a digit more than the plain sum.</summary>
    private const double Tolerance = 1e-5;

    /// <summary>N, H, W, C, D.</summary>
    public static IEnumerable<object[]> Shapes =>
    [
        [1, 7, 9, 3, 5],        // sides that tiles do not fill, channels that registers do not
        [3, 2, 2, 4, 8],
        [1, 1, 5, 16, 4],
        [2, 5, 1, 1, 1],
        [1, 8, 8, 48, 96],      // more panels of outputs than blocks
        [1, 4, 4, 20, 36],
        [9, 6, 5, 8, 16],       // several images, few tiles
        [40, 6, 5, 8, 16],      // several images a block
        [1, 36, 36, 8, 136],    // one block, its outputs shared out
        [1, 40, 36, 4, 6],      // several blocks an image
        [2, 40, 36, 96, 4],
        [2, 36, 40, 8, 4],      // blocks of an image that are not of one size
        [1, 4, 300, 4, 4],      // a row of tiles wider than a block
    ];

    private static IEnumerable<object[]> ShapesByLanes => Shapes.SelectMany(_ => (int[])[16, 8, 4], (shape, lanes) => (object[])[lanes, .. shape]);

    [TestMethod]
    [DynamicData(nameof(ShapesByLanes))]
    public void ItIsTheConvolution(int lanes, int n, int height, int width, int inputs, int outputs)
    {
        var convolve = Convolver(lanes);
        var size = new ConvolutionSize(n, height, width, inputs, outputs);
        float[] x = KernelData.Numbers(1, n * height * width * inputs), w = KernelData.Numbers(2, 9 * inputs * outputs);
        float[] bias = KernelData.Numbers(3, outputs), addend = KernelData.Numbers(4, n * height * width * outputs);
        foreach (bool turned in (bool[])[false, true])
        {
            double[] want = WrittenOutConvolution.Apply(size, x, w, turned);
            Assert.IsLessThan(Tolerance, KernelData.Error(want, convolve(size, x, w, turned, null, null)), $"turned: {turned}");
            Assert.IsLessThan(Tolerance, KernelData.Error(WrittenOutConvolution.Plus(want, bias, null), convolve(size, x, w, turned, bias, null)), $"with bias, turned: {turned}");
            Assert.IsLessThan(Tolerance, KernelData.Error(WrittenOutConvolution.Plus(want, bias, addend), convolve(size, x, w, turned, bias, addend)), $"with both, turned: {turned}");
            Assert.IsLessThan(Tolerance, KernelData.Error(WrittenOutConvolution.Plus(want, null, addend), convolve(size, x, w, turned, null, addend)), $"with an addend, turned: {turned}");
        }
    }

    [TestMethod]
    [DataRow(16)]
    [DataRow(8)]
    [DataRow(4)]
    public void TheRestOfTheBatchChangesNoBitOfAnImage(int lanes)
    {
        const int inputs = 20, outputs = 36, images = 20;
        float[] x = KernelData.Numbers(1, images * 8 * 8 * inputs), w = KernelData.Numbers(2, 9 * inputs * outputs), bias = KernelData.Numbers(3, outputs);
        float[] all = Convolver(lanes)(new(images, 8, 8, inputs, outputs), x, w, false, bias, null);
        foreach (int some in (int[])[1, 3, 16, 17])
        {
            float[] y = Convolver(lanes)(new(some, 8, 8, inputs, outputs), x[..(some * 8 * 8 * inputs)], w, false, bias, null);
            CollectionAssert.AreEqual(all[..y.Length], y, $"{some} of {images} images");
        }
    }

    [TestMethod]
    [DynamicData(nameof(ShapesByLanes))]
    public void ItsWeightsGradientIsTheSumOverThePixels(int lanes, int n, int height, int width, int inputs, int outputs) =>
        CheckGradient(lanes, new(n, height, width, inputs, outputs));

    [TestMethod]
    [DataRow(16)]
    [DataRow(8)]
    [DataRow(4)]
    [DoNotParallelize]
    public void TheNumberOfCoresChangesNoBit(int lanes)
    {
        foreach (ConvolutionSize size in (ConvolutionSize[])[new(1, 8, 8, 12, 136), new(5, 12, 10, 8, 20), new(1, 40, 36, 40, 8), new(1, 36, 36, 8, 136)])
        {
            float[] x = KernelData.Numbers(1, size.Images * size.Height * size.Width * size.Inputs), w = KernelData.Numbers(2, 9 * size.Inputs * size.Outputs);
            float[] dy = KernelData.Numbers(3, size.Images * size.Height * size.Width * size.Outputs), bias = KernelData.Numbers(4, size.Outputs);
            var alone = On(1);
            // From five on the cores share what they transform.
            foreach (int cores in (int[])[2, 3, 4, 5, 8])
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
                float[] y = Convolver(lanes)(size, x, w, false, bias, null);
                var (dWeight, dBias) = Differentiator(lanes)(size, x, dy, true);
                return (y, dWeight, dBias!);
            }
        }
    }

    [TestMethod]
    [DataRow(16)]
    [DataRow(8)]
    [DataRow(4)]
    public void ItIsNotMuchLessAccurateThanThePlainSum(int lanes)
    {
        var size = new ConvolutionSize(1, 12, 12, 64, 16);
        float[] x = KernelData.Numbers(1, size.Height * size.Width * size.Inputs), w = KernelData.Numbers(2, 9 * size.Inputs * size.Outputs);
        double[] exact = WrittenOutConvolution.Apply(size, x, w, turned: false);
        double plain = RootMeanSquare(exact, ConvolveInFloats(size, x, w)), fast = RootMeanSquare(exact, Convolver(lanes)(size, x, w, false, null, null));
        Assert.IsLessThan(3 * plain, fast);
    }

    private static void CheckGradient(int lanes, ConvolutionSize size)
    {
        int pixels = size.Images * size.Height * size.Width;
        float[] x = KernelData.Numbers(1, pixels * size.Inputs), dy = KernelData.Numbers(2, pixels * size.Outputs);
        var (want, wantBias) = WrittenOutConvolution.WeightGradient(size, x, dy);
        var (got, bias) = Differentiator(lanes)(size, x, dy, true);
        Assert.IsLessThan(Tolerance, KernelData.Error(want, got));
        Assert.IsLessThan(Tolerance, KernelData.Error(wantBias, bias!), "bias");
        CollectionAssert.AreEqual(got, Differentiator(lanes)(size, x, dy, false).DWeight, "without bias");
    }

    private delegate float[] Convolution(in ConvolutionSize size, float[] x, float[] weight, bool turned, float[]? bias, float[]? addend);

    private delegate (float[] DWeight, float[]? DBias) Gradient(in ConvolutionSize size, float[] x, float[] dy, bool bias);

    private static Convolution Convolver(int lanes) => KernelData.For<Convolution>(lanes, Apply<Lanes512>, Apply<Lanes256>, Apply<Lanes128>);

    private static Gradient Differentiator(int lanes) => KernelData.For<Gradient>(lanes, Differentiate<Lanes512>, Differentiate<Lanes256>, Differentiate<Lanes128>);

    private static float[] Apply<L>(in ConvolutionSize size, float[] x, float[] weight, bool turned, float[]? bias, float[]? addend)
        where L : unmanaged, ILanes<L> => Apply<L, RealPoints<L>>(size, x, weight, turned, bias, addend);

    private static (float[] DWeight, float[]? DBias) Differentiate<L>(in ConvolutionSize size, float[] x, float[] dy, bool bias)
        where L : unmanaged, ILanes<L> => Differentiate<L, RealPoints<L>>(size, x, dy, bias);

    /// <summary>At other points too.</summary>
    internal static float[] Apply<L, P>(in ConvolutionSize size, float[] x, float[] weight, bool turned, float[]? bias, float[]? addend)
        where L : unmanaged, ILanes<L>
        where P : struct, IWinogradPoints<L>
    {
        KernelData.Poison(1_000_000);
        var y = new float[size.Images * size.Height * size.Width * size.Outputs];
        y.AsSpan().Fill(float.NaN);
        fixed (float* px = x, pw = weight, pb = bias, pa = addend, py = y)
            WinogradConvolution<L, WideElement<L>, P>.Apply(default, size, PixelSource.Of(px, size.Height, size.Width, size.Inputs), pw, turned, pb, (WideElement<L>*)pa, (WideElement<L>*)py, default);
        return y;
    }

    /// <inheritdoc cref="Apply{L, P}"/>
    internal static (float[] DWeight, float[]? DBias) Differentiate<L, P>(in ConvolutionSize size, float[] x, float[] dy, bool bias)
        where L : unmanaged, ILanes<L>
        where P : struct, IWinogradGradient<L>
    {
        KernelData.Poison(4_000_000);
        float[] dWeight = new float[9 * size.Inputs * size.Outputs];
        float[]? dBias = bias ? new float[size.Outputs] : null;
        fixed (float* px = x, pdy = dy, pw = dWeight, pb = dBias)
        {
            // Twice: gradients are added to what is there.
            for (int i = 0; i < 2; i++)
                WinogradGradient<L, WideElement<L>, P>.Add(default, size, PixelSource.Of(px, size.Height, size.Width, size.Inputs), (WideElement<L>*)pdy, pw, pb);
        }
        return ([.. dWeight.Select(value => value / 2)], dBias?.Select(value => value / 2).ToArray());
    }

    /// <summary>The same, summed in float32.</summary>
    private static float[] ConvolveInFloats(in ConvolutionSize size, float[] x, float[] w)
    {
        var (inputs, outputs) = (size.Inputs, size.Outputs);
        var y = new float[size.Images * size.Height * size.Width * outputs];
        WrittenOutConvolution.ForEachPair(size, (k, from, to) =>
        {
            for (int d = 0; d < outputs; d++)
            {
                for (int c = 0; c < inputs; c++)
                    y[to * outputs + d] += x[from * inputs + c] * w[(d * 9 + k) * inputs + c];
            }
        });
        return y;
    }

    private static double RootMeanSquare(double[] want, float[] got) => Math.Sqrt(want.Zip(got, (a, b) => (a - b) * (a - b)).Average());
}
