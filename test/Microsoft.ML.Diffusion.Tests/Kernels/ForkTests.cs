using TorchSharp;

namespace Microsoft.ML.Diffusion.Tests;

/// <summary>Several readers of one tensor through an operator's node, against libtorch's own sums of gradients in float64.</summary>
[TestClass]
public sealed class ForkTests
{
    private const double Share = 1e-5;

    private static long Live => DisposeScopeManager.Statistics.TensorStatistics.ThreadTotalLiveCount;

    public static IEnumerable<object[]> Operators => new object[][] { ["normed convolution"], ["convolution"], ["normed product"], ["strided product"], ["plain"] };

    [TestMethod]
    [DynamicData(nameof(Operators))]
    public void GradientsOfAllReadersMeet(string name)
    {
        using var scope = NewDisposeScope();
        foreach (bool planes in (bool[])[false, true])
        {
            var (plain, fused) = (new Reading(name, float64, planes), new Reading(name, name == "plain" ? float64 : float32, planes));
            using var fork = new Fork();
            int square = fork.Add(), weighted = fork.Add();
            Tensor y = fused.Run(fork);
            Assert.AreEqual(2, fork.Readers);
            Loss(y, fork[square], fork[weighted]).backward();
            Loss(plain.Run(null), plain.X, plain.X).backward();
            Assert.IsLessThan(Share, KernelData.Error(plain.X.grad!, fused.X.grad!), $"planes: {planes}");
            Assert.IsLessThan(Share, KernelData.Error(plain.Weight.grad!, fused.Weight.grad!), "weight");
        }

        static Tensor Loss(Tensor y, Tensor square, Tensor weighted) =>
            (y * y).sum() + (square * square).sum() + (weighted * KernelData.Draw(9, weighted.shape).to(weighted.dtype)).sum();
    }

    [TestMethod]
    [DynamicData(nameof(Operators))]
    public void ReadersWithoutAGradientCountAsZero(string name)
    {
        using var scope = NewDisposeScope();
        foreach (bool result in (bool[])[false, true])
        {
            var (plain, fused) = (new Reading(name, float64), new Reading(name, name == "plain" ? float64 : float32));
            using var fork = new Fork();
            int used = fork.Add();
            fork.Add();
            Tensor y = fused.Run(fork);
            (result ? y.sum() : (fork[used] * 3).sum()).backward();
            (result ? plain.Run(null).sum() : (plain.X * 3).sum()).backward();
            Assert.IsLessThan(Share, KernelData.Error(plain.X.grad!, fused.X.grad!), $"the result is used: {result}");
        }
    }

    [TestMethod]
    [DynamicData(nameof(Operators))]
    public void EveryReaderSeesTheInput(string name)
    {
        using var scope = NewDisposeScope();
        var reading = new Reading(name, name == "plain" ? float64 : float32);
        foreach (bool gradients in (bool[])[false, true])
        {
            using var mode = enable_grad(gradients);
            using var fork = new Fork();
            int reader = fork.Add();
            reading.Run(fork);
            Assert.IsTrue(fork[reader].Equals(reading.X), $"with a graph: {gradients}");
        }
    }

    [TestMethod]
    [DynamicData(nameof(Operators))]
    public void NoTensorIsLeftBehind(string name)
    {
        using var scope = NewDisposeScope();
        var reading = new Reading(name, name == "plain" ? float64 : float32);
        Train();
        long before = Live;
        for (int i = 0; i < 3; i++)
            Train();
        Assert.AreEqual(before, Live, "after training");
        for (int i = 0; i < 3; i++)
        {
            using var untracked = no_grad();
            using var fork = new Fork();
            int taken = fork.Add();
            fork.Add();
            reading.Run(fork).Dispose();
            fork.Take(taken).Dispose();
        }
        Assert.AreEqual(before, Live, "after running");

        void Train()
        {
            using (var fork = new Fork())
            {
                int kept = fork.Add(), taken = fork.Add();
                using Tensor y = reading.Run(fork);
                using Tensor own = fork.Take(taken);
                using Tensor sum = y.sum(), first = fork[kept].sum(), second = own.sum(), some = sum + first, loss = some + second;
                loss.backward();
            }
            KernelData.ClearGradients([reading.X, reading.Weight]);
        }
    }

    /// <summary>One operator over inputs of its own, in float32 as the library runs it and in float64 by libtorch.</summary>
    private sealed class Reading
    {
        private const int Channels = 8, Outputs = 12, Groups = 4;

        private readonly string _name;
        private readonly Tensor _normWeight;
        private readonly Tensor _normBias;

        public Reading(string name, ScalarType type, bool planes = false)
        {
            _name = name;
            int kernel = name == "normed product" ? 1 : 3;
            Tensor x = planes ? KernelData.Draw(1, 2, Channels, 6, 6) : KernelData.Draw(1, 2, 6, 6, Channels).permute(0, 3, 1, 2);
            X = x.to(type, copy: true).requires_grad_();
            Weight = KernelData.Draw(2, Outputs, Channels, kernel, kernel).to(type).requires_grad_();
            _normWeight = (KernelData.Draw(4, Channels) + 1).to(type);
            _normBias = KernelData.Draw(5, Channels).to(type);
        }

        public Tensor X { get; }

        public Tensor Weight { get; }

        /// <summary>Runs it.</summary>
        /// <param name="fork">The readers; null: libtorch's operators.</param>
        public Tensor Run(Fork? fork)
        {
            if (fork is null)
            {
                Tensor entered = _name.StartsWith("normed", StringComparison.Ordinal) ? nn.functional.silu(nn.functional.group_norm(X, Groups, _normWeight, _normBias, 1e-5)) : X;
                return nn.functional.conv2d(entered, Weight, null, _name == "strided product" ? [2, 2] : [1, 1], _name == "normed product" ? [0, 0] : [1, 1]);
            }
            var norm = new NormArguments(_normWeight, _normBias, null, new NormSettings(Groups, 1e-5, Silu: true));
            return _name switch
            {
                "normed convolution" => LayerMath.Convolve(X, Weight, null, norm, null, fork),
                "normed product" => LayerMath.Project(X, Weight, null, norm, null, fork),
                "strided product" => LayerMath.Convolve(X, Weight, null, [2, 2], [1, 1], fork),
                _ => LayerMath.Convolve(X, Weight, null, [1, 1], [1, 1], fork),
            };
        }
    }
}
