namespace Microsoft.ML.Diffusion.Tests;

/// <summary>With the exact denoiser of Gaussian data the flow is known: x̂(σ) = μ + (x̂_0 − μ)·√((s² + σ²)/(s² + σ_0²)).</summary>
[TestClass]
public class SamplerConvergenceTests
{
    private const double Mean = 0.3, Deviation = 0.5;
    private static readonly NoiseSchedule Schedule = NoiseScheduleOptions.Linear.Build();
    private static readonly SigmaGrid Grid = SigmaGrid.Karras(0.5, 20, 3) with { UnitVarianceStart = true };

    // Where the asymptotic slope shows: a multistep solver's first steps are of lower order and leave a small error of second order,
    // so the third-order one is measured before that shows, and UniPC after its terms of both signs have parted.
    public static IEnumerable<object[]> Deterministic =>
    [
        [nameof(EulerSampler), new EulerSampler(), 1.0, 80, 160],
        [nameof(HeunSampler), new HeunSampler(), 2.0, 80, 160],
        [nameof(Dpm2Sampler), new Dpm2Sampler(), 2.0, 80, 160],
        [nameof(LmsSampler) + "1", new LmsSampler { Order = 1 }, 1.0, 80, 160],
        [nameof(LmsSampler) + "2", new LmsSampler { Order = 2 }, 2.0, 80, 160],
        ["DpmSolver++1", new DpmSolverSampler { Order = 1 }, 1.0, 80, 160],
        ["DpmSolver++2", new DpmSolverSampler { Order = 2 }, 2.0, 80, 160],
        ["DpmSolver++2 heun", new DpmSolverSampler { Order = 2, SolverType = DpmSolverType.Heun }, 2.0, 80, 160],
        ["DpmSolver++3", new DpmSolverSampler { Order = 3 }, 3.0, 20, 80],
        ["DpmSolver2", new DpmSolverSampler { Order = 2, NoisePrediction = true }, 2.0, 80, 160],
        ["DpmSolver2SAncestral eta 0", new DpmSolver2SAncestralSampler { Eta = 0 }, 2.0, 80, 160],
        ["DpmSolverSde eta 0", new DpmSolverSdeSampler { Eta = 0 }, 2.0, 80, 160],
        ["EulerAncestral eta 0", new EulerAncestralSampler { Eta = 0 }, 1.0, 80, 160],
        ["UniPC1", new UniPCSampler { Order = 1 }, 2.0, 80, 160],
        ["UniPC2", new UniPCSampler { Order = 2 }, 3.0, 160, 640],
        ["UniPC2 bh1", new UniPCSampler { Order = 2, SolverType = UniPCType.Bh1 }, 3.0, 160, 320],
    ];

    /// <summary>The error's slope against the number of steps, on a log-log scale, where the flow is smooth: between σ = 20 and the last σ above 0.</summary>
    [TestMethod]
    [DynamicData(nameof(Deterministic))]
    public void ErrorFallsAtTheStatedOrder(string name, SigmaSampler sampler, double order, int few, int many)
    {
        double coarse = Error(sampler, few), fine = Error(sampler, many);
        var slope = Math.Log(coarse / fine) / Math.Log((double)many / few);
        Assert.IsGreaterThan(order - 0.3, slope, $"{name}: the error fell from {coarse:G3} to {fine:G3}, a slope of {slope:F2}");
        Assert.IsLessThan(0.02, coarse, name);
    }

    private static double Error(SigmaSampler sampler, int steps)
    {
        using var scope = NewDisposeScope();
        var start = tensor([-2.0, -0.7, 0.1, 1.0, 2.5]).reshape(1, 1, 1, 5);
        sampler = sampler with { Steps = steps, Grid = Grid };
        SamplingStep? last = null;
        double[] x = [];
        using var result = sampler.Sample(new SamplingRequest
        {
            Denoiser = new GaussianDenoiser(Mean, Deviation),
            Schedule = Schedule,
            Start = start,
            // The last step goes to σ = 0 at once; the state before it is what the solver reached.
            OnStep = step => (last, x) = (step, SamplerTrace.Values(step.X.div(Math.Sqrt(step.Level.AlphaBar)))),
        });
        var sigmas = sampler.Grid.Sigmas(Schedule, steps);
        double first = sigmas[0], end = last!.Value.Level.Sigma;
        var ratio = Math.Sqrt((Deviation * Deviation + end * end) / (Deviation * Deviation + first * first));
        var error = 0.0;
        var begin = SamplerTrace.Values(start);
        for (var i = 0; i < x.Length; i++)
        {
            var exact = Mean + (begin[i] * Math.Sqrt(1 + first * first) - Mean) * ratio;
            error = Math.Max(error, Math.Abs(x[i] - exact));
        }
        return error;
    }

    public static IEnumerable<object[]> All =>
    [
        ["Ddpm small", new AncestralSampler { Variance = VarianceType.FixedSmall }],
        ["Ddpm large", new AncestralSampler { Variance = VarianceType.FixedLarge }],
        ["Ddim", new DdimSampler { Steps = 200 }],
        ["Ddim eta 1", new DdimSampler { Steps = 500, Eta = 1 }],
        ["DpmSolver++2", DiffusionSampler.DpmSolverPlusPlus(40)],
        ["DpmSolver++3", DiffusionSampler.DpmSolverPlusPlus(40, order: 3)],
        ["SdeDpmSolver++2", DiffusionSampler.DpmSolverPlusPlus(100, eta: 1)],
        ["SdeDpmSolver++3", DiffusionSampler.DpmSolverPlusPlus(100, order: 3, eta: 0.5)],
        ["UniPC", DiffusionSampler.UniPC(30, order: 3)],
        ["Heun", DiffusionSampler.Heun(30)],
        ["Euler", DiffusionSampler.Euler(200)],
        ["EdmStochastic", DiffusionSampler.EdmStochastic(100)],
        ["EulerAncestral", new EulerAncestralSampler { Steps = 400 }],
        ["Dpm2", new Dpm2Sampler { Steps = 30 }],
        ["Lms", new LmsSampler { Steps = 40 }],
        ["DpmSolver2SAncestral", new DpmSolver2SAncestralSampler { Steps = 60 }],
        ["DpmSolverSde", new DpmSolverSdeSampler { Steps = 400 }],
    ];

    /// <summary>Every sampler, run finely enough, draws from the data's own distribution.</summary>
    [TestMethod]
    [DynamicData(nameof(All))]
    public void DrawsFromTheDataDistribution(string name, DiffusionSampler sampler)
    {
        using var scope = NewDisposeScope();
        const int Count = 40_000;
        using var noise = new PerRowNoise([17], [1, 1, Count]);
        using var result = sampler.Sample(new SamplingRequest { Denoiser = new GaussianDenoiser(Mean, Deviation), Schedule = Schedule, Start = noise.Next(), Noise = noise });
        // Four standard errors of 40,000 draws, and a little for what the steps leave.
        Assert.AreEqual(Mean, result.mean().item<float>(), 4 * Deviation / Math.Sqrt(Count) + 2e-3, $"{name}: mean");
        Assert.AreEqual(Deviation, result.std().item<float>(), 4 * Deviation / Math.Sqrt(2 * Count) + 6e-3, $"{name}: standard deviation");
    }
}
