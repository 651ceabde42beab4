namespace Microsoft.ML.Diffusion;

/// <summary>DPM-Solver-2 with Karras et al.'s noise: a midpoint method whose middle lies halfway in log σ (Lu et al. 2022, algorithm 1). Second order, two evaluations a step.</summary>
public sealed record Dpm2Sampler : SigmaSampler
{
    /// <summary>Noise added on the way.</summary>
    public Churn Churn { get; init; } = Churn.None;

    private protected override void Step(SigmaRun run, int i)
    {
        var (x, sigma) = Churn.Apply(run, run.Sigmas[i]);
        var next = run.Sigmas[i + 1];
        var d = Slope(x, sigma, run.DenoiseStep(i, x, sigma));
        if (next > 0)
        {
            var middle = Math.Sqrt(sigma * next);
            var half = x.add(d, Held(middle - sigma));
            d = Slope(half, middle, run.Denoise(half, middle));
        }
        run.X = x.add(d, Held(next - sigma));
    }
}
