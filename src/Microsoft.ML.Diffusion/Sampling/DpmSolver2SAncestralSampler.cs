namespace Microsoft.ML.Diffusion;

/// <summary>Ancestral sampling with second-order steps of DPM-Solver++(2S) (Lu et al. 2022b, algorithm 1). Two evaluations a step.</summary>
public sealed record DpmSolver2SAncestralSampler : SigmaSampler
{
    /// <summary>η in 0 … 1; 0 is the deterministic DPM-Solver++(2S).</summary>
    public double Eta { get; init => field = Within(value, 0, 1, nameof(Eta)); } = 1;

    /// <summary>The standard deviation of the noise.</summary>
    public double NoiseScale { get; init => field = Within(value, 0, 10, nameof(NoiseScale)); } = 1;

    private protected override void Step(SigmaRun run, int i)
    {
        double sigma = run.Sigmas[i], next = run.Sigmas[i + 1];
        var (down, up) = Ancestral(sigma, next, Eta);
        var x0 = run.DenoiseStep(i);
        if (down > 0)
        {
            var middle = Math.Sqrt(sigma * down);
            x0 = run.Denoise(Towards(run.X, x0, middle / sigma), middle);
        }
        var x = Towards(run.X, x0, down / sigma);
        if (up > 0)
            x.add_(run.Noise(), Held(up * NoiseScale));
        run.X = x;
    }

    /// <summary>The exact step for a constant x_0: what is left of the noise is the ratio of the σ.</summary>
    internal static Tensor Towards(Tensor x, Tensor x0, double ratio) => SamplingRun.Combine(ratio, x, 1 - ratio, x0);
}
