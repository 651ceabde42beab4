namespace Microsoft.ML.Diffusion;

/// <summary>Euler steps: algorithm 2 of Karras et al. 2022 without its correction. First order, one model evaluation a step; without churn the same as DDIM at the same σ.</summary>
public sealed record EulerSampler : SigmaSampler
{
    /// <summary>Noise added on the way.</summary>
    public Churn Churn { get; init; } = Churn.None;

    private protected override void Step(SigmaRun run, int i)
    {
        var (x, sigma) = Churn.Apply(run, run.Sigmas[i]);
        var d = Slope(x, sigma, run.DenoiseStep(i, x, sigma));
        run.X = x.add(d, Held(run.Sigmas[i + 1] - sigma));
    }
}
