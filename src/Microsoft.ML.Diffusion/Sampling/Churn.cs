namespace Microsoft.ML.Diffusion;

/// <summary>The noise that Karras et al. 2022, algorithm 2, add before each step, to wash out the errors of the steps before.</summary>
public sealed record Churn
{
    /// <summary>No noise: the deterministic sampler.</summary>
    public static Churn None { get; } = new();

    /// <summary>S_churn ≥ 0: how much, spread over the steps; 0 is none. Published: 30 to 80 for 256 steps and 40 for ImageNet-64.</summary>
    public double Amount { get; init => field = NotNegative(value, nameof(Amount)); }

    /// <summary>S_tmin ≥ 0: no noise below this σ.</summary>
    public double Min { get; init => field = NotNegative(value, nameof(Min)); }

    /// <summary>S_tmax: no noise above this σ; null is no bound.</summary>
    public double? Max { get; init => field = value is { } max ? NotNegative(max, nameof(Max)) : null; }

    /// <summary>S_noise > 0: the standard deviation of the noise; a little above 1 makes up for detail that denoisers remove.</summary>
    public double Noise { get; init => field = value is > 0 and < double.PositiveInfinity ? value : throw new ArgumentOutOfRangeException(nameof(Noise), value, "Noise must be a finite number above 0."); } = 1;

    /// <summary>Raises the batch from σ to σ̂ = σ + γσ with fresh noise.</summary>
    internal (Tensor X, double Sigma) Apply(SigmaRun run, double sigma)
    {
        if (Amount == 0)
            return (run.X, sigma);
        var gamma = sigma >= Min && !(sigma > Max) ? Math.Min(Amount / run.Steps, Math.Sqrt(2) - 1) : 0;
        var raised = sigma + gamma * sigma;
        // One draw a step, needed or not, so that the bounds do not shift the noise of later steps.
        var noise = run.Noise();
        return gamma == 0 ? (run.X, sigma) : (run.X.add(noise, Held(Math.Sqrt(raised * raised - sigma * sigma) * Noise)), raised);
    }

    private static double NotNegative(double value, string name)
        => value is >= 0 and < double.PositiveInfinity ? value : throw new ArgumentOutOfRangeException(name, value, $"{name} must be a finite number of 0 or more.");
}
