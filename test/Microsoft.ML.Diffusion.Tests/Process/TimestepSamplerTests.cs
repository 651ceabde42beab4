using System.Text.Json;

namespace Microsoft.ML.Diffusion.Tests;

[TestClass]
public sealed class TimestepSamplerTests
{
    [TestMethod]
    public void UniformSamplerReachesEveryTimestepAlike()
    {
        using var scope = NewDisposeScope();
        using var generator = new Generator(1);
        var sampler = TimestepSampler.Uniform(10);
        var draw = sampler.Sample(5000, generator);
        var counts = draw.Timesteps.data<long>().ToArray().CountBy(t => t).ToDictionary(pair => pair.Key, pair => pair.Value);
        Assert.HasCount(10, counts);
        // Five standard deviations of a binomial count.
        Assert.IsTrue(counts.Values.All(count => Math.Abs(count - 500) < 5 * Math.Sqrt(450)));
        Assert.IsTrue(draw.Weights.eq(1).all().item<bool>());
        Assert.AreEqual(ScalarType.Int64, draw.Timesteps.dtype);
    }

    [TestMethod]
    public void ImportanceSamplingFollowsTheSecondMoment()
    {
        using var scope = NewDisposeScope();
        var sampler = new LossSecondMomentTimestepSampler(4, history: 2, uniformShare: 0.1);
        CollectionAssert.AreEqual(new[] { 0.25, 0.25, 0.25, 0.25 }, sampler.Probabilities());
        sampler.Update(tensor(new long[] { 0, 1, 2, 3, 0, 1, 2 }), tensor(new[] { 9f, 2f, 3f, 4f, 9f, 2f, 3f }));
        CollectionAssert.AreEqual(new[] { 0.25, 0.25, 0.25, 0.25 }, sampler.Probabilities(), "uniform until every timestep has a full history");
        // The first losses of timestep 0 are forgotten: 3 and 4 stay, root mean square √12.5. A NaN is not remembered.
        sampler.Update(tensor(new long[] { 3, 0, 0, 2 }), tensor(new[] { 4f, 3f, 4f, float.NaN }));
        double[] roots = [Math.Sqrt(12.5), 2, 3, 4];
        new Tolerance(1e-12).Check(Array.ConvertAll(roots, root => 0.9 * root / roots.Sum() + 0.025), sampler.Probabilities(), "probabilities");
    }

    [TestMethod]
    public void WeightsMakeTheMeanThatOfUniformTimesteps()
    {
        using var scope = NewDisposeScope();
        var sampler = new LossSecondMomentTimestepSampler(5, history: 1, uniformShare: 0.01);
        float[] losses = [100, 30, 10, 3, 1];
        sampler.Update(arange(0, 5, ScalarType.Int64), tensor(losses));
        var probabilities = sampler.Probabilities();
        using var generator = new Generator(2);
        var draw = sampler.Sample(4000, generator);
        var timesteps = draw.Timesteps.data<long>().ToArray();
        var weights = draw.Weights.data<float>().ToArray();
        for (var row = 0; row < timesteps.Length; row++)
            Assert.AreEqual(1 / (5 * probabilities[timesteps[row]]), weights[row], 1e-4);
        // Sampling in proportion to the loss makes the weighted loss nearly the same everywhere: hardly any variance is left.
        Assert.AreEqual(losses.Average(), timesteps.Select((t, row) => (double)losses[t] * weights[row]).Average(), 0.5);
        for (var t = 0; t < 5; t++)
            Assert.AreEqual(probabilities[t], timesteps.Count(drawn => drawn == t) / 4000.0, 5 * Math.Sqrt(probabilities[t] / 4000), $"share of timestep {t}");
    }

    [TestMethod]
    public void StateGoesThroughJsonAndBack()
    {
        using var scope = NewDisposeScope();
        var sampler = TimestepSampler.LossSecondMoment(3, history: 2);
        sampler.Update(tensor(new long[] { 0, 1, 2, 0, 1, 2, 0 }), tensor(new[] { 1f, 2f, 3f, 4f, 5f, 6f, 7f }));
        var state = JsonSerializer.Deserialize<TimestepSamplerState>(JsonSerializer.Serialize(sampler.SaveState()))!;
        var restored = TimestepSampler.LossSecondMoment(3, history: 2);
        restored.RestoreState(state);
        Tensor more = tensor(new long[] { 0, 2 }), losses = tensor(new[] { 8f, 9f });
        sampler.Update(more, losses);
        restored.Update(more, losses);
        using Generator first = new(4), second = new(4);
        CollectionAssert.AreEqual(sampler.Sample(50, first).Timesteps.data<long>().ToArray(), restored.Sample(50, second).Timesteps.data<long>().ToArray());
        Assert.ThrowsExactly<ArgumentException>(() => TimestepSampler.LossSecondMoment(3, history: 5).RestoreState(state));
        Assert.ThrowsExactly<ArgumentException>(() => TimestepSampler.Uniform(3).RestoreState(state));
    }
}
