using TorchSharp.Modules;

namespace Microsoft.ML.Diffusion.Tests;

/// <summary>Held against PyTorch 1.13's AdamW and clip_grad_norm_ in float64 on f(w) = Σ c·(w−d)², 25 steps.</summary>
[TestClass]
public sealed class FlatAdamTests
{
    private static readonly float[] Start = [1.0f, 0.0f, -1.0f, 0.5f, 2.0f, -0.5f, 0.125f];
    private static readonly float[] D = [0.5f, -1.0f, 2.0f, 0.25f, -0.75f, 1.5f, -2.0f];
    private static readonly float[] C = [1.0f, 3.0f, 0.1f, 10.0f, 0.5f, 2.0f, 0.01f];

    [TestMethod]
    [DataRow("plain", 0.1, null, 0.0, new[] { 0.5998716, -1.1805544, 1.2610427, 0.2035924, -0.2275166, 1.5467372, -1.9648191 },
        new[] { 0.5752552, -1.220442, 1.0622324, 0.2186938, -0.0376088, 1.4046547, -1.8114349 }, 1.7381001807262542)]
    [DataRow("clip", 0.05, 1.0, 0.0, new[] { 0.4992272, -1.0921542, 0.2997001, 0.2453583, 0.7042602, 0.7737452, -1.1541394 },
        new[] { 0.4529654, -1.0151959, 0.157845, 0.2678161, 0.8450429, 0.6391761, -1.0180092 }, 3.5083266139016756)]
    [DataRow("decay", 0.1, null, 0.1, new[] { 0.5817144, -1.1111573, 1.213237, 0.2079686, -0.3609105, 1.4259431, -1.7794026 },
        new[] { 0.565349, -1.1471366, 1.0401558, 0.2188887, -0.1862852, 1.3080048, -1.6535116 }, 1.4291481075676744)]
    public void TakesTheStepsOfPyTorch(string name, double rate, double? clip, double decay, double[] weights, double[] average, double lastNorm)
    {
        Assert.IsNotNull(name);
        using var scope = NewDisposeScope();
        // Two parameters of odd sizes, so that views and vector tails are crossed.
        var first = new Parameter(tensor(Start[..3]));
        var second = new Parameter(tensor(Start[3..]).view(2, 2));
        var optimizer = new FlatAdam([first, second], new AdamOptions { ClipNorm = clip, WeightDecay = decay, EmaDecay = 0.9 });
        double norm = 0;
        for (int step = 1; step <= 25; step++)
        {
            Backward(first, second);
            norm = optimizer.Step(rate);
            if (step == 1)
                Assert.AreEqual(11.572566969374085, norm, 1e-5);
        }

        Assert.AreEqual(lastNorm, norm, 2e-5);
        AssertClose(weights, [.. first.data<float>(), .. second.data<float>()]);
        optimizer.UseAverage();
        AssertClose(average, [.. first.data<float>(), .. second.data<float>()]);
        optimizer.Dispose();
    }

    [TestMethod]
    public void ANonFiniteGradientChangesNothing()
    {
        using var scope = NewDisposeScope();
        var weight = new Parameter(tensor(Start));
        using var optimizer = new FlatAdam([weight], new AdamOptions());
        (weight * float.NaN).sum().backward();
        Assert.IsFalse(double.IsFinite(optimizer.Step(0.1)));
        Assert.AreEqual(0, optimizer.Steps);
        CollectionAssert.AreEqual(Start, weight.data<float>().ToArray());

        weight.square().sum().backward();
        Assert.IsTrue(double.IsFinite(optimizer.Step(0.1)), "The bad gradient must not linger.");
        Assert.AreNotEqual(Start[0], weight.data<float>()[0]);
    }

    [TestMethod]
    public void ARestoredOptimizerGoesOnAsIfNothingHappened()
    {
        using var scope = NewDisposeScope();
        var (first, second) = (new Parameter(tensor(Start[..3])), new Parameter(tensor(Start[3..]).view(2, 2)));
        using var optimizer = new FlatAdam([first, second], new AdamOptions());
        for (int step = 0; step < 5; step++)
        {
            Backward(first, second);
            optimizer.Step(0.1);
        }
        var saved = optimizer.State.ToDictionary(s => s.Name, s => s.Tensor.clone());

        var (again1, again2) = (new Parameter(zeros(3)), new Parameter(zeros(2, 2)));
        using var resumed = new FlatAdam([again1, again2], new AdamOptions());
        resumed.Restore(optimizer.Steps, name => saved[name].clone());
        for (int step = 0; step < 5; step++)
        {
            Backward(first, second);
            Backward(again1, again2);
            Assert.AreEqual(optimizer.Step(0.1), resumed.Step(0.1));
        }
        CollectionAssert.AreEqual(first.data<float>().ToArray(), again1.data<float>().ToArray());
        CollectionAssert.AreEqual(second.data<float>().ToArray(), again2.data<float>().ToArray());
    }

    private static void Backward(Tensor first, Tensor second)
    {
        using var scope = NewDisposeScope();
        var w = cat([first, second.flatten()]);
        var loss = (tensor(C) * (w - tensor(D)).square()).sum();
        loss.backward();
    }

    private static void AssertClose(double[] expected, float[] actual)
    {
        for (int i = 0; i < expected.Length; i++)
            Assert.AreEqual(expected[i], actual[i], 5e-6, $"weight {i}");
    }
}
