using TorchSharp.Modules;

namespace Microsoft.ML.Diffusion.Tests;

/// <summary>Held against PyTorch 1.13's AdamW and clip_grad_norm_ on f(w) = Σ c·(w−d)² + Σ w³/3, 25 steps.</summary>
[TestClass]
public sealed class FlatAdamTests
{
    private static readonly float[] Start = [1.0f, 0.0f, -1.0f, 0.5f, 2.0f, -0.5f, 0.125f];
    private static readonly float[] D = [0.5f, -1.0f, 2.0f, 0.25f, -0.75f, 1.5f, -2.0f];
    private static readonly float[] C = [1.0f, 3.0f, 0.1f, 10.0f, 0.5f, 2.0f, 0.01f];

    [TestMethod]
    [DataRow("plain", 0.1, null, 0.0, new[] { 0.4826271, -1.5556273, -3.6881492, 0.1982865, -0.0247632, 1.4148117, -2.464144 },
        new[] { 0.4133781, -1.5161404, -3.378275, 0.2166357, 0.1266389, 1.3181072, -2.1597115 }, 13.018936157226562)]
    [DataRow("clip", 0.05, 1.0, 0.0, new[] { 0.3204686, -1.156611, -2.3486252, 0.2578634, 0.7629058, 0.7550359, -1.1861309 },
        new[] { 0.3038113, -1.05598, -2.1936814, 0.2737107, 0.8872323, 0.6283156, -1.0355001 }, 5.781367301940918)]
    [DataRow("decay", 0.1, null, 0.1, new[] { 0.4797869, -1.4224485, -3.1843178, 0.2025, -0.156118, 1.3126467, -2.224859 },
        new[] { 0.4171362, -1.3935845, -2.9499305, 0.2164678, -0.0155299, 1.232635, -1.9688171 }, 9.792374610900879)]
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
                Assert.AreEqual(13.166277885437012, norm, 1e-5);
        }

        Assert.AreEqual(lastNorm, norm, 1e-4);
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
        var loss = (tensor(C) * (w - tensor(D)).square()).sum() + w.pow(3).sum() / 3;
        loss.backward();
    }

    private static void AssertClose(double[] expected, float[] actual)
    {
        for (int i = 0; i < expected.Length; i++)
            Assert.AreEqual(expected[i], actual[i], 2e-6 * Math.Max(1, Math.Abs(expected[i])), $"weight {i}");
    }
}
