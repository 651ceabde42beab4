namespace Microsoft.ML.Diffusion;

/// <summary>
/// Where the samplers that work on x/√ᾱ = x_0 + σ·ε put their steps: σ falling to 0. Karras et al. 2022 space σ itself (equation 5);
/// the solvers made for discrete processes take the σ of chosen timesteps.
/// </summary>
public sealed record SigmaGrid
{
    /// <summary>ᾱ of a process with zero terminal SNR is raised to this, as its last σ would be infinite.</summary>
    private const double LeastAlphaBar = 1.0 / (1 << 24);

    /// <summary>The timesteps whose σ are taken; null spaces σ as Karras et al. do.</summary>
    public SamplerSpacing? Spacing { get; init; }

    /// <summary>The largest σ of the Karras spacing; null is the process's own, at most 80.</summary>
    public double? SigmaMax { get; init => field = Positive(value, nameof(SigmaMax)); }

    /// <summary>The smallest σ of the Karras spacing but for the final one; null is the process's own, at least 0.002.</summary>
    public double? SigmaMin { get; init => field = Positive(value, nameof(SigmaMin)); }

    /// <summary>ρ of the Karras spacing: larger puts more steps at low noise.</summary>
    public double Rho { get; init => field = Positive(value, nameof(Rho))!.Value; } = 7;

    /// <summary>The last step ends at the σ of timestep 0 (true) or at a clean image, σ = 0 (false).</summary>
    public bool EndsAtSigmaMin { get; init; }

    /// <summary>The model is told whole timesteps only (true), or fractional ones where σ lies between two (false).</summary>
    public bool RoundTimesteps { get; init; }

    /// <summary>
    /// The noise that a run begins with counts as x at the first level (true: its variance is 1, as of a process that preserves variance),
    /// or as ε, so that x/√ᾱ begins as σ·ε (false: Karras et al. 2022).
    /// </summary>
    public bool UnitVarianceStart { get; init; }

    /// <summary>The spacing of Karras et al. 2022, equation 5.</summary>
    /// <param name="sigmaMin">Null is the process's own, at least 0.002.</param>
    /// <param name="sigmaMax">Null is the process's own, at most 80.</param>
    /// <param name="rho">Above 0.</param>
    public static SigmaGrid Karras(double? sigmaMin = null, double? sigmaMax = null, double rho = 7)
        => new() { SigmaMin = sigmaMin, SigmaMax = sigmaMax, Rho = rho };

    /// <summary>The σ of timesteps.</summary>
    /// <param name="spacing">Null is <see cref="SamplerSpacing.Linspace"/>.</param>
    /// <param name="endsAtSigmaMin">See <see cref="EndsAtSigmaMin"/>.</param>
    public static SigmaGrid Timesteps(SamplerSpacing? spacing = null, bool endsAtSigmaMin = false)
        => new() { Spacing = spacing ?? SamplerSpacing.Linspace, EndsAtSigmaMin = endsAtSigmaMin, UnitVarianceStart = true };

    /// <summary>σ at the beginning of each step, falling, and at the end of the last.</summary>
    internal double[] Sigmas(NoiseSchedule schedule, int steps)
    {
        var sigmas = Spacing is null ? KarrasSigmas(schedule, steps)
            : Array.ConvertAll(Spacing.VisitForSolver(schedule.Timesteps, steps), t => SigmaAt(schedule, t)).Reverse().ToArray();
        var end = EndsAtSigmaMin ? SigmaAt(schedule, 0) : 0;
        // A grid that reaches the end by itself needs no step of length 0 there.
        return sigmas[^1] > end || sigmas.Length == 1 ? [.. sigmas, end] : [.. sigmas[..^1], end];
    }

    private double[] KarrasSigmas(NoiseSchedule schedule, int steps)
    {
        var max = SigmaMax ?? Math.Min(80, SigmaAt(schedule, schedule.Timesteps - 1));
        var min = SigmaMin ?? Math.Max(0.002, SigmaAt(schedule, 0));
        if (min >= max)
            throw new ArgumentException($"The sampler's smallest sigma, {min}, is not below its largest, {max}.");
        double a = Math.Pow(max, 1 / Rho), b = Math.Pow(min, 1 / Rho);
        var sigmas = new double[steps];
        for (var i = 0; i < steps; i++)
            sigmas[i] = Math.Pow(a + (steps > 1 ? i / (double)(steps - 1) * (b - a) : 0), Rho);
        return sigmas;
    }

    internal static double SigmaAt(NoiseSchedule schedule, int timestep)
    {
        var alphaBar = Math.Max(schedule.AlphaBar(timestep), LeastAlphaBar);
        return Math.Sqrt((1 - alphaBar) / alphaBar);
    }

    private static double? Positive(double? value, string name)
        => value is null or > 0 and < double.PositiveInfinity ? value : throw new ArgumentOutOfRangeException(name, value, $"{name} must be a finite number above 0.");
}
