using TorchSharp;

namespace Microsoft.ML.Diffusion.Tests;

[TestClass]
public sealed class DenoisingNetworkTests
{
    public static IEnumerable<object[]> Kinds => SmallNetworks.Names;

    [TestMethod]
    [DynamicData(nameof(Kinds))]
    public void ParametersAreThoseOfTheTable(string kind)
    {
        using var scope = NewDisposeScope();
        using var network = SmallNetworks.Build(kind);
        string[] built = [.. network.named_parameters().Select(entry => $"{entry.name} [{string.Join(", ", entry.parameter.shape)}]")];
        string[] table = [.. ParameterTable.For(network.Options, network.Shape).Select(entry => $"{entry.Name} [{string.Join(", ", entry.Shape)}]")];
        CollectionAssert.AreEquivalent(table, built);
        CollectionAssert.AreEquivalent(built, network.state_dict().Select(entry => $"{entry.Key} [{string.Join(", ", entry.Value.shape)}]").ToArray(), "state_dict");
        Assert.AreEqual(network.Options.CountParameters(network.Shape), network.parameters().Sum(parameter => parameter.numel()));
    }

    [TestMethod]
    [DynamicData(nameof(Kinds))]
    public void AnEmbeddingComputedOnceGivesTheSameAsForward(string kind)
    {
        using var scope = NewDisposeScope();
        using var untracked = no_grad();
        using var network = SmallNetworks.Build(kind);
        SmallNetworks.Randomize(network);
        network.eval();
        Tensor x = SmallNetworks.Noise(3, network.Shape), t = SmallNetworks.Timesteps(0, 10.5f, 999);
        Tensor? labels = SmallNetworks.Labels(3, network.Shape);
        Tensor whole = network.forward(x, t, labels);
        CollectionAssert.AreEqual(new long[] { 3, network.Shape.Outputs, network.Shape.Height, network.Shape.Width }, whole.shape);
        Assert.IsTrue(Tolerance.Values(whole).All(double.IsFinite));

        using var all = network.Embed(t, labels);
        for (int i = 0; i < 3; i++)
        {
            // One row's embedding, for two images at once.
            using var row = all.Slice(i, 1);
            Tensor image = x.narrow(0, i, 1), twice = cat([image, image], 0);
            Tensor got = network.Run(twice, row);
            for (int copy = 0; copy < 2; copy++)
                new Tolerance(2e-5, 1e-5).Check(whole.narrow(0, i, 1), got.narrow(0, copy, 1), $"row {i}");
        }
    }

    [TestMethod]
    [DynamicData(nameof(Kinds))]
    public void AForwardLeavesNothingBehindButItsOutput(string kind)
    {
        using var network = SmallNetworks.Build(kind);
        using var scope = NewDisposeScope();
        Tensor x = SmallNetworks.Noise(2, network.Shape), t = SmallNetworks.Timesteps(3, 500);
        Tensor? labels = SmallNetworks.Labels(2, network.Shape);
        int before = scope.DisposablesCount;
        Tensor output = network.forward(x, t, labels);
        Assert.AreEqual(1, scope.DisposablesCount - before, "with gradients");
        output.Dispose();
        using (no_grad())
            network.forward(x.to(ScalarType.BFloat16), t, labels);
        Assert.AreEqual(2, scope.DisposablesCount - before, "the input in bfloat16 and the output");
    }

    [TestMethod]
    [DynamicData(nameof(Kinds))]
    public void TimestepClassAndImageReachTheOutput(string kind)
    {
        using var scope = NewDisposeScope();
        using var network = SmallNetworks.Build(kind);
        SmallNetworks.Randomize(network);
        Tensor x = SmallNetworks.Noise(2, network.Shape), t = SmallNetworks.Timesteps(3, 500);
        Tensor output = network.forward(x, t, SmallNetworks.Labels(2, network.Shape));
        (output * output).mean().backward();
        foreach (var (name, parameter) in network.named_parameters())
        {
            Assert.IsNotNull(parameter.grad, name);
            Assert.IsTrue(parameter.grad.abs().sum().item<float>() > 0, $"{name} has no gradient: it is not used");
        }
    }

    [TestMethod]
    [DataRow("improved")]
    [DataRow("ho, not square")]
    [DataRow("learned variance and classes")]
    public void TheOutputStartsAtZero(string kind)
    {
        using var scope = NewDisposeScope();
        using var network = SmallNetworks.Build(kind);
        Tensor output = network.forward(SmallNetworks.Noise(2, network.Shape), SmallNetworks.Timesteps(1, 2), SmallNetworks.Labels(2, network.Shape));
        Assert.AreEqual(0f, output.abs().max().item<float>());

        var zero = network.named_parameters().Where(entry => entry.parameter.abs().max().item<float>() == 0 && entry.name.EndsWith(".weight", StringComparison.Ordinal)).Select(entry => entry.name).ToArray();
        string[] expected = [.. network.named_parameters().Select(entry => entry.name).Where(name =>
            name.EndsWith("block.conv2.weight", StringComparison.Ordinal) || name.EndsWith("attention.out.weight", StringComparison.Ordinal) || name == "out.conv.weight")];
        CollectionAssert.AreEquivalent(expected, zero);
    }

    [TestMethod]
    [DataRow(WeightInitialization.KaimingUniform)]
    [DataRow(WeightInitialization.VarianceScaling)]
    public void WeightsAreDrawnAsStated(WeightInitialization initialization)
    {
        using var scope = NewDisposeScope();
        using var generator = new Generator(7);
        var init = new WeightInitializer(initialization, generator);
        double[] weight = Tolerance.Values(init.Weight([64, 32, 3, 3]));
        double bound = initialization == WeightInitialization.KaimingUniform ? 1 / Math.Sqrt(32 * 9) : Math.Sqrt(3 / ((32 * 9 + 64 * 9) / 2.0));
        Assert.IsTrue(weight.All(value => Math.Abs(value) <= bound * (1 + 1e-6)));
        Assert.AreEqual(bound / Math.Sqrt(3), Math.Sqrt(weight.Average(value => value * value)), bound * 0.01, "the deviation of a uniform variable");
        double[] bias = Tolerance.Values(init.Bias(4096, 32 * 9));
        Assert.AreEqual(initialization == WeightInitialization.KaimingUniform ? 1 / Math.Sqrt(3 * 32 * 9) : 0, Math.Sqrt(bias.Average(value => value * value)), 1e-3);
    }

    [TestMethod]
    public void TheSameSeedGivesTheSameWeightsAndAnotherOthers()
    {
        using var scope = NewDisposeScope();
        using var a = SmallNetworks.Build("improved", seed: 5);
        using var b = SmallNetworks.Build("improved", seed: 5);
        using var c = SmallNetworks.Build("improved", seed: 6);
        Assert.IsTrue(Weights(a).SequenceEqual(Weights(b)));
        Assert.IsFalse(Weights(a).SequenceEqual(Weights(c)));
    }

    [TestMethod]
    public void ANetworkOutlivesTheScopeItWasBuiltIn()
    {
        DenoisingNetwork network;
        using (NewDisposeScope())
            network = SmallNetworks.Build("improved");
        using (network)
        using (NewDisposeScope())
            Assert.IsTrue(Weights(network).Any(value => value != 0));
    }

    [TestMethod]
    public void ItFollowsToAnotherType()
    {
        using var scope = NewDisposeScope();
        using var untracked = no_grad();
        using var network = SmallNetworks.Build("learned variance and classes");
        SmallNetworks.Randomize(network);
        network.eval();
        Tensor x = SmallNetworks.Noise(2, network.Shape), t = SmallNetworks.Timesteps(3, 500);
        Tensor? labels = SmallNetworks.Labels(2, network.Shape);
        Tensor single = network.forward(x, t, labels);
        network.to(ScalarType.Float64);
        Assert.IsTrue(network.parameters().All(parameter => parameter.dtype == ScalarType.Float64));
        Tensor wide = network.Run(x.to(ScalarType.Float64), network.Embed(t, labels));
        Assert.AreEqual(ScalarType.Float64, wide.dtype);
        new Tolerance(2e-5, 1e-5).Check(wide, single, "float32 against float64");
    }

    [TestMethod]
    [DataRow("learned variance and classes")]
    [DataRow("ho, not square")]
    [DataRow("annotated")]
    public void ItRunsInTheTypeOfItsInput(string kind)
    {
        using var scope = NewDisposeScope();
        using var untracked = no_grad();
        using var network = SmallNetworks.Build(kind);
        SmallNetworks.Randomize(network);
        network.eval();
        Tensor x = SmallNetworks.Noise(2, network.Shape);
        using var embedding = network.Embed(SmallNetworks.Timesteps(3, 500), SmallNetworks.Labels(2, network.Shape));
        double[] single = Tolerance.Values(network.Run(x, embedding));
        Tensor half = network.Run(x.to(ScalarType.BFloat16), embedding);
        Assert.AreEqual(ScalarType.BFloat16, half.dtype);
        Assert.IsTrue(network.parameters().All(parameter => parameter.dtype == ScalarType.Float32));
        double error = Math.Sqrt(Tolerance.Values(half).Zip(single, (a, b) => (a - b) * (a - b)).Average());
        double size = Math.Sqrt(single.Average(value => value * value));
        // bfloat16 keeps 8 bits: each of some ten layers adds a rounding of 2^-9.
        Assert.IsTrue(error < 0.03 * size, $"off by {error:g3} of {size:g3}");
    }

    [TestMethod]
    public void DropoutIsDrawnFromTheGivenGeneratorAndOffOutsideTraining()
    {
        using var scope = NewDisposeScope();
        using var untracked = no_grad();
        using var network = SmallNetworks.Build(SmallNetworks.Improved with { Dropout = 0.5 }, new(3, 16, 16));
        using var plain = SmallNetworks.Build(SmallNetworks.Improved, new(3, 16, 16));
        SmallNetworks.Randomize(network);
        SmallNetworks.Randomize(plain);
        Tensor x = SmallNetworks.Noise(2, network.Shape), t = SmallNetworks.Timesteps(3, 500);
        double[] Run(ulong seed)
        {
            using var generator = new Generator(seed);
            network.DropoutGenerator = generator;
            return Tolerance.Values(network.forward(x, t, null));
        }

        network.train();
        double[] first = Run(1), again = Run(1), other = Run(2);
        CollectionAssert.AreEqual(first, again);
        Assert.IsFalse(first.SequenceEqual(other), "another generator leaves other activations out");
        network.eval();
        double[] evaluated = Tolerance.Values(network.forward(x, t, null));
        CollectionAssert.AreEqual(Tolerance.Values(plain.forward(x, t, null)), evaluated);
        Assert.IsFalse(first.SequenceEqual(evaluated));
    }

    [TestMethod]
    [DataRow("improved")]
    [DataRow("annotated")]
    public void TheNormsEpsilonIsTheOptions(string kind)
    {
        using var scope = NewDisposeScope();
        using var untracked = no_grad();
        var (options, shape) = SmallNetworks.Kinds[kind];
        double[] Output(double epsilon)
        {
            using var network = SmallNetworks.Build(options with { NormEpsilon = epsilon }, shape);
            SmallNetworks.Randomize(network);
            return Tolerance.Values(network.forward(SmallNetworks.Noise(1, shape), SmallNetworks.Timesteps(9), SmallNetworks.Labels(1, shape)));
        }
        double difference = Output(1e-5).Zip(Output(1e-2), (a, b) => Math.Abs(a - b)).Max();
        Assert.IsTrue(difference is > 1e-4 and < 1, $"{difference}");
    }

    [TestMethod]
    public void DropoutKeepsTheMeanAndLeavesTheStatedShareOut()
    {
        using var scope = NewDisposeScope();
        using var generator = new Generator(4);
        double[] kept = Tolerance.Values(new DropoutMask(0.3, generator).Apply(ones(100_000), training: true));
        Assert.AreEqual(0.3, kept.Count(value => value == 0) / 100_000.0, 0.01);
        Assert.IsTrue(kept.All(value => value == 0 || Math.Abs(value - 1 / 0.7) < 1e-6));
    }

    [TestMethod]
    public void ItRunsOnOtherSizesThatItsResolutionsDivide()
    {
        using var scope = NewDisposeScope();
        using var untracked = no_grad();
        using var network = SmallNetworks.Build("improved");
        using var embedding = network.Embed(SmallNetworks.Timesteps(5), null);
        CollectionAssert.AreEqual(new long[] { 1, 3, 8, 22 }, network.Run(zeros(1, 3, 8, 22), embedding).shape);
        var refused = Assert.ThrowsExactly<ArgumentException>(() => network.Run(zeros(1, 3, 8, 21), embedding));
        StringAssert.Contains(refused.Message, "multiples of 2, not 8x21");
        Assert.ThrowsExactly<ArgumentException>(() => network.Run(zeros(1, 1, 8, 8), embedding));
        Assert.ThrowsExactly<ArgumentException>(() => network.Run(zeros(3, 3, 8, 8), network.Embed(SmallNetworks.Timesteps(1, 2), null)));
    }

    [TestMethod]
    public void LabelsMustFitTheNetwork()
    {
        using var scope = NewDisposeScope();
        using var none = SmallNetworks.Build("improved");
        using var some = SmallNetworks.Build("learned variance and classes");
        Tensor t = SmallNetworks.Timesteps(1, 2);
        StringAssert.Contains(Assert.ThrowsExactly<ArgumentException>(() => none.Embed(t, tensor(new long[] { 0, 1 }))).Message, "without classes");
        StringAssert.Contains(Assert.ThrowsExactly<ArgumentException>(() => some.Embed(t, null)).Message, "5 for the null class");
        Assert.ThrowsExactly<ArgumentException>(() => some.Embed(t, tensor(new long[] { 0, 1, 2 })));
        // The null class has a row of its own.
        double[] embedded = Tolerance.Values(some.Embed(t.narrow(0, 0, 1), tensor(new long[] { 5 })).Projections[0]);
        double[] other = Tolerance.Values(some.Embed(t.narrow(0, 0, 1), tensor(new long[] { 4 })).Projections[0]);
        Assert.IsFalse(embedded.SequenceEqual(other));
    }

    private static double[] Weights(DenoisingNetwork network) => [.. network.parameters().SelectMany(Tolerance.Values)];
}
