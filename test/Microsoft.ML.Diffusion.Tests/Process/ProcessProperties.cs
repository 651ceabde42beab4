using FsCheck;
using FsCheck.Fluent;

namespace Microsoft.ML.Diffusion.Tests;

/// <summary>What holds for every schedule, spacing and timestep.</summary>
[TestClass]
public sealed class ProcessProperties
{
    private static readonly Config Settings = Config.QuickThrowOnFailure.WithMaxTest(60).WithReplay(20, 21);

    private static Gen<NoiseSchedule> Schedules =>
        from count in Gen.Choose(1, 60)
        from betas in Gen.Choose(1, 5000).ArrayOf(count)
        select NoiseSchedule.FromBetas(Array.ConvertAll(betas, beta => beta / 10_000.0));

    [TestMethod]
    public void BetasAndTheirProductsSayTheSame() => Check(Schedules, schedule =>
    {
        var again = NoiseSchedule.FromAlphasCumprod(schedule.AlphasCumprod);
        new Tolerance(1e-14, 1e-9).Check(schedule.Betas, again.Betas, "betas");
        new Tolerance(0, 1e-12).Check(schedule.AlphasCumprod, again.AlphasCumprod, "alphas_cumprod");
        for (var t = 0; t < schedule.Timesteps; t++)
            Assert.IsTrue(schedule.AlphaBar(t) < schedule.AlphaBar(t - 1));
    });

    [TestMethod]
    public void RescaledScheduleEndsInNoiseAndStartsWhereItDid() => Check(Schedules.Where(schedule => schedule.Timesteps > 1), schedule =>
    {
        var rescaled = schedule.WithZeroTerminalSnr();
        Assert.IsTrue(rescaled.HasZeroTerminalSnr);
        Assert.AreEqual(1.0, rescaled.Betas[^1]);
        Assert.AreEqual(schedule.AlphasCumprod[0], rescaled.AlphasCumprod[0], 1e-12);
    });

    [TestMethod]
    public void RespacingKeepsTheSignalAtTheKeptSteps() => Check(
        from schedule in Schedules
        from chosen in Gen.Choose(0, 1).ArrayOf(schedule.Timesteps)
        select (schedule, kept: Enumerable.Range(0, schedule.Timesteps).Where(t => chosen[t] == 1).DefaultIfEmpty(schedule.Timesteps - 1).ToArray()),
        sample =>
        {
            using var original = new GaussianDiffusion(sample.schedule);
            using var respaced = original.Respace(sample.kept);
            for (var step = 0; step < sample.kept.Length; step++)
                Assert.AreEqual(sample.schedule.AlphaBar(sample.kept[step]), respaced.Schedule.AlphaBar(step), 1e-12);
            CollectionAssert.AreEqual(sample.kept, respaced.TimestepMap.ToArray());
        });

    [TestMethod]
    public void SpacingsRiseWithinTheTimesteps() => Check(
        from timesteps in Gen.Choose(1, 2000)
        from steps in Gen.Choose(1, timesteps)
        select (timesteps, steps),
        sample =>
        {
            foreach (var spacing in new[]
            {
                TimestepSpacing.Linspace(sample.timesteps, sample.steps),
                TimestepSpacing.Leading(sample.timesteps, sample.steps),
                TimestepSpacing.Trailing(sample.timesteps, sample.steps),
                TimestepSpacing.Sections(sample.timesteps, sample.steps),
            })
            {
                Assert.HasCount(sample.steps, spacing);
                Assert.IsTrue(spacing[0] >= 0 && spacing[^1] < sample.timesteps);
                Assert.IsTrue(spacing.Zip(spacing.Skip(1), (before, after) => before < after).All(rises => rises));
            }
            Assert.AreEqual(sample.timesteps - 1, TimestepSpacing.Trailing(sample.timesteps, sample.steps)[^1]);
        });

    [TestMethod]
    public void EveryPredictionOfTheTruthIsTheTruth() => Check(
        from schedule in Schedules
        from t in Gen.Choose(0, schedule.Timesteps - 1)
        from prediction in Gen.Elements(Enum.GetValues<PredictionType>())
        from seed in Gen.Choose(0, 1000)
        select (schedule, t, prediction, seed),
        sample =>
        {
            using var scope = NewDisposeScope();
            using var generator = new Generator((ulong)sample.seed);
            using var diffusion = new GaussianDiffusion(sample.schedule, sample.prediction);
            Tensor x0 = randn([2, 1, 2, 2], ScalarType.Float64, generator: generator), noise = randn([2, 1, 2, 2], ScalarType.Float64, generator: generator);
            var t = full(2, sample.t, ScalarType.Int64);
            var x = diffusion.QSample(x0, t, noise);
            var target = diffusion.Target(x0, x, t, noise);
            var amplification = 1 / (diffusion.Coefficients.PosteriorMeanOfX0[sample.t] * Math.Sqrt(sample.schedule.AlphaBar(sample.t)));
            new Tolerance(1e-13 * (1 + amplification)).Check(x0, diffusion.PredictX0(target, x, t), "x0");
            new Tolerance(1e-12 / Math.Sqrt(1 - sample.schedule.AlphaBar(sample.t))).Check(noise, diffusion.EpsilonFromX0(x, t, x0), "epsilon");
            new Tolerance(1e-12).Check(noise, diffusion.EpsilonFromV(x, t, diffusion.Velocity(x0, t, noise)), "epsilon from v");
            // Told the truth, the reverse step's mean is the posterior's.
            new Tolerance(1e-11).Check(diffusion.PosteriorMeanVariance(x0, x, t).Mean, diffusion.PMeanVariance(target, x, t, X0Threshold.None).Mean, "mean");
        });

    [TestMethod]
    public void NoTermOfTheBoundIsNegative() => Check(
        from schedule in Schedules
        from t in Gen.Choose(0, schedule.Timesteps - 1)
        from variance in Gen.Elements(VarianceType.FixedSmall, VarianceType.FixedLarge, VarianceType.LearnedRange)
        from seed in Gen.Choose(0, 1000)
        select (schedule, t, variance, seed),
        sample =>
        {
            using var scope = NewDisposeScope();
            using var generator = new Generator((ulong)sample.seed);
            using var diffusion = new GaussianDiffusion(sample.schedule, PredictionType.X0, sample.variance);
            var x0 = randint(0, 256, [2, 1, 2, 2], ScalarType.Int64, generator: generator).to(ScalarType.Float64) / 127.5 - 1;
            var t = full(2, sample.t, ScalarType.Int64);
            var x = diffusion.QSample(x0, t, randn([2, 1, 2, 2], ScalarType.Float64, generator: generator));
            var output = randn([2, sample.variance.IsLearned ? 2 : 1, 2, 2], ScalarType.Float64, generator: generator);
            Assert.IsTrue(VariationalBound.Term(diffusion, output, x0, x, t).Bits.ge(0).all().item<bool>());
            Assert.IsTrue(VariationalBound.Prior(diffusion, x0).ge(0).all().item<bool>());
        });

    private static void Check<T>(Gen<T> samples, Action<T> holds) => Prop.ForAll(samples.ToArbitrary(), holds).Check(Settings);
}
