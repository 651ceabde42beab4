namespace Microsoft.ML.Diffusion.Tests;

/// <summary>Products of many rows with a weight, and strided convolutions over their windows.</summary>
[TestClass]
public sealed unsafe class LinearProductTests
{
    private const double Tolerance = 2e-6;

    [TestMethod]
    [DataRow(16)]
    [DataRow(8)]
    [DataRow(4)]
    public void ItIsTheProduct(int lanes)
    {
        var multiply = KernelData.For<Product>(lanes, Apply<Lanes512>, Apply<Lanes256>, Apply<Lanes128>);
        foreach (int rows in (int[])[4, 6, 58, 60, 62, 118, 130])
        {
            foreach (var (inputs, outputs) in ((int, int)[])[(lanes, lanes), (lanes, 7 * lanes), (3 * lanes, 2 * lanes)])
            {
                float[] x = KernelData.Numbers(1, rows * inputs), weight = KernelData.Numbers(2, inputs * outputs);
                float[] bias = KernelData.Numbers(3, outputs), addend = KernelData.Numbers(4, rows * outputs);
                foreach (bool transposed in (bool[])[false, true])
                {
                    double[] want = WrittenOutProduct.Apply(rows, inputs, outputs, x, weight, transposed);
                    double[] wantAll = [.. want.Select((value, i) => value + bias[i % outputs] + addend[i])];
                    foreach (bool source in (bool[])[false, true])
                    {
                        string what = $"{rows} rows, {inputs} to {outputs}, transposed: {transposed}, source: {source}";
                        Assert.IsLessThan(Tolerance, KernelData.Error(want, multiply(rows, inputs, outputs, x, source, weight, transposed, null, null)), what);
                        Assert.IsLessThan(Tolerance, KernelData.Error(wantAll, multiply(rows, inputs, outputs, x, source, weight, transposed, bias, addend)), what);
                    }
                }
            }
        }
    }

    [TestMethod]
    [DataRow(16)]
    [DataRow(8)]
    [DataRow(4)]
    public void ABiasOrAnAddendCanComeAlone(int lanes)
    {
        int rows = 6, inputs = lanes, outputs = 2 * lanes;
        var multiply = KernelData.For<Product>(lanes, Apply<Lanes512>, Apply<Lanes256>, Apply<Lanes128>);
        float[] x = KernelData.Numbers(1, rows * inputs), weight = KernelData.Numbers(2, inputs * outputs);
        float[] bias = KernelData.Numbers(3, outputs), addend = KernelData.Numbers(4, rows * outputs);
        double[] want = WrittenOutProduct.Apply(rows, inputs, outputs, x, weight, false);
        double[] withBias = [.. want.Select((value, i) => value + bias[i % outputs])], withAddend = [.. want.Select((value, i) => value + addend[i])];
        Assert.IsLessThan(Tolerance, KernelData.Error(withBias, multiply(rows, inputs, outputs, x, false, weight, false, bias, null)));
        Assert.IsLessThan(Tolerance, KernelData.Error(withAddend, multiply(rows, inputs, outputs, x, false, weight, false, null, addend)));
    }

    [TestMethod]
    [DataRow(16)]
    [DataRow(8)]
    [DataRow(4)]
    public void ItsGradientsAreTheSumsOverTheRows(int lanes)
    {
        var differentiate = KernelData.For<Gradient>(lanes, Differentiate<Lanes512>, Differentiate<Lanes256>, Differentiate<Lanes128>);
        foreach (int rows in (int[])[4, 6, 58, 62, 130, 240, 242, 490])
        {
            foreach (var (inputs, outputs) in ((int, int)[])[(lanes, lanes), (lanes, 5 * lanes), (3 * lanes, 2 * lanes)])
            {
                float[] x = KernelData.Numbers(1, rows * inputs), dy = KernelData.Numbers(2, rows * outputs);
                var (weight, bias) = WrittenOutProduct.WeightGradient(rows, inputs, outputs, x, dy);
                foreach (bool source in (bool[])[false, true])
                {
                    string what = $"{rows} rows, {inputs} to {outputs}, source: {source}";
                    var (dWeight, dBias) = differentiate(rows, inputs, outputs, x, source, dy, true);
                    Assert.IsLessThan(Tolerance, KernelData.Error(weight, dWeight), what);
                    Assert.IsLessThan(Tolerance, KernelData.Error(bias, dBias!), what);
                    CollectionAssert.AreEqual(dWeight, differentiate(rows, inputs, outputs, x, source, dy, false).DWeight, what);
                }
            }
        }
    }

    [TestMethod]
    [DataRow(16)]
    [DataRow(8)]
    [DataRow(4)]
    [DoNotParallelize]
    public void TheNumberOfCoresChangesNoBit(int lanes)
    {
        int rows = 250, inputs = 2 * lanes, outputs = 5 * lanes;
        float[] x = KernelData.Numbers(1, rows * inputs), dy = KernelData.Numbers(2, rows * outputs), weight = KernelData.Numbers(3, inputs * outputs);
        var alone = On(1);
        for (int cores = 2; cores <= 3; cores++)
        {
            var (y, dWeight, dBias) = On(cores);
            CollectionAssert.AreEqual(alone.Y, y);
            CollectionAssert.AreEqual(alone.DWeight, dWeight);
            CollectionAssert.AreEqual(alone.DBias, dBias);
        }

        (float[] Y, float[] DWeight, float[] DBias) On(int cores)
        {
            using var threads = new KernelData.Threads(cores);
            float[] y = KernelData.For<Product>(lanes, Apply<Lanes512>, Apply<Lanes256>, Apply<Lanes128>)(rows, inputs, outputs, x, true, weight, false, null, null);
            var differentiate = KernelData.For<Gradient>(lanes, Differentiate<Lanes512>, Differentiate<Lanes256>, Differentiate<Lanes128>);
            var (dWeight, dBias) = differentiate(rows, inputs, outputs, x, true, dy, true);
            return (y, dWeight, dBias!);
        }
    }

    [TestMethod]
    [DataRow(2, 8, 8, 4, 16, 3, 2, 1, 1)]
    [DataRow(2, 8, 6, 16, 32, 3, 2, 0, 1)]
    [DataRow(2, 7, 9, 8, 8, 3, 2, 1, 1)]
    [DataRow(2, 9, 7, 12, 4, 3, 2, 0, 1)]
    [DataRow(1, 8, 8, 4, 8, 4, 2, 1, 1)]
    [DataRow(2, 2, 2, 4, 4, 3, 1, 1, 1)]
    [DataRow(4, 1, 1, 4, 4, 3, 2, 1, 1)]
    [DataRow(2, 9, 9, 4, 4, 3, 4, 2, 2)]
    public void WindowsAreAStridedConvolution(int n, int height, int width, int channels, int outputs, int kernel, int stride, int before, int after)
    {
        using var scope = NewDisposeScope();
        var size = new WindowSize(n, height, width, channels, kernel, stride, before, after);
        Tensor x = KernelData.Draw(1, n, height, width, channels).requires_grad_(), weight = KernelData.Draw(2, outputs, kernel, kernel, channels).requires_grad_();
        Tensor bias = KernelData.Draw(3, outputs);
        Tensor padded = nn.functional.pad(x.permute(0, 3, 1, 2), [before, after, before, after]);
        Tensor want = nn.functional.conv2d(padded, weight.permute(0, 3, 1, 2), bias, [stride, stride]).permute(0, 2, 3, 1);
        Tensor dy = KernelData.Draw(4, want.shape);
        (want * dy).sum().backward();
        CollectionAssert.AreEqual(want.shape, (long[])[n, size.OutputHeight, size.OutputWidth, outputs]);
        Assert.AreEqual(want.numel() / outputs, size.Outputs);
        Assert.IsTrue(LinearKernel.Takes(size.Outputs));

        int inputs = kernel * kernel * channels;
        Tensor pixels = x.detach().to(float32), w = weight.detach().to(float32), b = bias.to(float32), slope = dy.to(float32);
        Tensor y = full(dy.shape, float.NaN), dWeight = zeros(w.shape), dx = full(x.shape, float.NaN), windows = full([size.Outputs, inputs], float.NaN);
        var rows = new WindowRows(HostMemory.Pointer(pixels), size);
        KernelData.Poison(100_000);
        LinearKernel.Apply(size.Outputs, inputs, outputs, null, rows, HostMemory.Pointer(w), false, HostMemory.Pointer(b), null, HostMemory.Pointer(y));
        LinearKernel.WeightGradient(size.Outputs, inputs, outputs, null, rows, HostMemory.Pointer(slope), HostMemory.Pointer(dWeight), null);
        LinearKernel.Apply(size.Outputs, outputs, inputs, HostMemory.Pointer(slope), null, HostMemory.Pointer(w), true, null, null, HostMemory.Pointer(windows));
        LinearKernel.AddWindows(size, HostMemory.Pointer(windows), HostMemory.Pointer(dx));
        Assert.IsLessThan(Tolerance, KernelData.Error(want, y));
        Assert.IsLessThan(Tolerance, KernelData.Error(weight.grad!, dWeight));
        Assert.IsLessThan(Tolerance, KernelData.Error(x.grad!, dx));
    }

    private delegate float[] Product(int rows, int inputs, int outputs, float[] x, bool source, float[] weight, bool transposed, float[]? bias, float[]? addend);

    private delegate (float[] DWeight, float[]? DBias) Gradient(int rows, int inputs, int outputs, float[] x, bool source, float[] dy, bool bias);

    private static float[] Apply<L>(int rows, int inputs, int outputs, float[] x, bool source, float[] weight, bool transposed, float[]? bias, float[]? addend)
        where L : unmanaged, ILanes<L> => Apply<L, WideFactors<L>>(rows, inputs, outputs, x, source, weight, transposed, bias, addend);

    private static (float[] DWeight, float[]? DBias) Differentiate<L>(int rows, int inputs, int outputs, float[] x, bool source, float[] dy, bool bias)
        where L : unmanaged, ILanes<L> => Differentiate<L, WideFactors<L>>(rows, inputs, outputs, x, source, dy, bias);

    /// <summary>Over other factors too.</summary>
    internal static float[] Apply<L, P>(int rows, int inputs, int outputs, float[] x, bool source, float[] weight, bool transposed, float[]? bias, float[]? addend)
        where L : unmanaged, ILanes<L>
        where P : struct, IProductFactors<L>
    {
        KernelData.Poison(100_000);
        var y = new float[rows * outputs];
        y.AsSpan().Fill(float.NaN);
        fixed (float* px = x, pw = weight, pb = bias, pa = addend, py = y)
            LinearProduct<L, P>.Apply(rows, inputs, outputs, source ? null : px, source ? new ArrayRows(x, inputs) : null, pw, transposed, pb, pa, py, default);
        return y;
    }

    /// <inheritdoc cref="Apply{L, P}"/>
    internal static (float[] DWeight, float[]? DBias) Differentiate<L, P>(int rows, int inputs, int outputs, float[] x, bool source, float[] dy, bool bias)
        where L : unmanaged, ILanes<L>
        where P : struct, IProductFactors<L>
    {
        KernelData.Poison(100_000);
        float[] dWeight = new float[outputs * inputs];
        float[]? dBias = bias ? new float[outputs] : null;
        fixed (float* px = x, pdy = dy, pw = dWeight, pb = dBias)
        {
            // Twice: gradients are added to what is there.
            for (int i = 0; i < 2; i++)
                LinearProduct<L, P>.WeightGradient(rows, inputs, outputs, source ? null : px, source ? new ArrayRows(x, inputs) : null, pdy, pw, pb);
        }
        return ([.. dWeight.Select(value => value / 2)], dBias?.Select(value => value / 2).ToArray());
    }
}
