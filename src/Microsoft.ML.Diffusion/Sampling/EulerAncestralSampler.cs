namespace Microsoft.ML.Diffusion;

/// <summary>Ancestral sampling with Euler steps in σ: a step further down than wanted, then noise. At η = 1 the variance of <see cref="VarianceType.FixedSmall"/>.</summary>
public sealed record EulerAncestralSampler : SigmaSampler
{
    /// <summary>η in 0 … 1; 0 is <see cref="EulerSampler"/>.</summary>
    public double Eta { get; init => field = Within(value, 0, 1, nameof(Eta)); } = 1;

    /// <summary>The standard deviation of the noise, above 0.</summary>
    public double NoiseScale { get; init => field = Within(value, 0, 10, nameof(NoiseScale)); } = 1;

    private protected override void Step(SigmaRun run, int i)
    {
        double sigma = run.Sigmas[i], next = run.Sigmas[i + 1];
        var (down, up) = Ancestral(sigma, next, Eta);
        var x = run.X.add(Slope(run.X, sigma, run.DenoiseStep(i)), Held(down - sigma));
        if (up > 0)
            x.add_(run.Noise(), Held(up * NoiseScale));
        run.X = x;
    }
}
