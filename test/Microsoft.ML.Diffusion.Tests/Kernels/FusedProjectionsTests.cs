using TorchSharp;

namespace Microsoft.ML.Diffusion.Tests;

/// <summary>Linear layers over the same rows, computed together, against libtorch's in float64: values, every gradient, and what changes no bit.</summary>
[TestClass]
public sealed unsafe class FusedProjectionsTests
{
    private const double Tolerance = 3e-6;

    /// <summary>More than one chunk of outputs, one, and part of one.</summary>
    private static readonly int[] s_outputs = [208, 96, 32];

    private static long Live => DisposeScopeManager.Statistics.TensorStatistics.ThreadTotalLiveCount;

    private static IEnumerable<object[]> Cases =>
        from lanes in (int[])[16, 8, 4]
        from rows in (int[])[1, 2, 3, 16, 21]
        select new object[] { lanes, rows };

    [TestMethod]
    [DynamicData(nameof(Cases))]
    public void KernelsComputeValuesAndGradients(int lanes, int rows)
    {
        using var scope = NewDisposeScope();
        const int inputs = 48;
        Tensor x = KernelData.Draw(1, rows, inputs).requires_grad_();
        var layers = Layers(inputs);
        Tensor[] want = [.. layers.Select(layer => nn.functional.linear(x, layer.Weight, layer.Bias))], dys = [.. want.Select((y, i) => KernelData.Draw((ulong)(20 + i), y.shape))];
        want.Zip(dys, (y, dy) => (y * dy).sum()).Aggregate((a, b) => a + b).backward();

        var got = Run(lanes, x, layers, dys);
        for (int i = 0; i < layers.Length; i++)
        {
            Assert.IsLessThan(Tolerance, KernelData.Error(want[i], got.Ys[i]), $"layer {i}");
            Assert.IsLessThan(Tolerance, KernelData.Error(layers[i].Weight.grad!, got.DWeights[i]), $"layer {i}'s weight");
            Assert.IsLessThan(Tolerance, KernelData.Error(layers[i].Bias.grad!, got.DBiases[i]), $"layer {i}'s bias");
        }
        Assert.IsLessThan(Tolerance, KernelData.Error(x.grad!, got.Dx.narrow(0, 0, rows)));
    }

    [TestMethod]
    [DataRow(16)]
    [DataRow(8)]
    [DataRow(4)]
    [DoNotParallelize]
    public void NeitherOtherRowsNorCoresChangeABit(int lanes)
    {
        using var scope = NewDisposeScope();
        Tensor x = KernelData.Draw(1, 21, 64);
        var layers = Layers(64);
        Tensor[] dys = [.. layers.Select((layer, i) => KernelData.Draw((ulong)(20 + i), 21, layer.Bias.shape[0]))];
        var alone = On(1);
        foreach (int cores in (int[])[2, 3, 8])
        {
            var some = On(cores);
            for (int i = 0; i < layers.Length; i++)
            {
                AssertSame(alone.Ys[i], some.Ys[i]);
                AssertSame(alone.DWeights[i], some.DWeights[i]);
                AssertSame(alone.DBiases[i], some.DBiases[i]);
            }
            AssertSame(alone.Dx, some.Dx);
        }
        foreach (int row in (int[])[0, 20])
        {
            Tensor[] ys = Run(lanes, x.narrow(0, row, 1), layers, dys: null).Ys;
            for (int i = 0; i < layers.Length; i++)
                AssertSame(alone.Ys[i].narrow(0, row, 1), ys[i]);
        }

        (Tensor[] Ys, Tensor[] DWeights, Tensor[] DBiases, Tensor Dx) On(int cores)
        {
            using var threads = new KernelData.Threads(cores);
            using var reserved = Cores.Reserve();
            return Run(lanes, x, layers, dys);
        }
    }

    [TestMethod]
    [DataRow(false)]
    [DataRow(true)]
    public void TheOperatorGivesLibtorchItsGradients(bool direct)
    {
        using var scope = NewDisposeScope();
        Tensor x = KernelData.Draw(1, 6, 32).requires_grad_();
        var layers = Layers(32);
        // Nobody uses the last one.
        Loss(layers.Select(layer => nn.functional.linear(x, layer.Weight, layer.Bias))).backward();

        Tensor leaf = x.detach().to(float32).requires_grad_();
        (Tensor Weight, Tensor Bias)[] narrow = [.. layers.Select(layer => (layer.Weight.detach().to(float32).requires_grad_(), layer.Bias.detach().to(float32).requires_grad_()))];
        foreach (Tensor parameter in narrow.SelectMany(layer => (Tensor[])[layer.Weight, layer.Bias]))
            parameter.grad = zeros_like(parameter);
        using (direct ? new ParameterMemory(narrow.SelectMany(layer => (Tensor[])[layer.Weight, layer.Bias])).Enter() : default)
        {
            Tensor[] ys = FusedProjections.TryApply(leaf, narrow)!.Split(0, 6);
            Loss(ys.Select(y => y.to(float64))).backward();
        }
        for (int i = 0; i < layers.Length - 1; i++)
        {
            Assert.IsLessThan(Tolerance, KernelData.Error(layers[i].Weight.grad!, narrow[i].Weight.grad!), $"layer {i}'s weight");
            Assert.IsLessThan(Tolerance, KernelData.Error(layers[i].Bias.grad!, narrow[i].Bias.grad!), $"layer {i}'s bias");
        }
        Assert.AreEqual(0, narrow[^1].Weight.grad!.abs().sum().item<float>());
        Assert.IsLessThan(Tolerance, KernelData.Error(x.grad!, leaf.grad!));

        static Tensor Loss(IEnumerable<Tensor> ys) => ys.SkipLast(1).Select((y, i) => (y * KernelData.Draw((ulong)(20 + i), y.shape)).sum()).Aggregate((a, b) => a + b);
    }

    [TestMethod]
    public void WhatItDoesNotTakeIsLeftToThePlainOperators()
    {
        using var scope = NewDisposeScope();
        Tensor odd = ones(6, 31), weight = ones(8, 31), bias = ones(8);
        Assert.IsNull(FusedProjections.TryApply(odd, [(weight, bias)]), "columns that fill no register");
        Assert.IsNull(FusedProjections.TryApply(ones([6, 32], float64), [(ones([8, 32], float64), ones([8], float64))]), "float64");
        Assert.IsNull(FusedProjections.TryApply(ones([2, 3, 32]), [(ones(8, 32), bias)]), "three dimensions");
        Assert.IsNull(FusedProjections.TryApply(ones(6, 32), [(ones(8, 32), bias), (ones(9, 32), ones(9))]), "one of the layers");
    }

    [TestMethod]
    public void SomeRowsOfAllAreThoseOfEachLayer()
    {
        using var scope = NewDisposeScope();
        Tensor x = KernelData.Draw(1, 6, 32).to(float32);
        (Tensor Weight, Tensor Bias)[] layers = [.. Layers(32).Select(layer => (layer.Weight.detach().to(float32), layer.Bias.detach().to(float32)))];
        ProjectedRows all = FusedProjections.TryApply(x, layers)!;
        using var embedding = new NetworkEmbedding(all, 0, 6);
        using NetworkEmbedding some = embedding.Slice(1, 4), fewer = some.Slice(2, 1), wide = fewer.As(float64);
        for (int i = 0; i < layers.Length; i++)
        {
            AssertSame(embedding.Projections[i].narrow(0, 1, 4), some.Projections[i]);
            AssertSame(embedding.Projections[i].narrow(0, 3, 1), fewer.Projections[i]);
            AssertSame(fewer.Projections[i], wide.Projections[i].to(float32));
            HostRows onHost = some.ToHost(null)[i];
            Assert.IsTrue(onHost.Rows.IsPerImage);
            Assert.AreEqual(some.Projections[i][0, 0].item<float>(), *onHost.Rows.Numbers);
            Assert.IsFalse(fewer.ToHost(null)[i].Rows.IsPerImage);
        }
        Assert.AreEqual((1L, 4L), (fewer.Rows, some.Rows));
        Assert.ThrowsExactly<ArgumentOutOfRangeException>(() => some.Slice(3, 2));
        Assert.ThrowsExactly<ArgumentOutOfRangeException>(() => some.Slice(-1, 2));
    }

    [TestMethod]
    public void NoTensorIsLeftBehind()
    {
        using var scope = NewDisposeScope();
        Tensor x = ones([6, 32], requires_grad: true);
        (Tensor Weight, Tensor Bias)[] layers = [(ones([8, 32], requires_grad: true), ones([8], requires_grad: true)), (ones([16, 32], requires_grad: true), ones([16], requires_grad: true))];
        Run();
        long before = Live;
        for (int i = 0; i < 3; i++)
            Run();
        Assert.AreEqual(before, Live);

        void Run()
        {
            ProjectedRows all = FusedProjections.TryApply(x, layers)!;
            Tensor[] ys = all.Split(0, 6);
            using (Tensor first = ys[0].sum())
            using (Tensor second = ys[1].sum())
            using (Tensor loss = first + second)
                loss.backward();
            foreach (Tensor y in (Tensor[])[.. ys, all.Numbers])
                y.Dispose();
            KernelData.ClearGradients(layers.SelectMany(layer => (Tensor[])[layer.Weight, layer.Bias]).Append(x));
            using var untracked = no_grad();
            FusedProjections.TryApply(x, layers)!.Numbers.Dispose();
        }
    }

    private delegate void Forth(ProjectedLayer[] layers, int rows, int inputs, float* x);

    private delegate void Back(ProjectedLayer[] layers, int rows, int inputs, float* x, float* dx);

    private static (Tensor Weight, Tensor Bias)[] Layers(int inputs) =>
        [.. s_outputs.Select((outputs, i) => (KernelData.Draw((ulong)(2 + i), outputs, inputs).requires_grad_(), KernelData.Draw((ulong)(12 + i), outputs).requires_grad_()))];

    /// <summary>Over the kernels themselves; without gradients of the results nothing of the gradients is to be used.</summary>
    private static (Tensor[] Ys, Tensor[] DWeights, Tensor[] DBiases, Tensor Dx) Run(int lanes, Tensor x, (Tensor Weight, Tensor Bias)[] layers, Tensor[]? dys)
    {
        int rows = (int)x.shape[0], inputs = (int)x.shape[1];
        Tensor from = Narrow(x), dx = zeros((rows + 3) / 4 * 4, inputs);
        Tensor[] weights = [.. layers.Select(layer => Narrow(layer.Weight))], biases = [.. layers.Select(layer => Narrow(layer.Bias))];
        Tensor[] ys = [.. biases.Select(bias => full([rows, bias.shape[0]], float.NaN))], gradients = [.. dys?.Select(Narrow) ?? []];
        Tensor[] dWeights = [.. weights.Select(weight => zeros_like(weight))], dBiases = [.. biases.Select(bias => zeros_like(bias))];
        var forth = ys.Select((y, i) => new ProjectedLayer(HostMemory.Pointer(weights[i]), HostMemory.Pointer(biases[i]), s_outputs[i]) { Rows = HostMemory.Pointer(y) }).ToArray();
        var back = gradients.Select((dy, i) => new ProjectedLayer(HostMemory.Pointer(weights[i]), null, s_outputs[i])
        {
            Rows = HostMemory.Pointer(dy),
            WeightGradient = HostMemory.Pointer(dWeights[i]),
            BiasGradient = HostMemory.Pointer(dBiases[i]),
        }).ToArray();
        KernelData.Poison(200_000);
        KernelData.For<Forth>(lanes, ProjectionKernel<Lanes512>.Apply, ProjectionKernel<Lanes256>.Apply, ProjectionKernel<Lanes128>.Apply)(forth, rows, inputs, HostMemory.Pointer(from));
        KernelData.Poison(200_000);
        var backward = KernelData.For<Back>(lanes, ProjectionKernel<Lanes512>.Backward, ProjectionKernel<Lanes256>.Backward, ProjectionKernel<Lanes128>.Backward);
        if (dys is not null)
            backward(back, rows, inputs, HostMemory.Pointer(from), HostMemory.Pointer(dx));
        return (ys, dWeights, dBiases, dx);
    }

    private static Tensor Narrow(Tensor wide) => wide.detach().to(float32).contiguous();

    private static void AssertSame(Tensor want, Tensor got) => CollectionAssert.AreEqual(want.contiguous().data<float>().ToArray(), got.contiguous().data<float>().ToArray());
}
