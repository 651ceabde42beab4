namespace Microsoft.ML.Diffusion.Tests;

/// <summary>The mistakes that implementations of the process have made; each test fails where one is made again.</summary>
[TestClass]
public sealed class ProcessTrapTests
{
    [TestMethod]
    public void FixedVariancesAtTheFirstStep()
    {
        using var scope = NewDisposeScope();
        var schedule = NoiseScheduleOptions.Linear.Build();
        Tensor x = zeros(1, 1, 1, 1), t = zeros(1, ScalarType.Int64);
        using var small = new GaussianDiffusion(schedule, variance: VarianceType.FixedSmall);
        using var large = new GaussianDiffusion(schedule, variance: VarianceType.FixedLarge);
        var second = small.Coefficients.PosteriorVariance[1];

        var step = small.PMeanVariance(x, x, t);
        Assert.AreEqual(0f, step.Variance.item<float>(), "the posterior of the first step is a point");
        Assert.AreEqual(Math.Log(second), step.LogVariance.item<float>(), 1e-5, "its log variance is that of t = 1");
        step = large.PMeanVariance(x, x, t);
        Assert.AreEqual(second, step.Variance.item<float>(), 1e-9, "the large variance too starts with that of t = 1");
        Assert.AreEqual(Math.Log(second), step.LogVariance.item<float>(), 1e-5);
    }

    [TestMethod]
    public void NoNoiseIsAddedAtTheFirstStep()
    {
        using var scope = NewDisposeScope();
        using var diffusion = new GaussianDiffusion(NoiseScheduleOptions.Linear.Build());
        Tensor x = full(2, 1, 1, 1, 0.1), t = tensor(new long[] { 0, 1 }), noise = ones(2, 1, 1, 1);
        var step = diffusion.PMeanVariance(zeros_like(x), x, t);
        var added = (diffusion.PSample(step, t, noise) - step.Mean).flatten().data<float>().ToArray();
        Assert.AreEqual(0f, added[0]);
        Assert.AreEqual(Math.Sqrt(diffusion.Schedule.Betas[1]), added[1], 1e-6);
    }

    [TestMethod]
    public void DdimTakesEpsilonFromTheClippedImage()
    {
        using var scope = NewDisposeScope();
        using var diffusion = new GaussianDiffusion((NoiseScheduleOptions.Linear with { Timesteps = 100 }).Build());
        // A prediction that puts x_0 far outside [−1, 1].
        Tensor x = full(1, 1, 1, 1, 2.0), t = full(1, 60, ScalarType.Int64), predicted = full(1, 1, 1, 1, -1.0);
        var step = diffusion.PMeanVariance(predicted, x, t, X0Threshold.Clip);
        Assert.AreEqual(1f, step.X0.item<float>());
        double alphaBar = diffusion.Schedule.AlphaBar(60), previous = diffusion.Schedule.AlphaBar(59);
        var consistent = (2 - Math.Sqrt(alphaBar)) / Math.Sqrt(1 - alphaBar);
        var want = Math.Sqrt(previous) + Math.Sqrt(1 - previous) * consistent;
        Assert.AreEqual(want, diffusion.DdimStep(step.X0, x, t, zeros_like(x)).item<float>(), 1e-5);
    }

    [TestMethod]
    public void ClippingKeepsErrorsAtHighNoiseFromLeavingTheRange()
    {
        using var scope = NewDisposeScope();
        using var diffusion = new GaussianDiffusion(NoiseScheduleOptions.Linear.Build());
        Tensor x = full(1, 1, 1, 1, 1.0), t = full(1, 999, ScalarType.Int64), wrong = full(1, 1, 1, 1, 0.9);
        Assert.AreEqual(1f, diffusion.PMeanVariance(wrong, x, t).X0.item<float>(), "clipping is the default");
        Assert.IsGreaterThan(10f, diffusion.PMeanVariance(wrong, x, t, X0Threshold.None).X0.item<float>());
    }

    [TestMethod]
    public void DynamicThresholdScalesEachImageByItself()
    {
        using var scope = NewDisposeScope();
        var values = tensor(new[] { -4f, 2f, 1f, 0.5f, 0.5f, -0.25f, 0.1f, 0f }).view(2, 1, 2, 2);
        var got = X0Threshold.Dynamic(quantile: 1).Apply(values).flatten().data<float>().ToArray();
        // The first image's largest magnitude is 4, so it is divided by 4; the second is in range and stays.
        CollectionAssert.AreEqual(new[] { -1f, 0.5f, 0.25f, 0.125f, 0.5f, -0.25f, 0.1f, 0f }, got);
        got = X0Threshold.Dynamic(quantile: 1, maximum: 2).Apply(values).flatten().data<float>().ToArray();
        CollectionAssert.AreEqual(new[] { -1f, 1f, 0.5f, 0.25f, 0.5f, -0.25f, 0.1f, 0f }, got);
        Assert.ThrowsExactly<ArgumentException>(() => X0Threshold.Dynamic(quantile: 0));
        Assert.ThrowsExactly<ArgumentException>(() => X0Threshold.Dynamic(maximum: 0.5));
    }

    [TestMethod]
    public void RespacedNetworkIsToldTheTimesOfItsTraining()
    {
        using var scope = NewDisposeScope();
        using var plain = new GaussianDiffusion((NoiseScheduleOptions.Linear with { Timesteps = 400 }).Build());
        using var rescaling = new GaussianDiffusion(plain.Schedule, rescaleTimesteps: true);
        using var few = plain.Respace("4");
        using var fewRescaled = rescaling.Respace("4");
        var t = arange(0, 4, ScalarType.Int64);
        CollectionAssert.AreEqual(new[] { 0f, 133f, 266f, 399f }, few.ModelTime(t).data<float>().ToArray());
        // 1000/T with the ORIGINAL T of 400, not the 4 that are left.
        CollectionAssert.AreEqual(new[] { 0f, 332.5f, 665f, 997.5f }, fewRescaled.ModelTime(t).data<float>().ToArray());
    }

    [TestMethod]
    public void RespacingTwiceIsRespacingOnce()
    {
        using var scope = NewDisposeScope();
        using var original = new GaussianDiffusion(NoiseScheduleOptions.Cosine.Build(), rescaleTimesteps: true);
        using var hundred = original.Respace("ddim100");
        using var twice = hundred.Respace("ddim10");
        using var once = original.Respace("ddim10");
        CollectionAssert.AreEqual(once.TimestepMap.ToArray(), twice.TimestepMap.ToArray());
        new Tolerance(1e-15, 1e-12).Check(once.Schedule.Betas, twice.Schedule.Betas, "betas");
        Assert.AreEqual(1000, twice.OriginalTimesteps);
        Assert.ThrowsExactly<ArgumentException>(() => original.Respace([5, 5]));
        Assert.ThrowsExactly<ArgumentException>(() => original.Respace([999, 1000]));
        Assert.ThrowsExactly<ArgumentException>(() => original.Respace([]));
    }

    [TestMethod]
    public void ProcessOfOneStepIsFinite()
    {
        using var scope = NewDisposeScope();
        using var original = new GaussianDiffusion(NoiseScheduleOptions.Linear.Build());
        using var one = original.Respace([999]);
        Tensor x = full(1, 1, 1, 1, 0.5), t = zeros(1, ScalarType.Int64);
        var step = one.PMeanVariance(zeros_like(x), x, t);
        Assert.IsTrue(step.LogVariance.isfinite().all().item<bool>());
        Assert.AreEqual(step.X0.item<float>(), step.Mean.item<float>(), 1e-6, "one step goes straight to x_0");
    }

    [TestMethod]
    public void WrongShapesAreNamed()
    {
        using var scope = NewDisposeScope();
        using var diffusion = new GaussianDiffusion(NoiseScheduleOptions.Linear.Build(), variance: VarianceType.LearnedRange);
        Tensor x = zeros(2, 3, 4, 4), t = zeros(2, ScalarType.Int64);
        StringAssert.Contains(Assert.ThrowsExactly<ArgumentException>(() => diffusion.PMeanVariance(x, x, t)).Message, "must have 6 channels");
        Assert.ThrowsExactly<ArgumentException>(() => diffusion.QSample(x, zeros(3, ScalarType.Int64), x));
        Assert.ThrowsExactly<ArgumentException>(() => diffusion.QSample(x, zeros(2, ScalarType.Float32), x));
        Assert.ThrowsExactly<ArgumentException>(() => diffusion.QSample(x, t, zeros(2, 3, 4, 5)));
    }

    [TestMethod]
    public void NothingIsLeftBehindInTheCallersScope()
    {
        using var scope = NewDisposeScope();
        using var diffusion = new GaussianDiffusion(NoiseScheduleOptions.Linear.Build(), variance: VarianceType.LearnedRange);
        Tensor x = zeros(2, 1, 4, 4), t = full(2, 10, ScalarType.Int64), output = zeros(2, 2, 4, 4);
        var before = scope.DisposablesCount;
        using (var noisy = diffusion.QSample(x, t, x))
        using (var step = diffusion.PMeanVariance(output, noisy, t, X0Threshold.Dynamic()))
        using (var drawn = diffusion.PSample(step, t, x))
        using (var ddim = diffusion.DdimStep(step.X0, noisy, t, x, 1))
        using (var term = VariationalBound.Term(diffusion, output, x, noisy, t))
        using (var prior = VariationalBound.Prior(diffusion, x))
        using (var rows = new DiffusionLoss(diffusion, new DiffusionLossOptions { Type = LossType.Hybrid, MinSnrGamma = 5 }).Compute(output, x, noisy, t, x))
            Assert.AreEqual(before + 1 + 4 + 1 + 1 + 2 + 1 + 3, scope.DisposablesCount, "what a call returns, and nothing else, is the caller's");
        Assert.AreEqual(before, scope.DisposablesCount);
    }

    [TestMethod]
    public void ThreadsShareAProcess()
    {
        using var diffusion = new GaussianDiffusion(NoiseScheduleOptions.Linear.Build());
        Parallel.For(0, 8, thread =>
        {
            using var scope = NewDisposeScope();
            for (var t = 0; t < 50; t++)
            {
                var x = diffusion.QSample(ones(1, 1, 1, 1), full(1, t, ScalarType.Int64), zeros(1, 1, 1, 1));
                Assert.AreEqual(Math.Sqrt(diffusion.Schedule.AlphaBar(t)), x.item<float>(), 1e-6);
            }
        });
    }
}
