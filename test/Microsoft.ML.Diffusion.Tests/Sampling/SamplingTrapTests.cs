namespace Microsoft.ML.Diffusion.Tests;

/// <summary>The known ways to get sampling wrong, each with a test that fails when it is done so.</summary>
[TestClass]
public class SamplingTrapTests
{
    private static readonly NoiseSchedule Schedule = NoiseScheduleOptions.Linear.Build();

    /// <summary>A denoiser that always answers the same x_0, clipped from a larger one.</summary>
    private sealed class ClippedDenoiser(double unclipped) : IDenoiser
    {
        public Denoised Denoise(Tensor x, NoiseLevel level) => new(full_like(x, Math.Clamp(unclipped, -1, 1))) { Unclipped = full_like(x, unclipped) };
    }

    [TestMethod]
    public void DdimDerivesEpsilonFromTheClippedX0()
    {
        using var scope = NewDisposeScope();
        var start = ones(1, 1, 1, 1, ScalarType.Float64);
        var request = new SamplingRequest { Denoiser = new ClippedDenoiser(3), Schedule = Schedule, Start = start };
        var sampler = new DdimSampler { Spacing = SamplerSpacing.List(100, 500), EndsAtFirstTimestep = true };
        double far = Schedule.AlphaBar(500), near = Schedule.AlphaBar(100), end = Schedule.AlphaBar(0);

        double Step(double x, double from, double to, double forEpsilon) => Math.Sqrt(to) + Math.Sqrt(1 - to) * (x - Math.Sqrt(from) * forEpsilon) / Math.Sqrt(1 - from);
        Assert.AreEqual(Step(Step(1, far, near, 1), near, end, 1), sampler.Sample(request).item<double>(), 1e-12);
        Assert.AreEqual(Step(Step(1, far, near, 3), near, end, 3), (sampler with { RederiveEpsilon = false }).Sample(request).item<double>(), 1e-12);
    }

    /// <summary>The noise left by the last-but-one step tells which variance was used: by default the small one for few steps, the large one for many.</summary>
    [TestMethod]
    [DataRow(50, VarianceType.FixedSmall)]
    [DataRow(499, VarianceType.FixedSmall)]
    [DataRow(500, VarianceType.FixedLarge)]
    [DataRow(1000, VarianceType.FixedLarge)]
    public void VarianceFollowsTheNumberOfSteps(int steps, VarianceType variance)
    {
        using var scope = NewDisposeScope();
        Assert.AreEqual(Draw(DiffusionSampler.Ddpm(steps, variance)), Draw(DiffusionSampler.Ddpm(steps)), 0);
        var other = variance == VarianceType.FixedSmall ? VarianceType.FixedLarge : VarianceType.FixedSmall;
        Assert.AreNotEqual(Draw(DiffusionSampler.Ddpm(steps, other)), Draw(DiffusionSampler.Ddpm(steps)));

        static float Draw(DiffusionSampler sampler)
        {
            using var noise = new PerRowNoise([3], [1, 4, 4]);
            using var result = sampler.Sample(new SamplingRequest { Denoiser = new GaussianDenoiser(0, 0.5), Schedule = Schedule, Start = noise.Next(), Noise = noise });
            return result[0, 0, 0, 0].item<float>();
        }
    }

    /// <summary>t counts from 0 and means t + 1 noising steps: the network is told T−1 first and 0 last, with ᾱ of just that step, and the run ends at x_0 itself.</summary>
    [TestMethod]
    public void TimestepsAreNotOffByOne()
    {
        using var scope = NewDisposeScope();
        var levels = new List<NoiseLevel>();
        using var noise = new PerRowNoise([3], [1, 4, 4]);
        var result = DiffusionSampler.Ddpm().Sample(new SamplingRequest
        {
            Denoiser = new ClippedDenoiser(0.25),
            Schedule = Schedule,
            Start = noise.Next(),
            Noise = noise,
            OnStep = step => levels.Add(step.Level),
        });
        Assert.HasCount(1000, levels);
        for (var i = 0; i < 1000; i++)
            Assert.AreEqual(Schedule.LevelAt(999 - i), levels[i]);
        Assert.AreEqual(0, result.sub(0.25).abs().max().item<float>(), 1e-6f, "no noise is added in the last step");
    }

    /// <summary>The reference's UniPC gives NaN with bh1 and a last step to σ = 0; here that step is of first order.</summary>
    [TestMethod]
    [DataRow(UniPCType.Bh1)]
    [DataRow(UniPCType.Bh2)]
    public void UniPCReachesSigmaZero(UniPCType type)
    {
        using var scope = NewDisposeScope();
        var start = tensor([-1.0, 0.2, 1.5]).reshape(1, 1, 1, 3);
        foreach (var lower in new[] { true, false })
        {
            var sampler = new UniPCSampler { Steps = 100, SolverType = type, LowerOrderFinal = lower, Grid = SigmaGrid.Timesteps() };
            var result = sampler.Sample(new SamplingRequest { Denoiser = new GaussianDenoiser(0.3, 0.5), Schedule = Schedule, Start = start });
            var sigma = Schedule.LevelAt(999).Sigma;
            var want = start.mul(Math.Sqrt(1 + sigma * sigma)).sub(0.3).mul(0.5 / Math.Sqrt(0.25 + sigma * sigma)).add(0.3);
            Assert.AreEqual(0, result.sub(want).abs().max().item<double>(), 0.01);
        }
    }

    /// <summary>With zero terminal SNR the first level is noise alone: nothing may divide by its ᾱ.</summary>
    [TestMethod]
    public void ZeroTerminalSnrStaysFinite()
    {
        using var scope = NewDisposeScope();
        var schedule = Schedule.WithZeroTerminalSnr();
        // v of Gaussian data with mean 0 and deviation ½.
        DenoisingModel model = (x, t) =>
        {
            var alphaBar = schedule.AlphaBar((int)Math.Round(t[0].item<float>()));
            var variance = alphaBar * 0.25 + 1 - alphaBar;
            return x.mul(Math.Sqrt(alphaBar * (1 - alphaBar)) * 0.75 / variance);
        };
        var denoiser = new NetworkDenoiser(model, schedule, new DenoiserOptions { Prediction = PredictionType.V, Threshold = X0Threshold.None });
        DiffusionSampler[] samplers =
        [
            DiffusionSampler.Ddpm(1000), DiffusionSampler.Ddim(100), DiffusionSampler.Ddim(1000, 1), DiffusionSampler.DpmSolverPlusPlus(40), DiffusionSampler.UniPC(40), DiffusionSampler.Heun(40),
        ];
        foreach (var sampler in samplers)
        {
            using var noise = new PerRowNoise([3], [1, 100, 100]);
            var result = sampler.Sample(new SamplingRequest { Denoiser = denoiser, Schedule = schedule, Start = noise.Next(), Noise = noise });
            Assert.AreEqual(0.5, result.std().item<float>(), 0.02, sampler.ToString());
        }
        StringAssert.Contains(Assert.ThrowsExactly<ArgumentException>(() => new NetworkDenoiser(model, schedule)).Message, "zero terminal SNR");
    }

    /// <summary>Inversion, then DDIM over the same timesteps, comes back; refinements bring it closer.</summary>
    [TestMethod]
    public void InversionComesBack()
    {
        using var scope = NewDisposeScope();
        var image = tensor([-0.9, -0.2, 0.3, 0.8]).reshape(1, 1, 2, 2);
        double Back(int steps, int refinements)
        {
            var request = new SamplingRequest { Denoiser = new GaussianDenoiser(0.1, 0.5), Schedule = Schedule, Start = image };
            var noise = new DdimInversion { Steps = steps, Refinements = refinements }.Invert(request);
            Assert.IsLessThan(4, noise.abs().max().item<double>());
            var sampler = new DdimSampler { Steps = steps };
            var back = sampler.Sample(new SamplingRequest { Denoiser = request.Denoiser, Schedule = Schedule, Start = noise });
            return back.sub(image).abs().max().item<double>();
        }
        Assert.IsGreaterThan(0.05, Back(20, 0), "few steps alone do not come back");
        Assert.IsLessThan(0.01, Back(1000, 0), "many steps do");
        Assert.IsLessThan(1e-3, Back(20, 5), "so do refinements");
        Assert.IsLessThan(1e-9, Back(20, 30), "to rounding");
    }
}
