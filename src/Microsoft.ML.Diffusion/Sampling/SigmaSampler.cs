namespace Microsoft.ML.Diffusion;

/// <summary>
/// The samplers that follow dx̂/dσ = (x̂ − x_0)/σ from large σ to 0 (Karras et al. 2022, equation 1), where x̂ = x/√ᾱ and x_0 is the model's estimate. They compute in float64.
/// </summary>
public abstract record SigmaSampler : DiffusionSampler
{
    private protected SigmaSampler()
    {
    }

    /// <summary>The number of steps, 1 or more.</summary>
    public int Steps { get; init => field = AtLeastOne(value, nameof(Steps)); } = 20;

    /// <summary>Where the steps lie.</summary>
    public SigmaGrid Grid { get; init; } = SigmaGrid.Karras();

    /// <inheritdoc/>
    public sealed override Tensor Sample(SamplingRequest request)
    {
        ArgumentNullException.ThrowIfNull(request);
        using var run = SigmaRun.Begin(request, Grid, Steps);
        for (var i = 0; i < run.Steps; i++)
        {
            using var step = run.Step();
            Step(run, i);
        }
        return run.Finish();
    }

    /// <summary>Brings the batch from σ_i to σ_{i+1}.</summary>
    private protected abstract void Step(SigmaRun run, int i);

    /// <summary>dx̂/dσ = (x̂ − x_0)/σ.</summary>
    private protected static Tensor Slope(Tensor x, double sigma, Tensor x0) => x.sub(x0).div_(Held(sigma));

    /// <summary>
    /// Splits a step to σ_{i+1} into a deterministic one to "down" and fresh noise of "up", so that the variance comes out right:
    /// η = 0 adds no noise, η = 1 as much as ancestral sampling does.
    /// </summary>
    private protected static (double Down, double Up) Ancestral(double from, double to, double eta)
    {
        var up = Math.Min(to, eta * Math.Sqrt(to * to * (from * from - to * to) / (from * from)));
        return (Math.Sqrt(to * to - up * up), up);
    }
}
