using Microsoft.ML.Data;

namespace Microsoft.ML.Diffusion.Tests;

/// <summary>EvaluateLikelihood over data views, against the bound computed by hand from the same network.</summary>
[TestClass]
public sealed class DdpmLikelihoodTests
{
    private static MLContext s_context = null!;
    private static TransformerChain<DdpmTransformer> s_model = null!;

    [ClassInitialize]
    public static void Train(TestContext _)
    {
        s_context = new MLContext(seed: 1);
        var options = TinyData.Options(steps: 30);
        options.Variance = VarianceType.FixedSmall;
        s_model = TinyData.Fit(s_context, options);
    }

    [ClassCleanup]
    public static void Free() => s_model.Dispose();

    [TestMethod]
    public void TheTermsSumToTheTotalAndThePriorIsKnown()
    {
        var metrics = s_context.Generative.EvaluateLikelihood(s_model, Data(6));
        Assert.AreEqual(6, metrics.RowCount);
        Assert.AreEqual(50, metrics.Terms.Count);
        Assert.AreEqual(metrics.BitsPerDimension, metrics.Terms.Sum() + metrics.Prior, 1e-6);

        // L_T depends on the data and the schedule alone (Ho et al. 2020, equation 5).
        using var scope = NewDisposeScope();
        using var diffusion = new GaussianDiffusion((NoiseScheduleOptions.Cosine with { Timesteps = 50 }).Build());
        var images = tensor(TinyData.Pictures(6).SelectMany(p => p.Image).ToArray(), [6, 1, 8, 8]).div(127.5).sub(1);
        Assert.AreEqual(VariationalBound.Prior(diffusion, images).mean().item<float>(), metrics.Prior, 1e-6);
    }

    [TestMethod]
    public void ARowsBoundDependsOnNoOtherRow()
    {
        double whole = Evaluate(6, 6), pieces = Evaluate(6, 1), four = Evaluate(6, 4);
        Assert.AreEqual(whole, pieces, 1e-4 * whole);
        Assert.AreEqual(whole, four, 1e-4 * whole);

        static double Evaluate(int rows, int batch) =>
            s_context.Generative.EvaluateLikelihood(s_model, Data(rows), new LikelihoodOptions { BatchSize = batch }).BitsPerDimension;
    }

    [TestMethod]
    public void TrainingBringsTheBoundDown()
    {
        var raw = TinyData.Options(steps: 1);
        (raw.Variance, raw.LearningRate) = (VarianceType.FixedSmall, 1e-9);
        using var untrained = TinyData.Fit(s_context, raw);
        double before = s_context.Generative.EvaluateLikelihood(untrained, Data(8)).BitsPerDimension;
        double after = s_context.Generative.EvaluateLikelihood(s_model, Data(8)).BitsPerDimension;
        Assert.IsLessThan(before, after);
    }

    [TestMethod]
    public void FewerStepsAndRowsAreCheaper()
    {
        var metrics = s_context.Generative.EvaluateLikelihood(s_model, Data(8), new LikelihoodOptions { Steps = 10, MaximumRows = 3 });
        Assert.AreEqual(3, metrics.RowCount);
        Assert.AreEqual(10, metrics.Terms.Count);
    }

    [TestMethod]
    public void WhatCannotBeEvaluatedIsRefusedByName()
    {
        var mapping = ((IEnumerable<ITransformer>)s_model).First();
        StringAssert.Contains(Assert.ThrowsExactly<ArgumentException>(() => s_context.Generative.EvaluateLikelihood(mapping, Data(1))).Message, "DdpmTransformer");
        StringAssert.Contains(Assert.ThrowsExactly<ArgumentException>(
            () => s_context.Generative.EvaluateLikelihood(s_model, Data(1), new LikelihoodOptions { Steps = 0 })).Message, "Steps");
        var requests = s_context.Data.LoadFromEnumerable(TinyData.Requests(2));
        StringAssert.Contains(Assert.ThrowsExactly<ArgumentOutOfRangeException>(() => s_context.Generative.EvaluateLikelihood(s_model, requests)).Message, "'Image'");
        var none = s_context.Data.LoadFromEnumerable(Array.Empty<TinyData.Picture>());
        Assert.ThrowsExactly<InvalidOperationException>(() => s_context.Generative.EvaluateLikelihood(s_model, none));
    }

    private static IDataView Data(int rows) => s_context.Data.LoadFromEnumerable(TinyData.Pictures(rows));
}
