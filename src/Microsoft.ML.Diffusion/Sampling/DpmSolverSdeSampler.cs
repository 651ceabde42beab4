namespace Microsoft.ML.Diffusion;

/// <summary>DPM-Solver++ (stochastic): a second-order step of the reverse SDE with a point inside (Lu et al. 2022b, section 4.3). Two evaluations and two draws of noise a step, but the last.</summary>
public sealed record DpmSolverSdeSampler : SigmaSampler
{
    /// <summary>η in 0 … 1; 0 adds no noise.</summary>
    public double Eta { get; init => field = Within(value, 0, 1, nameof(Eta)); } = 1;

    /// <summary>Where in log σ the inner point lies, in (0, 1].</summary>
    public double Ratio
    {
        get;
        init => field = value is > 0 and <= 1 ? value : throw new ArgumentOutOfRangeException(nameof(Ratio), value, "Ratio must lie above 0 and not above 1.");
    } = 0.5;

    /// <summary>The standard deviation of the noise.</summary>
    public double NoiseScale { get; init => field = Within(value, 0, 10, nameof(NoiseScale)); } = 1;

    private protected override void Step(SigmaRun run, int i)
    {
        double sigma = run.Sigmas[i], next = run.Sigmas[i + 1];
        var x0 = run.DenoiseStep(i);
        if (next == 0)
        {
            run.X = x0.to_type(ScalarType.Float64);
            return;
        }
        var middle = sigma * Math.Pow(next / sigma, Ratio);
        var (down, up) = Ancestral(sigma, middle, Eta);
        var inner = DpmSolver2SAncestralSampler.Towards(run.X, x0, down / sigma);
        if (up > 0)
            inner.add_(run.Noise(), Held(up * NoiseScale));

        (down, up) = Ancestral(sigma, next, Eta);
        var weight = 1 / (2 * Ratio);
        var mixed = SamplingRun.Combine(weight, run.Denoise(inner, middle), 1 - weight, x0);
        var x = DpmSolver2SAncestralSampler.Towards(run.X, mixed, down / sigma);
        if (up > 0)
            x.add_(run.Noise(), Held(up * NoiseScale));
        run.X = x;
    }
}
