using System.Text.Json;

namespace Microsoft.ML.Diffusion.Tests;

[TestClass]
public sealed class ScheduleTests
{
    [TestMethod]
    public void FirstTimestepIsOneStepOfNoiseNotNone()
    {
        var schedule = NoiseScheduleOptions.Linear.Build();
        Assert.AreEqual(1 - 1e-4, schedule.AlphaBar(0), 1e-15);
        Assert.AreEqual(1, schedule.AlphaBar(-1));
        using var scope = NewDisposeScope();
        using var diffusion = new GaussianDiffusion(schedule);
        var x = diffusion.QSample(zeros(1, 1, 1, 1), zeros(1, ScalarType.Int64), ones(1, 1, 1, 1));
        Assert.AreEqual(0.01, x.item<float>(), 1e-7);
    }

    [TestMethod]
    public void CosineBetasAreClipped()
    {
        Assert.AreEqual(0.999, NoiseScheduleOptions.Cosine.Build().Betas[^1]);
        // Without the clip the last step would leave no signal and epsilon prediction would divide by zero.
        Assert.IsFalse(NoiseScheduleOptions.Cosine.Build().HasZeroTerminalSnr);
        Assert.AreEqual(0.5, (NoiseScheduleOptions.Cosine with { MaximumBeta = 0.5 }).Build().Betas.ToArray().Max());
    }

    [TestMethod]
    public void LinearScheduleEndsEquallyNoisyWhateverT()
    {
        double Last(NoiseScheduleOptions options, int timesteps) => (options with { Timesteps = timesteps }).Build().AlphasCumprod[^1];
        var thousand = Last(NoiseScheduleOptions.Linear, 1000);
        Assert.AreEqual(Math.Log(thousand), Math.Log(Last(NoiseScheduleOptions.Linear, 4000)), 0.1);
        Assert.AreEqual(Math.Log(thousand), Math.Log(Last(NoiseScheduleOptions.Linear, 250)), 0.3);
        // The unscaled one of 200 steps keeps 13 % of the signal: sampling from pure noise starts where training never was.
        Assert.IsGreaterThan(0.1, Last(NoiseScheduleOptions.UnscaledLinear, 200));
    }

    [TestMethod]
    [DataRow(1)]
    [DataRow(19)]
    public void LinearScheduleRefusesFewerThan20Timesteps(int timesteps)
    {
        var refusal = Assert.ThrowsExactly<ArgumentException>(() => (NoiseScheduleOptions.Linear with { Timesteps = timesteps }).Build());
        StringAssert.Contains(refusal.Message, "at least 20 timesteps");
        StringAssert.Contains(refusal.Message, "1000/T");
        Assert.AreEqual(timesteps, (NoiseScheduleOptions.UnscaledLinear with { Timesteps = timesteps }).Build().Timesteps);
        Assert.AreEqual(timesteps, (NoiseScheduleOptions.Cosine with { Timesteps = timesteps }).Build().Timesteps);
    }

    [TestMethod]
    public void LinearScheduleOf20TimestepsEndsInNoiseAlone()
    {
        var schedule = (NoiseScheduleOptions.Linear with { Timesteps = 20 }).Build();
        Assert.IsTrue(schedule.HasZeroTerminalSnr);
        Assert.ThrowsExactly<ArgumentException>(() => new GaussianDiffusion(schedule));
        Assert.IsFalse((NoiseScheduleOptions.Linear with { Timesteps = 21 }).Build().HasZeroTerminalSnr);
    }

    [TestMethod]
    public void ZeroTerminalSnrIsRefusedWithEpsilonPrediction()
    {
        var schedule = (NoiseScheduleOptions.Linear with { ZeroTerminalSnr = true }).Build();
        var refusal = Assert.ThrowsExactly<ArgumentException>(() => new GaussianDiffusion(schedule, PredictionType.Epsilon));
        StringAssert.Contains(refusal.Message, "zero terminal SNR");
        StringAssert.Contains(refusal.Message, "PredictionType.V");
    }

    [TestMethod]
    [DataRow(PredictionType.V)]
    [DataRow(PredictionType.X0)]
    [DataRow(PredictionType.PreviousX)]
    public void ZeroTerminalSnrWorksWithOtherPredictions(PredictionType prediction)
    {
        using var scope = NewDisposeScope();
        using var diffusion = new GaussianDiffusion((NoiseScheduleOptions.Cosine with { Timesteps = 30, ZeroTerminalSnr = true }).Build(), prediction, VarianceType.FixedSmall);
        Tensor x0 = full(2, 1, 2, 2, 0.5), noise = full(2, 1, 2, 2, -0.3), t = full(2, 29, ScalarType.Int64);
        var x = diffusion.QSample(x0, t, noise);
        Assert.AreEqual(-0.3, x[0, 0, 0, 0].item<float>(), 1e-7, "the last step is noise alone");
        var target = diffusion.Target(x0, x, t, noise);
        var step = diffusion.PMeanVariance(target, x, t);
        new Tolerance(1e-5).Check(x0, step.X0, "x0");
        Assert.IsTrue(step.Mean.isfinite().all().item<bool>());
        new Tolerance(1e-6).Check(noise, diffusion.EpsilonFromX0(x, t, x0), "epsilon");
        Assert.IsTrue(diffusion.DdimStep(step.X0, x, t, noise, 1).isfinite().all().item<bool>());
    }

    [TestMethod]
    public void OptionsSurviveJson()
    {
        var options = NoiseScheduleOptions.ScaledLinear with { Timesteps = 321, BetaEnd = 0.03, ZeroTerminalSnr = true };
        var text = JsonSerializer.Serialize(options);
        StringAssert.Contains(text, "\"ScaledLinear\"");
        Assert.AreEqual(options, JsonSerializer.Deserialize<NoiseScheduleOptions>(text));
        var loss = new DiffusionLossOptions { Type = LossType.Huber, HuberDelta = 0.2, MinSnrGamma = 5, OffsetNoise = 0.1 };
        Assert.AreEqual(loss, JsonSerializer.Deserialize<DiffusionLossOptions>(JsonSerializer.Serialize(loss)));
        var threshold = X0Threshold.Dynamic(0.9, 3);
        Assert.AreEqual(threshold, JsonSerializer.Deserialize<X0Threshold>(JsonSerializer.Serialize(threshold)));
    }

    [TestMethod]
    public void BadSchedulesAreRefused()
    {
        Assert.ThrowsExactly<ArgumentException>(() => NoiseSchedule.FromBetas([]));
        Assert.ThrowsExactly<ArgumentException>(() => NoiseSchedule.FromBetas([0.1, 0]));
        Assert.ThrowsExactly<ArgumentException>(() => NoiseSchedule.FromBetas([0.1, double.NaN]));
        Assert.ThrowsExactly<ArgumentException>(() => NoiseSchedule.FromBetas([0.1, 1.0, 0.1]));
        Assert.ThrowsExactly<ArgumentException>(() => NoiseSchedule.FromAlphasCumprod([0.9, 0.9]));
        Assert.ThrowsExactly<ArgumentException>(() => (NoiseScheduleOptions.Linear with { Timesteps = 0 }).Build());
        StringAssert.Contains(Assert.ThrowsExactly<ArgumentException>(() => (NoiseScheduleOptions.Quadratic with { BetaStart = -1 }).Build()).Message, "BetaStart");
        StringAssert.Contains(Assert.ThrowsExactly<ArgumentException>(() => (NoiseScheduleOptions.SigmoidAlphaBar with { SigmoidTau = 0 }).Build()).Message, "SigmoidTau");
    }

    [TestMethod]
    public void SpacingsVisitWhatTheyPromise()
    {
        CollectionAssert.AreEqual(new[] { 0, 333, 666, 999 }, TimestepSpacing.Linspace(1000, 4));
        CollectionAssert.AreEqual(new[] { 1, 251, 501, 751 }, TimestepSpacing.Leading(1000, 4, offset: 1));
        CollectionAssert.AreEqual(new[] { 249, 499, 749, 999 }, TimestepSpacing.Trailing(1000, 4));
        CollectionAssert.AreEqual(new[] { 0, 250, 500, 750 }, TimestepSpacing.Parse("ddim4", 1000));
        Assert.ThrowsExactly<FormatException>(() => TimestepSpacing.Parse("10,x", 1000));
        Assert.ThrowsExactly<FormatException>(() => TimestepSpacing.Parse("ddim", 1000));
        Assert.ThrowsExactly<ArgumentOutOfRangeException>(() => TimestepSpacing.Trailing(10, 11));
    }

    [TestMethod]
    public void FixedVarianceFollowsTheNumberOfSteps()
    {
        Assert.AreEqual(VarianceType.FixedLarge, VarianceType.FixedFor(1000, 1000));
        Assert.AreEqual(VarianceType.FixedSmall, VarianceType.FixedFor(50, 1000));
    }
}
