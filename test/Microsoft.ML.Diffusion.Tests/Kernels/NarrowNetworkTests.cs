using System.Runtime.Intrinsics.X86;
using TorchSharp;

namespace Microsoft.ML.Diffusion.Tests;

/// <summary>
/// U-Nets whose activations are bfloat16 because a matrix unit multiplies, and those that multiply in 16-bit integers, against libtorch's operators in float64: over units that are written out,
/// and over the processor's.
/// </summary>
[TestClass]
public sealed class NarrowNetworkTests
{
    /// <summary>Root mean square of the difference, as a share: 8 bits, rounded dozens of times.</summary>
    private const double Share = 0.03;

    /// <summary>The same of integers, which keep twelve bits and more of a number.</summary>
    private const double ShareOfIntegers = 0.005;

    private static readonly UNetShape s_shape = new(3, 8, 8, Classes: 3);

    /// <summary>FiLM, attention over 64 positions with a kernel and over 16 without, and every other way to put a block together.</summary>
    private static readonly Dictionary<string, UNetOptions> s_kinds = new()
    {
        ["improved"] = SmallNetworks.Improved with { BaseChannels = 32, AttentionHeads = 1 },
        ["ho"] = SmallNetworks.Ho with { BaseChannels = 32 },
        ["no learned resampling"] = SmallNetworks.Improved with { BaseChannels = 32, AttentionResolutions = [], ConvolutionalResampling = false },
    };

    private static long Live => DisposeScopeManager.Statistics.TensorStatistics.ThreadTotalLiveCount;

    private static IEnumerable<object[]> Cases =>
        from unit in TestedUnits.NetworkRows
        from kind in s_kinds.Keys
        select new object[] { unit[0], kind };

    [TestMethod]
    [DynamicData(nameof(Cases))]
    public void EveryParametersGradientIsNearThatOfThePlainOperators(string unit, string kind)
    {
        using var scope = NewDisposeScope();
        using DenoisingNetwork fast = Randomized(kind);
        var (x, timesteps, labels, want, dy, gradients) = OfPlainOperators(kind);
        double share = unit == TestedUnits.Integers ? ShareOfIntegers : Share;
        using (TestedUnits.Enter(unit))
        {
            Tensor y = fast.forward(x, timesteps, labels);
            Assert.AreEqual(float32, y.dtype);
            Assert.IsLessThan(share, Apart(want, y));
            Assert.IsGreaterThan(share / 300, Apart(want, y), "fewer bits were computed in");
            (y * dy.to(float32)).sum().backward();
        }
        foreach (var (path, parameter) in fast.named_parameters())
        {
            using Tensor? wanted = gradients[path], gotten = parameter.grad;
            Assert.IsNotNull(gotten, path);
            Assert.AreEqual(float32, gotten.dtype, path);
            Assert.IsLessThan(share, Apart(wanted!, gotten), path);
        }
    }

    [TestMethod]
    [DataRow("improved")]
    [DataRow("ho")]
    public void PointsAreNearlyAsAccurateAsNineTaps(string kind)
    {
        // One input's errors come out a tenth higher or lower by chance.
        const int inputs = 8;
        using DenoisingNetwork network = Randomized(kind);
        var (taps, ofTaps) = Over(new WrittenOutUnit());
        var (points, ofPoints) = Over(new WrittenOutPairUnit(integers: false));
        Assert.IsLessThan(1.3 * taps, points);
        Assert.IsLessThan(1.3 * ofTaps, ofPoints);
        if (!Avx2.IsSupported)
            return;
        var (integers, ofIntegers) = Over(new WrittenOutPairUnit(integers: true));
        Assert.IsLessThan(1.1 * taps, integers);
        Assert.IsLessThan(1.1 * ofTaps, ofIntegers);

        (double Output, double Gradients) Over(MatrixUnit unit)
        {
            double output = 0, slopes = 0;
            for (int input = 0; input < inputs; input++)
            {
                using var scope = NewDisposeScope();
                var (x, timesteps, labels, want, dy, gradients) = OfPlainOperators(kind, input);
                KernelData.ClearGradients(network.parameters());
                using var use = MatrixUnit.Enter(unit);
                Tensor y = network.forward(x, timesteps, labels);
                (y * dy.to(float32)).sum().backward();
                output += Apart(want, y);
                slopes += network.named_parameters().Average(entry => Apart(gradients[entry.name]!, entry.parameter.grad!));
            }
            return (output, slopes);
        }
    }

    [TestMethod]
    [DynamicData(nameof(TestedUnits.NetworkRows), typeof(TestedUnits))]
    public void TheRestOfTheBatchChangesNoBitOfAnImage(string unit)
    {
        using var scope = NewDisposeScope();
        using var untracked = no_grad();
        using DenoisingNetwork network = Randomized("improved");
        network.eval();
        Tensor x = SmallNetworks.Noise(5, s_shape), timesteps = full([5], 7f);
        Tensor labels = SmallNetworks.Labels(5, s_shape)!;
        using var use = TestedUnits.Enter(unit);
        float[] all = network.forward(x, timesteps, labels).data<float>().ToArray();
        foreach (int image in (int[])[0, 3])
        {
            float[] alone = network.forward(x.narrow(0, image, 1), timesteps.narrow(0, image, 1), labels.narrow(0, image, 1)).data<float>().ToArray();
            CollectionAssert.AreEqual(all[(image * alone.Length)..((image + 1) * alone.Length)], alone, $"image {image}");
        }
    }

    [TestMethod]
    [DynamicData(nameof(TestedUnits.NetworkRows), typeof(TestedUnits))]
    public void NoTensorIsLeftBehind(string unit)
    {
        using var use = TestedUnits.Enter(unit);
        using DenoisingNetwork network = Randomized("improved");
        using Tensor x = SmallNetworks.Noise(2, s_shape), timesteps = SmallNetworks.Timesteps(3, 100.5f), labels = SmallNetworks.Labels(2, s_shape)!;
        Run();
        long before = Live;
        for (int i = 0; i < 3; i++)
            Run();
        Assert.AreEqual(before, Live);

        void Run()
        {
            using (Tensor y = network.forward(x, timesteps, labels))
            using (Tensor loss = y.sum())
                loss.backward();
            KernelData.ClearGradients(network.parameters());
            using var untracked = no_grad();
            network.forward(x, timesteps, labels).Dispose();
        }
    }

    [TestMethod]
    [DynamicData(nameof(TestedUnits.NetworkRows), typeof(TestedUnits))]
    public void DropoutAndNetworksThatDoNotFillAUnitRunToo(string unit)
    {
        using var scope = NewDisposeScope();
        using DenoisingNetwork dropping = SmallNetworks.Build(s_kinds["ho"] with { Dropout = 0.5 }, s_shape), odd = SmallNetworks.Build("improved");
        using var use = TestedUnits.Enter(unit);
        Tensor x = SmallNetworks.Noise(2, s_shape), timesteps = SmallNetworks.Timesteps(3, 100.5f);
        dropping.train();
        Tensor y = dropping.forward(x, timesteps, SmallNetworks.Labels(2, s_shape));
        y.square().mean().backward();
        Assert.IsTrue(dropping.parameters().All(parameter => parameter.grad is { } grad && grad.isfinite().all().item<bool>()));

        Tensor whole = odd.forward(SmallNetworks.Noise(2, odd.Shape), timesteps, null);
        using (MatrixUnit.Enter(null))
            CollectionAssert.AreEqual(odd.forward(SmallNetworks.Noise(2, odd.Shape), timesteps, null).data<float>().ToArray(), whole.data<float>().ToArray());
    }

    /// <summary>One of many inputs, and what libtorch's operators in float64 make of it and of a gradient of the output.</summary>
    private static (Tensor X, Tensor Timesteps, Tensor? Labels, Tensor Want, Tensor Dy, Dictionary<string, Tensor?> Gradients) OfPlainOperators(string kind, int input = 0)
    {
        using DenoisingNetwork plain = Randomized(kind).to(float64);
        Tensor x = SmallNetworks.Noise(2, s_shape, seed: 3 + (ulong)input), timesteps = SmallNetworks.Timesteps(3, 100.5f);
        Tensor? labels = SmallNetworks.Labels(2, s_shape);
        Tensor want = plain.forward(x.to(float64), timesteps, labels), dy = KernelData.Draw(4 + (ulong)input, want.shape);
        (want * dy).sum().backward();
        return (x, timesteps, labels, want, dy, plain.named_parameters().ToDictionary(entry => entry.name, entry => (Tensor?)entry.parameter.grad));
    }

    private static DenoisingNetwork Randomized(string kind)
    {
        DenoisingNetwork network = SmallNetworks.Build(s_kinds[kind], s_shape);
        SmallNetworks.Randomize(network);
        return network;
    }

    private static double Apart(Tensor want, Tensor got)
    {
        using var scope = NewDisposeScope();
        double share = Math.Sqrt(((got.detach().to(float64) - want.detach()).square().mean() / want.detach().square().mean()).item<double>());
        return double.IsFinite(share) ? share : double.PositiveInfinity;
    }
}
