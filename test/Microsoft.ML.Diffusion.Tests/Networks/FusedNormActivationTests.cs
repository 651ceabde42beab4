using TorchSharp;

namespace Microsoft.ML.Diffusion.Tests;

/// <summary>The fused kernel against libtorch's own operators.</summary>
[TestClass]
public sealed class FusedNormActivationTests
{
    [TestMethod]
    [DataRow(3, 16, 7, 5, 4, true, true, 3)]
    [DataRow(1, 32, 8, 8, 32, true, false, 0)]
    [DataRow(4, 40, 4, 6, 8, false, true, 1)]
    [DataRow(2, 96, 16, 16, 8, true, true, 2)]
    [DataRow(2, 24, 1, 3, 2, false, false, 0)]
    public void EqualsThePlainOperators(int n, int channels, int height, int width, int groups, bool silu, bool film, int filmRows)
    {
        using var scope = NewDisposeScope();
        using var generator = new Generator(17, CPU);
        var x = randn([n, height, width, channels], float64, generator: generator).mul(3).add(5).permute(0, 3, 1, 2);
        var (weight, bias) = (Draw(channels) + 1, Draw(channels));
        var scale = film ? Draw(Math.Min(n, filmRows), channels) : null;
        var shift = film ? Draw(Math.Min(n, filmRows), channels) : null;
        if (film && scale!.shape[0] != n && scale.shape[0] != 1)
            (scale, shift) = (scale.narrow(0, 0, 1), shift!.narrow(0, 0, 1));

        var expected = nn.functional.group_norm(x, groups, weight, bias, 1e-5);
        if (film)
            expected = expected * (scale!.reshape(-1, channels, 1, 1) + 1) + shift!.reshape(-1, channels, 1, 1);
        if (silu)
            expected = nn.functional.silu(expected);

        using var noGrad = no_grad();
        var actual = FusedNormActivation.TryApply(
            x.to(float32), Norm(groups, weight.to(float32), bias.to(float32), scale?.to(float32), shift?.to(float32), silu));
        Assert.IsNotNull(actual);
        CollectionAssert.AreEqual(expected.shape, actual.shape);
        Assert.IsLessThan(2e-6, ((actual.to(float64) - expected).abs() / (expected.abs() + 1)).max().item<double>());

        Tensor Draw(params long[] shape) => randn(shape, float64, generator: generator);
    }

    [TestMethod]
    [DataRow(3, 16, 7, 5, 4, true, true, 3)]
    [DataRow(2, 32, 8, 8, 32, true, false, 0)]
    [DataRow(4, 40, 4, 6, 8, false, true, 1)]
    [DataRow(2, 24, 1, 3, 2, false, false, 0)]
    public void ItsGradientsAreThoseOfThePlainOperators(int n, int channels, int height, int width, int groups, bool silu, bool film, int filmRows)
    {
        using var scope = NewDisposeScope();
        using var generator = new Generator(23, CPU);
        Tensor Draw(params long[] shape) => randn(shape, float64, generator: generator);
        var x = Draw(n, height, width, channels).mul(2).add(1).permute(0, 3, 1, 2);
        var inputs = new List<Tensor> { x, Draw(channels) + 1, Draw(channels) };
        if (film)
            inputs.AddRange([Draw(filmRows, channels), Draw(filmRows, channels)]);
        var dy = Draw(n, channels, height, width);

        var plain = inputs.ConvertAll(t => t.detach().clone().requires_grad_());
        var y = nn.functional.group_norm(plain[0], groups, plain[1], plain[2], 1e-5);
        if (film)
            y = y * (plain[3].reshape(-1, channels, 1, 1) + 1) + plain[4].reshape(-1, channels, 1, 1);
        y = silu ? nn.functional.silu(y) : y;
        (y * dy).sum().backward();

        var fused = inputs.ConvertAll(t => t.to(float32).requires_grad_());
        var z = FusedNormActivation.TryApply(fused[0], Norm(groups, fused[1], fused[2], film ? fused[3] : null, film ? fused[4] : null, silu))!;
        (z * dy.to(float32)).sum().backward();
        for (int i = 0; i < inputs.Count; i++)
        {
            var (expected, actual) = (plain[i].grad!, fused[i].grad!.to(float64));
            CollectionAssert.AreEqual(expected.shape, actual.shape);
            Assert.IsLessThan(5e-6, ((actual - expected).abs().max() / expected.abs().max()).item<double>(), $"input {i}");
        }
    }

    [TestMethod]
    public void TrainingThroughItLeavesNoTensorBehind()
    {
        using var generator = new Generator(3, CPU);
        using var network = TinyData.Network.Build(new UNetShape(1, 8, 8), generator);
        using var images = randn([2, 1, 8, 8], float32, generator: generator);
        using var timesteps = full([2], 3f);
        Step();
        long before = TorchSharp.DisposeScopeManager.Statistics.TensorStatistics.ThreadTotalLiveCount;
        for (int i = 0; i < 3; i++)
            Step();
        Assert.AreEqual(before, TorchSharp.DisposeScopeManager.Statistics.TensorStatistics.ThreadTotalLiveCount);

        void Step()
        {
            using var scope = NewDisposeScope();
            network.forward(images, timesteps, null).square().mean().backward();
            foreach (var parameter in network.parameters())
                parameter.grad?.Dispose();
        }
    }

    [TestMethod]
    public void ASmallVarianceBesideALargeMeanIsNotLost()
    {
        using var scope = NewDisposeScope();
        using var noGrad = no_grad();
        using var generator = new Generator(5, CPU);
        var x = randn([1, 8, 8, 16], float32, generator: generator).add(3000).permute(0, 3, 1, 2);
        var (weight, bias) = (ones(16), zeros(16));
        var expected = nn.functional.group_norm(x.to(float64), 4, ones(16, float64), zeros(16, float64), 1e-5);
        var actual = FusedNormActivation.TryApply(x, Norm(4, weight, bias, null, null, silu: false))!;
        Assert.IsLessThan(2e-3, (actual.to(float64) - expected).abs().max().item<double>(), "float32 holds 3000 to 2e-4");
    }

    [TestMethod]
    public void LeavesToThePlainOperatorsWhatItCannotDo()
    {
        using var scope = NewDisposeScope();
        var (weight, bias) = (ones(16), zeros(16));
        var last = zeros(1, 4, 4, 16).permute(0, 3, 1, 2);
        using var noGrad = no_grad();
        Assert.IsNotNull(FusedNormActivation.TryApply(last, Norm(4, weight, bias, null, null, true)));
        Assert.IsNull(FusedNormActivation.TryApply(zeros(1, 16, 4, 4), Norm(4, weight, bias, null, null, true)), "planes");
        Assert.IsNull(FusedNormActivation.TryApply(last.to(bfloat16), Norm(4, weight, bias, null, null, true)), "another type");
        Assert.IsNull(FusedNormActivation.TryApply(zeros(1, 4, 4, 6).permute(0, 3, 1, 2), Norm(3, ones(6), zeros(6), null, null, true)), "broken vectors");
    }

    private static NormArguments Norm(int groups, Tensor weight, Tensor bias, Tensor? scale, Tensor? shift, bool silu) =>
        new(weight, bias, scale is null ? null : cat([scale, shift!], 1), new NormSettings(groups, 1e-5, silu));
}
