namespace Microsoft.ML.Diffusion.Tests;

/// <summary>The bound of Gaussian data under its best denoiser equals its closed form.</summary>
[TestClass]
public sealed class ClosedFormTests
{
    private static readonly GaussianData Data = new(mean: 0.2, deviation: 0.35);
    private static readonly Tolerance Exact = new(1e-10, 1e-9);

    public static IEnumerable<object[]> Cases =>
        from kind in new[] { NoiseScheduleKind.Linear, NoiseScheduleKind.Cosine }
        from prediction in new[] { PredictionType.Epsilon, PredictionType.X0, PredictionType.V, PredictionType.PreviousX }
        from variance in new[] { VarianceType.FixedSmall, VarianceType.FixedLarge, VarianceType.Learned }
        select new object[] { kind, prediction, variance };

    [TestMethod]
    [DynamicData(nameof(Cases))]
    public void BoundOfGaussianData(NoiseScheduleKind kind, PredictionType prediction, VarianceType variance)
    {
        using var scope = NewDisposeScope();
        using var diffusion = new GaussianDiffusion(new NoiseScheduleOptions { Kind = kind, Timesteps = 40 }.Build(), prediction, variance);
        var rows = VariationalBound.Evaluate(diffusion, Data.BestModel(diffusion), Data.X0(), _ => GaussianData.Noise(), X0Threshold.None);

        var table = diffusion.Coefficients;
        for (var t = 1; t < diffusion.Timesteps; t++)
        {
            var posterior = table.PosteriorVariance[t];
            var weight = table.PosteriorMeanOfX0[t];
            var spread = weight * weight * Data.Uncertainty(diffusion.Schedule.AlphasCumprod[t]);
            var used = variance switch
            {
                VarianceType.FixedSmall => posterior,
                VarianceType.FixedLarge => diffusion.Schedule.Betas[t],
                _ => posterior + spread,
            };
            // E KL(N(μ̃, β̃) ‖ N(μ, used)), where E(μ̃ − μ)² is what the denoiser cannot know of x_0, times its weight.
            var nats = 0.5 * (Math.Log(used / posterior) - 1 + (posterior + spread) / used);
            Exact.Check([nats / Math.Log(2)], [rows.Term(0, t)], $"L_{t}");
            Exact.Check([Data.Uncertainty(diffusion.Schedule.AlphasCumprod[t])], [rows.X0Mse(0, t)], $"x0 mse at {t}");
        }
        Exact.Check([PriorBits(diffusion)], [rows.Prior(0)], "L_T");
    }

    [TestMethod]
    public void ExactReverseProcessLeavesOnlyWhatTheLatentsTellOfTheData()
    {
        using var scope = NewDisposeScope();
        using var diffusion = new GaussianDiffusion(NoiseScheduleOptions.Linear.Build(), PredictionType.V, VarianceType.Learned);
        var rows = VariationalBound.Evaluate(diffusion, Data.BestModel(diffusion), Data.X0(), _ => GaussianData.Noise(), X0Threshold.None);

        // The chain rule of mutual information: L_1 + … + L_T = I(x_0; x_1st) + KL(q(x_last) ‖ N(0, 1)) when p is the true reverse process.
        double first = diffusion.Schedule.AlphasCumprod[0], last = diffusion.Schedule.AlphasCumprod[^1];
        double variance = 0.35 * 0.35, marginal = last * variance + 1 - last;
        var nats = 0.5 * Math.Log(1 + variance * first / (1 - first)) + 0.5 * (marginal - 1 - Math.Log(marginal) + Data.Mean * Data.Mean * last);
        var got = rows.Total(0) - rows.Term(0, 0);
        new Tolerance(1e-9, 1e-9).Check([nats / Math.Log(2)], [got], "L_1 + … + L_T");
    }

    [TestMethod]
    public void TermsSumToTheTotalOverBatches()
    {
        using var scope = NewDisposeScope();
        using var diffusion = new GaussianDiffusion((NoiseScheduleOptions.Linear with { Timesteps = 25 }).Build(), PredictionType.Epsilon, VarianceType.FixedSmall);
        using var generator = new Generator(7);
        var accumulator = new VariationalBoundAccumulator(diffusion.Timesteps);
        var totals = new List<double>();
        foreach (var count in new long[] { 3, 1, 4 })
        {
            var x0 = Levels(generator, count);
            var rows = VariationalBound.Evaluate(diffusion, Data.BestModel(diffusion), x0, _ => randn(x0.shape, generator: generator));
            accumulator.Add(rows);
            for (var row = 0; row < rows.Count; row++)
                totals.Add(rows.Total(row));
        }
        var result = accumulator.Result();
        Assert.AreEqual(8, result.Rows);
        Assert.AreEqual(result.Prior + result.Terms.Sum(), result.Total, 1e-12);
        Assert.AreEqual(totals.Average(), result.Total, 1e-9);
        var mean = totals.Average();
        var deviation = Math.Sqrt(totals.Sum(total => (total - mean) * (total - mean)) / 7);
        Assert.AreEqual(deviation / Math.Sqrt(8), result.TotalStandardError, 1e-9);
        Assert.ThrowsExactly<InvalidOperationException>(() => new VariationalBoundAccumulator(25).Result());
    }

    [TestMethod]
    public void DecoderIsADistributionOverTheLevels()
    {
        using var scope = NewDisposeScope();
        // Open ends: whatever a Gaussian puts beyond ±1 belongs to the outermost levels. With closed ends the sum would fall short.
        var levels = arange(0, 256, ScalarType.Float64) / 127.5 - 1;
        foreach (var (mean, scale) in new[] { (0.0, 0.1), (0.98, 0.05), (-1.2, 0.3), (0.3, 2.0) })
        {
            var logLikelihood = GaussianTerms.DiscretizedLogLikelihood(levels, full_like(levels, mean), full_like(levels, Math.Log(scale)));
            // 256 clamps at 1e-12.
            Assert.AreEqual(1, logLikelihood.exp().sum().item<double>(), 3e-10, $"mean {mean}, scale {scale}");
        }
    }

    [TestMethod]
    public void DecoderUsesTheTanhApproximation()
    {
        using var scope = NewDisposeScope();
        double x = 0.2, mean = 0.15, scale = 0.004;
        static double Cdf(double z) => 0.5 * (1 + Math.Tanh(Math.Sqrt(2 / Math.PI) * (z + 0.044715 * z * z * z)));
        var want = Math.Log(Cdf((x - mean + 1 / 255.0) / scale) - Cdf((x - mean - 1 / 255.0) / scale));
        var got = GaussianTerms.DiscretizedLogLikelihood(tensor(new[] { x }), tensor(new[] { mean }), tensor(new[] { Math.Log(scale) })).item<double>();
        // In the tails erf is far off: Φ(−11.5) = 6e-31 to the approximation's clamp.
        Assert.AreEqual(Math.Max(want, Math.Log(1e-12)), got, 1e-9);
        x = 0.153;
        want = Math.Log(Cdf((x - mean + 1 / 255.0) / scale) - Cdf((x - mean - 1 / 255.0) / scale));
        got = GaussianTerms.DiscretizedLogLikelihood(tensor(new[] { x }), tensor(new[] { mean }), tensor(new[] { Math.Log(scale) })).item<double>();
        Assert.AreEqual(want, got, 1e-12);
    }

    [TestMethod]
    public void ImagesOutsideTheRangeAreRefused()
    {
        using var scope = NewDisposeScope();
        using var diffusion = new GaussianDiffusion((NoiseScheduleOptions.Linear with { Timesteps = 25 }).Build());
        // Pixels of 0 … 255, never scaled: their likelihood would come out finite and wrong.
        var refusal = Assert.ThrowsExactly<ArgumentException>(() => VariationalBound.Evaluate(diffusion, (x, _) => x.clone(), full(1, 1, 2, 2, 255.0f), _ => zeros(1, 1, 2, 2)));
        StringAssert.Contains(refusal.Message, "[-1, 1]");
    }

    private static double PriorBits(GaussianDiffusion diffusion)
    {
        var last = diffusion.Schedule.AlphasCumprod[^1];
        var square = 0.35 * 0.35 + Data.Mean * Data.Mean;
        return 0.5 * (-1 - Math.Log(1 - last) + 1 - last + last * square) / Math.Log(2);
    }

    private static Tensor Levels(Generator generator, long count)
        => randint(0, 256, [count, 1, 2, 3], ScalarType.Int64, generator: generator).to(ScalarType.Float32) / 127.5 - 1;
}
