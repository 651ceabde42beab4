namespace Microsoft.ML.Diffusion.Tests;

[TestClass]
public class LikelihoodTests
{
    private static LikelihoodMetrics Evaluate(params int[] batchSizes)
    {
        using var scope = NewDisposeScope();
        using var diffusion = new GaussianDiffusion((NoiseScheduleOptions.Cosine with { Timesteps = 20 }).Build(), PredictionType.Epsilon, VarianceType.FixedLarge);
        using var generator = new Generator(5);
        var images = randint(0, 256, [5, 1, 4, 4], ScalarType.Float32, generator: generator).div(127.5).sub(1);
        return LikelihoodEvaluator.Evaluate(diffusion, Batches(images, batchSizes));
    }

    private static IEnumerable<LikelihoodEvaluator.Batch> Batches(Tensor images, int[] sizes)
    {
        var start = 0;
        foreach (var size in sizes)
        {
            var seeds = Enumerable.Range(start, size).Select(row => (long)row).ToArray();
            yield return new(images.narrow(0, start, size).clone(), (x, _) => x.mul(0.5), seeds);
            start += size;
        }
    }

    [TestMethod]
    public void TheBoundDoesNotDependOnTheBatches()
    {
        LikelihoodMetrics whole = Evaluate(5), split = Evaluate(2, 1, 2);
        Assert.AreEqual(5, whole.RowCount);
        Assert.AreEqual(whole.BitsPerDimension, split.BitsPerDimension, 1e-5);
        Assert.AreEqual(whole.StandardError, split.StandardError, 1e-5);
        for (var t = 0; t < 20; t++)
            Assert.AreEqual(whole.Terms[t], split.Terms[t], 1e-5);
    }

    [TestMethod]
    public void TheTermsSumToTheTotal()
    {
        var metrics = Evaluate(5);
        Assert.HasCount(20, metrics.Terms);
        Assert.AreEqual(metrics.Terms.Sum() + metrics.Prior, metrics.BitsPerDimension, 1e-12);
        Assert.AreEqual(metrics.BitsPerDimension, metrics.Decoder + metrics.Rate + metrics.Prior, 1e-12);
        Assert.IsGreaterThan(0, metrics.StandardError);
        StringAssert.Contains(metrics.ToString(), "5 rows");
    }

    [TestMethod]
    public void NoRowsHaveNoBound() => Assert.ThrowsExactly<InvalidOperationException>(() => Evaluate());
}
