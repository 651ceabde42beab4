using TorchSharp;

namespace Microsoft.ML.Diffusion.Tests;

/// <summary>Networks that run as one pass without tensors, and each operator of a pass, against libtorch's operators in float64; and what a pass leaves behind.</summary>
[TestClass]
public sealed unsafe class HostPassTests
{
    private const double Share = 1e-4;

    private static readonly UNetShape s_shape = new(3, 8, 8, Classes: 3);

    private static long Live => DisposeScopeManager.Statistics.TensorStatistics.ThreadTotalLiveCount;

    public static IEnumerable<object[]> Names => SmallNetworks.Names;

    [TestMethod]
    [DynamicData(nameof(Names))]
    public void EveryGradientIsThatOfThePlainOperators(string name)
    {
        const int batch = 2;
        using var scope = NewDisposeScope();
        using DenoisingNetwork fused = Randomized(SmallNetworks.Build(name)), plain = Randomized(SmallNetworks.Build(name)).to(float64);
        UNetShape shape = fused.Shape;
        Tensor x = SmallNetworks.Noise(batch, shape).requires_grad_(), exact = x.detach().to(float64).requires_grad_(), timesteps = SmallNetworks.Timesteps(3, 100.5f);
        Tensor? labels = SmallNetworks.Labels(batch, shape);
        using var optimizer = new FlatAdam(fused.parameters(), new AdamOptions());
        using var memory = new ParameterMemory(fused.parameters());
        Tensor want = plain.forward(exact, timesteps, labels), dy = KernelData.Draw(4, want.shape);
        (want * dy).sum().backward();
        using (memory.Enter())
        {
            Tensor y = fused.forward(x, timesteps, labels);
            Assert.AreEqual(!name.StartsWith("annotated", StringComparison.Ordinal), memory.Pool.Rented > 0, "all but the annotated network run as one pass");
            Assert.IsLessThan(Share, KernelData.Error(want, y));
            (y * dy.to(float32)).sum().backward();
        }
        Assert.IsLessThan(Share, KernelData.Error(exact.grad!, x.grad!), "input");
        var gradients = plain.named_parameters().ToDictionary(entry => entry.name, entry => entry.parameter.grad);
        foreach (var (path, parameter) in fused.named_parameters())
            Assert.IsLessThan(Share, KernelData.Error(gradients[path]!, parameter.grad!), path);
        Assert.AreEqual(0, memory.Pool.Rented, "blocks that did not come back");
    }

    [TestMethod]
    [DynamicData(nameof(Names))]
    public void WithoutGraphItIsTheSameAsOperatorByOperator(string name)
    {
        using var scope = NewDisposeScope();
        using var untracked = no_grad();
        using DenoisingNetwork network = Randomized(SmallNetworks.Build(name));
        network.eval();
        Tensor x = SmallNetworks.Noise(2, network.Shape);
        Tensor? labels = SmallNetworks.Labels(2, network.Shape);
        // A row for each image, and one for all.
        foreach (float[] timesteps in (float[][])[[3, 100.5f], [7]])
        {
            if (labels is not null && timesteps.Length == 1)
                continue;
            float[] apart = Run(), together;
            using var memory = new ParameterMemory(network.parameters());
            using (memory.Enter())
                together = Run();
            if (IsOfTheSameOperators(network.Options))
                CollectionAssert.AreEqual(apart, together);
            else
                Assert.IsLessThan(Share, Distance(apart, together));
            Assert.AreEqual(0, memory.Pool.Rented);

            float[] Run() => network.forward(x, tensor(timesteps), labels).contiguous().data<float>().ToArray();
        }
    }

    [TestMethod]
    [DynamicData(nameof(TestedUnits.NetworkRows), typeof(TestedUnits))]
    public void WithFewerBitsItIsTheSameAsOperatorByOperator(string unit)
    {
        using var scope = NewDisposeScope();
        foreach (UNetOptions options in (UNetOptions[])[SmallNetworks.Improved, SmallNetworks.Ho, SmallNetworks.Improved with { ConvolutionalResampling = false, AttentionResolutions = [] }])
        {
            using DenoisingNetwork network = Randomized(SmallNetworks.Build(options with { BaseChannels = 32, AttentionHeads = 1 }, s_shape));
            Tensor x = SmallNetworks.Noise(2, s_shape), timesteps = SmallNetworks.Timesteps(3, 100.5f), labels = SmallNetworks.Labels(2, s_shape)!, dy = KernelData.Draw(4, 2, 3, 8, 8).to(float32);
            using var optimizer = new FlatAdam(network.parameters(), new AdamOptions());
            using var memory = new ParameterMemory(network.parameters());
            using var use = TestedUnits.Enter(unit);
            var (apart, gradients) = Run();
            using (memory.Enter())
            {
                var (together, ofPass) = Run();
                if (IsOfTheSameOperators(options))
                    CollectionAssert.AreEqual(apart, together);
                else
                    Assert.IsLessThan(0.01, Distance(apart, together));
                // Sums of three gradients are rounded in another order.
                for (int i = 0; i < gradients.Length; i++)
                    Assert.IsLessThan(0.03, Distance(gradients[i], ofPass[i]), $"parameter {i}");
            }
            Assert.AreEqual(0, memory.Pool.Rented);

            (float[] Output, float[][] Gradients) Run()
            {
                foreach (var parameter in network.parameters())
                    parameter.grad!.zero_().Dispose();
                Tensor y = network.forward(x, timesteps, labels);
                (y * dy).sum().backward();
                return (y.detach().contiguous().data<float>().ToArray(), [.. network.parameters().Select(parameter => parameter.grad!.contiguous().data<float>().ToArray())]);
            }
        }
    }

    [TestMethod]
    public void DropoutDrawsFromTheGivenGeneratorAndItsGradientFollowsTheMask()
    {
        using var scope = NewDisposeScope();
        using DenoisingNetwork network = Randomized(SmallNetworks.Build(SmallNetworks.Improved with { Dropout = 0.5 }, s_shape));
        using var optimizer = new FlatAdam(network.parameters(), new AdamOptions());
        using var memory = new ParameterMemory(network.parameters());
        using var known = memory.Enter();
        Tensor x = SmallNetworks.Noise(2, s_shape), timesteps = SmallNetworks.Timesteps(3, 100.5f), labels = SmallNetworks.Labels(2, s_shape)!;
        network.train();
        Tensor first = Run(5), again = Run(5), other = Run(6);
        Assert.IsTrue(first.Equals(again));
        Assert.IsFalse(first.Equals(other));

        // Along a direction of one weight the gradient is the slope.
        var weight = network.named_parameters().Single(entry => entry.name == "down.0.0.block.norm2.weight").parameter;
        foreach (var parameter in network.parameters())
            parameter.grad!.zero_();
        Tensor direction = KernelData.Draw(8, weight.shape).to(float32);
        Run(5).sum().backward();
        double slope = (weight.grad! * direction).sum().item<float>();
        double above = Moved(1e-2), below = Moved(-1e-2);
        Assert.AreEqual((above - below) / 2e-2, slope, 0.02 * Math.Abs(slope));
        Assert.IsGreaterThan(0, memory.Pool.Rented, "passes whose way back nobody went keep their memory until the pool goes");

        Tensor Run(ulong seed)
        {
            using var generator = new Generator(seed);
            network.DropoutGenerator = generator;
            return network.forward(x, timesteps, labels);
        }

        double Moved(double by)
        {
            using (no_grad())
                weight.add_(direction, by);
            double sum = Run(5).sum().item<float>();
            using (no_grad())
                weight.add_(direction, -by);
            return sum;
        }
    }

    [TestMethod]
    public void NothingIsLeftBehind()
    {
        using DenoisingNetwork network = Randomized(SmallNetworks.Build(SmallNetworks.Improved with { Dropout = 0.1 }, s_shape));
        network.train();
        using var optimizer = new FlatAdam(network.parameters(), new AdamOptions());
        using var memory = new ParameterMemory(network.parameters());
        using var known = memory.Enter();
        using Tensor x = SmallNetworks.Noise(2, s_shape), timesteps = SmallNetworks.Timesteps(3, 100.5f), labels = SmallNetworks.Labels(2, s_shape)!;
        Run();
        long before = Live;
        for (int i = 0; i < 3; i++)
            Run();
        Assert.AreEqual(before, Live);
        Assert.AreEqual(0, memory.Pool.Rented);

        void Run()
        {
            using (Tensor y = network.forward(x, timesteps, labels))
            using (Tensor loss = y.sum())
                loss.backward();
            using var untracked = no_grad();
            network.forward(x, timesteps, labels).Dispose();
        }
    }

    [TestMethod]
    public void ASecondWayBackSaysWhatToDo()
    {
        using var scope = NewDisposeScope();
        using var pool = new HostPool();
        var pass = HostPass.Begin(pool, learns: true);
        using HostImages x = Images(pass, KernelData.Draw(1, 1, 4, 4, 16)), y = pass.Double(x);
        pass.Backward(y, Images(pass, KernelData.Draw(2, 1, 8, 8, 16)));
        var refusal = Assert.ThrowsExactly<InvalidOperationException>(() => pass.Backward(y, x));
        Assert.Contains("run the network once more", refusal.Message);
    }

    [TestMethod]
    public void APoolThatIsGoneGivesNothing()
    {
        var pool = new HostPool();
        void* block = pool.Rent(100);
        Assert.AreEqual(1, pool.Rented);
        pool.Return(block, 100);
        Assert.AreEqual((nint)block, (nint)pool.Rent(100), "the same block comes back");
        Assert.AreNotEqual((nint)block, (nint)pool.Rent(100));
        pool.Dispose();
        Assert.ThrowsExactly<ObjectDisposedException>(() => (nint)pool.Rent(100));
        pool.Return(block, 100);
        pool.Dispose();
    }

    public static IEnumerable<object[]> Operators =>
        from name in (string[])["rows of each image", "a row for all", "factors", "halves", "doubles", "joins", "norm", "norm with a row of each image", "two readers"]
        from channels in (int[])[16, 24, 20]
        select new object[] { name, channels };

    [TestMethod]
    [DynamicData(nameof(Operators))]
    public void EveryOperatorComputesWhatLibtorchDoes(string name, int channels)
    {
        using var scope = NewDisposeScope();
        using var pool = new HostPool();
        var pass = HostPass.Begin(pool, learns: true);
        Tensor x = KernelData.Draw(1, 2, 4, 6, channels).requires_grad_(), other = KernelData.Draw(2, 2, 4, 6, 8).requires_grad_();
        bool perImage = name.EndsWith("each image", StringComparison.Ordinal);
        Tensor rows = KernelData.Draw(3, perImage ? 2 : 1, name.StartsWith("norm", StringComparison.Ordinal) ? 2 * channels : channels).requires_grad_();
        Tensor factors = KernelData.Draw(4, x.shape), weight = (KernelData.Draw(5, channels) + 1).requires_grad_(), bias = KernelData.Draw(6, channels).requires_grad_();
        Tensor narrowRows = rows.detach().to(float32), dRows = zeros(rows.shape);
        Tensor narrowWeight = weight.detach().to(float32), narrowBias = bias.detach().to(float32), dWeight = zeros(channels), dBias = zeros(channels);
        var told = new HostRows(ImageRows.Of(narrowRows), HostMemory.Pointer(dRows));
        var layer = new KnownLayer(
            new(null, null, HostMemory.Pointer(narrowWeight), HostMemory.Pointer(narrowBias)), new LayerMemory(null, null, HostMemory.Pointer(dWeight), HostMemory.Pointer(dBias)));
        HostImages input = Images(pass, x), second = Images(pass, other);
        Tensor planes = x.permute(0, 3, 1, 2);
        var (want, result) = name switch
        {
            "rows of each image" or "a row for all" => (x + rows.reshape(-1, 1, 1, channels), InPlace(() => pass.AddRows(input, told))),
            "factors" => (x * factors, InPlace(() => pass.Multiply(input, shape => factors.to(shape.Type)))),
            "halves" => (nn.functional.avg_pool2d(planes, 2, 2).permute(0, 2, 3, 1), pass.Halve(input)),
            "doubles" => (LayerMath.Double(planes).permute(0, 2, 3, 1), pass.Double(input)),
            "joins" => (cat([x, other], 3), pass.Join(input, second)),
            "norm" => (Normed(null), pass.Normalize(input, layer, new(4, 1e-5, Silu: true), null)),
            "two readers" => (cat([x, x], 3), pass.Join(input, input)),
            _ => (Normed(rows), pass.Normalize(input, layer, new(4, 1e-5, Silu: true), told)),
        };
        Tensor dy = KernelData.Draw(7, want.shape);
        (want * dy).sum().backward();
        Assert.IsLessThan(Share, KernelData.Error(want, Read(result)));
        using (HostImages gradient = Images(pass, dy))
            pass.Backward(result, gradient);
        using (HostImages dx = input.TakeGradient()!)
            Assert.IsLessThan(Share, KernelData.Error(x.grad!, Read(dx)), "input");
        if (name == "joins")
        {
            using HostImages ofOther = second.TakeGradient()!;
            Assert.IsLessThan(Share, KernelData.Error(other.grad!, Read(ofOther)), "the second input");
        }
        if (rows.grad is { } ofRows)
            Assert.IsLessThan(Share, KernelData.Error(ofRows, dRows), "rows");
        if (weight.grad is { } ofWeight)
        {
            Assert.IsLessThan(Share, KernelData.Error(ofWeight, dWeight), "weight");
            Assert.IsLessThan(Share, KernelData.Error(bias.grad!, dBias), "bias");
        }
        input.Dispose();
        second.Dispose();
        if (!ReferenceEquals(result, input))
            result.Dispose();
        Assert.AreEqual(0, pool.Rented);

        HostImages InPlace(Action run)
        {
            run();
            return input;
        }

        Tensor Normed(Tensor? film)
        {
            Tensor y = nn.functional.group_norm(planes, 4, weight, bias, 1e-5);
            if (film is not null)
                y = y * (film.narrow(1, 0, channels).reshape(-1, channels, 1, 1) + 1) + film.narrow(1, channels, channels).reshape(-1, channels, 1, 1);
            return nn.functional.silu(y).permute(0, 2, 3, 1);
        }
    }

    /// <summary>
    /// Whether every operator of a pass is the one that a node of the graph runs: not where libtorch adds rows or takes means, nor where the parts of joined channels fill shorter registers than all of them.
    /// </summary>
    private static bool IsOfTheSameOperators(UNetOptions options) =>
        options.Conditioning == TimestepConditioning.ScaleShift && options.ConvolutionalResampling && options.ChannelMultipliers.All(multiplier => multiplier * options.BaseChannels % 16 == 0);

    /// <summary>Root mean square of the difference, as a share.</summary>
    private static double Distance(float[] a, float[] b) => Math.Sqrt(a.Zip(b).Sum(pair => Math.Pow(pair.First - pair.Second, 2)) / a.Sum(value => (double)value * value));

    public static IEnumerable<object[]> Splits =>
        from channels in (int[][])[[16, 32], [8, 24], [4, 20], [48, 16]]
        from reader in (string[])["normed convolution", "product"]
        select new object[] { channels[0], channels[1], reader };

    [TestMethod]
    [DynamicData(nameof(Splits))]
    public void WhatReadsJoinedChannelsWhereTheyLieComputesWhatItDoesOfACopy(int first, int second, string reader)
    {
        using var scope = NewDisposeScope();
        using var pool = new HostPool();
        int all = first + second;
        ImageOperator run = reader == "product" ? new ProductOperator(16) : new ConvolutionOperator(16, doubled: false);
        Tensor a = KernelData.Draw(1, 2, 8, 8, first).to(float32), b = KernelData.Draw(2, 2, 8, 8, second).to(float32), dy = KernelData.Draw(3, 2, 8, 8, 16);
        Tensor weight = KernelData.Draw(4, 16, 9, all).to(float32), bias = KernelData.Draw(5, 16).to(float32), scale = KernelData.Draw(6, all).to(float32), offset = KernelData.Draw(7, all).to(float32);
        float[][] apart = Run(join: true), together = Run(join: false);
        for (int i = 0; i < apart.Length; i++)
            Assert.IsLessThan(1e-6, Distance(together[i], apart[i]), $"result {i}");
        Assert.AreEqual(0, pool.Rented);

        float[][] Run(bool join)
        {
            var pass = HostPass.Begin(pool, learns: true);
            Tensor[] gradients = [zeros_like(weight), zeros_like(bias), zeros_like(scale), zeros_like(offset)];
            var layer = new KnownLayer(
                new(HostMemory.Pointer(weight), HostMemory.Pointer(bias), HostMemory.Pointer(scale), HostMemory.Pointer(offset)),
                new LayerMemory(HostMemory.Pointer(gradients[0]), HostMemory.Pointer(gradients[1]), HostMemory.Pointer(gradients[2]), HostMemory.Pointer(gradients[3])));
            HostImages x = Images(pass, a), other = Images(pass, b), input = join ? pass.Join(x, other) : Images(pass, cat([a, b], 3));
            HostImages y = pass.Run(run, input, layer, reader == "product" ? null : new NormSettings(4, 1e-5, Silu: true));
            Tensor result = Read(y);
            using (HostImages gradient = Images(pass, dy))
                pass.Backward(y, gradient);
            Tensor[] ofInputs = join ? [TakenFrom(x), TakenFrom(other)] : Apart(TakenFrom(input));
            foreach (HostImages images in (HostImages[])[x, other, input, y])
                images.Dispose();
            return [.. ((Tensor[])[result, .. ofInputs, .. gradients]).Select(tensor => tensor.contiguous().data<float>().ToArray())];
        }

        Tensor[] Apart(Tensor pixels) => [pixels.narrow(3, 0, first), pixels.narrow(3, first, second)];

        static Tensor TakenFrom(HostImages images)
        {
            using HostImages gradient = images.TakeGradient()!;
            return Read(gradient);
        }
    }

    [TestMethod]
    public void WhatCannotReadTwoPiecesSaysSo()
    {
        using var scope = NewDisposeScope();
        using var pool = new HostPool();
        var pass = HostPass.Begin(pool, learns: false);
        HostImages x = Images(pass, KernelData.Draw(1, 1, 4, 4, 16)), joined = pass.Join(x, x);
        var refusal = Assert.ThrowsExactly<InvalidOperationException>(() => pass.Double(joined));
        Assert.Contains("two pieces", refusal.Message);
    }

    private static HostImages Images(HostPass pass, Tensor pixels)
    {
        using Tensor narrow = pixels.detach().to(float32).contiguous();
        var memory = ImageMemory.Of(narrow);
        HostImages images = pass.New(memory.Shape);
        Buffer.MemoryCopy(memory.Numbers, images.Memory.Numbers, memory.Shape.Bytes, memory.Shape.Bytes);
        return images;
    }

    private static Tensor Read(HostImages images)
    {
        Tensor pixels = empty(images.Shape.Sizes);
        images.Memory.Copy(0, (int)images.Shape.Pixels, HostMemory.Pointer(pixels));
        return pixels;
    }

    private static DenoisingNetwork Randomized(DenoisingNetwork network)
    {
        SmallNetworks.Randomize(network);
        return network;
    }
}
