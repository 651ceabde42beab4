using TorchSharp;

namespace Microsoft.ML.Diffusion.Tests;

/// <summary>Whole networks: float32 runs through our kernels, float64 through libtorch's operators.</summary>
[TestClass]
public sealed class FusedNetworkTests
{
    public static IEnumerable<object[]> Names => SmallNetworks.Names;

    [TestMethod]
    [DynamicData(nameof(Names))]
    public void EveryParametersGradientIsThatOfThePlainOperators(string name)
    {
        const int batch = 2;
        using var scope = NewDisposeScope();
        using DenoisingNetwork fused = Randomized(name), plain = Randomized(name).to(float64);
        UNetShape shape = fused.Shape;
        Tensor x = SmallNetworks.Noise(batch, shape), timesteps = SmallNetworks.Timesteps(3, 100.5f);
        Tensor? labels = SmallNetworks.Labels(batch, shape);
        Tensor y = fused.forward(x, timesteps, labels), want = plain.forward(x.to(float64), timesteps, labels);
        Assert.AreEqual(float64, want.dtype);
        Assert.IsLessThan(1e-4, KernelData.Error(want, y));

        Tensor dy = KernelData.Draw(4, want.shape);
        (want * dy).sum().backward();
        (y * dy.to(float32)).sum().backward();
        var gradients = plain.named_parameters().ToDictionary(entry => entry.name, entry => entry.parameter.grad);
        foreach (var (path, parameter) in fused.named_parameters())
        {
            using Tensor? wanted = gradients[path], gotten = parameter.grad;
            Assert.IsNotNull(wanted, path);
            Assert.IsNotNull(gotten, path);
            Assert.IsLessThan(1e-4, KernelData.Error(wanted, gotten), path);
        }
    }

    [TestMethod]
    public void TrainingFollowsThePlainOperators()
    {
        double[] plain = Train(float64), fused = Train(float32);
        Assert.IsLessThan(0.7 * plain[0], plain[^1], "it learns");
        for (int step = 0; step < plain.Length; step++)
            Assert.AreEqual(plain[step], fused[step], 1e-4 * plain[step], $"step {step}");
    }

    private static DenoisingNetwork Randomized(string name)
    {
        DenoisingNetwork network = SmallNetworks.Build(name);
        SmallNetworks.Randomize(network);
        return network;
    }

    /// <summary>Steps of plain gradient descent; their losses.</summary>
    private static double[] Train(ScalarType type)
    {
        using var scope = NewDisposeScope();
        using var network = SmallNetworks.Build(TinyData.Network, new UNetShape(1, TinyData.Side, TinyData.Side)).to(type);
        Tensor x = KernelData.Draw(1, 2, 1, TinyData.Side, TinyData.Side).to(type), target = KernelData.Draw(2, 2, 1, TinyData.Side, TinyData.Side).to(type);
        Tensor timesteps = SmallNetworks.Timesteps(10, 40);
        var losses = new double[30];
        for (int step = 0; step < losses.Length; step++)
        {
            using var stepScope = NewDisposeScope();
            Tensor loss = (network.forward(x, timesteps, null) - target).square().mean();
            loss.backward();
            losses[step] = loss.to(float64).item<double>();
            using var untracked = no_grad();
            foreach (var parameter in network.parameters())
            {
                parameter.add_(parameter.grad!, -0.1);
                parameter.grad = null;
            }
        }
        return losses;
    }
}
