namespace Microsoft.ML.Diffusion;

/// <summary>Heun's method: algorithm 1 of Karras et al. 2022, with churn algorithm 2. Second order, two model evaluations a step and one in the last.</summary>
public sealed record HeunSampler : SigmaSampler
{
    /// <summary>Noise added on the way.</summary>
    public Churn Churn { get; init; } = Churn.None;

    private protected override void Step(SigmaRun run, int i)
    {
        var (x, sigma) = Churn.Apply(run, run.Sigmas[i]);
        var next = run.Sigmas[i + 1];
        var d = Slope(x, sigma, run.DenoiseStep(i, x, sigma));
        var euler = x.add(d, Held(next - sigma));
        if (next > 0)
        {
            // The mean of the slopes at both ends; at σ = 0 there is none.
            d.add_(Slope(euler, next, run.Denoise(euler, next)), Held(1));
            euler = x.add(d, Held((next - sigma) / 2));
        }
        run.X = euler;
    }
}
