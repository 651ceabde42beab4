namespace Microsoft.ML.Diffusion;

/// <summary>
/// A noise schedule as it is written down: in trainer options, in a saved model. <see cref="Build"/> makes the tables.
/// Change a preset with <c>with</c>: <c>NoiseScheduleOptions.Cosine with { Timesteps = 4000 }</c>.
/// </summary>
public sealed record NoiseScheduleOptions
{
    /// <summary>Ho et al. 2020: β from 1e-4 to 0.02 over 1000 steps.</summary>
    public static NoiseScheduleOptions Linear => new();

    /// <summary>Nichol and Dhariwal 2021, equation 17.</summary>
    public static NoiseScheduleOptions Cosine => new() { Kind = NoiseScheduleKind.Cosine };

    /// <summary>β from 1e-4 to 0.02, not rescaled with T.</summary>
    public static NoiseScheduleOptions UnscaledLinear => new() { Kind = NoiseScheduleKind.UnscaledLinear };

    /// <summary>√β even from √1e-4 to √0.02, not rescaled with T.</summary>
    public static NoiseScheduleOptions Quadratic => new() { Kind = NoiseScheduleKind.Quadratic };

    /// <summary>Rombach et al. 2022: √β even from √0.00085 to √0.012.</summary>
    public static NoiseScheduleOptions ScaledLinear => new() { Kind = NoiseScheduleKind.ScaledLinear };

    /// <summary>β along a sigmoid from 1e-4 to 0.02, not rescaled with T.</summary>
    public static NoiseScheduleOptions Sigmoid => new() { Kind = NoiseScheduleKind.Sigmoid };

    /// <summary>Jabri et al. 2022: ᾱ along a sigmoid.</summary>
    public static NoiseScheduleOptions SigmoidAlphaBar => new() { Kind = NoiseScheduleKind.SigmoidAlphaBar };

    /// <summary>The formula.</summary>
    public NoiseScheduleKind Kind { get; init; } = NoiseScheduleKind.Linear;

    /// <summary>T, the number of noising steps; at least 1.</summary>
    public int Timesteps { get; init; } = 1000;

    /// <summary>The first β, in (0, 1]; null for the kind's own. <see cref="NoiseScheduleKind.Linear"/> takes it as for T = 1000. Unused by kinds that start from ᾱ.</summary>
    public double? BetaStart { get; init; }

    /// <summary>The last β, in (0, 1]; null for the kind's own. <see cref="NoiseScheduleKind.Linear"/> takes it as for T = 1000. Unused by kinds that start from ᾱ.</summary>
    public double? BetaEnd { get; init; }

    /// <summary>The largest β of the kinds that start from ᾱ: near u = 1 the quotient of two ᾱ would reach 1.</summary>
    public double MaximumBeta { get; init; } = 0.999;

    /// <summary>s of <see cref="NoiseScheduleKind.Cosine"/>: keeps the first β from being too small to matter in 8-bit pixels.</summary>
    public double CosineOffset { get; init; } = 0.008;

    /// <summary>Where <see cref="NoiseScheduleKind.SigmoidAlphaBar"/> starts on the sigmoid.</summary>
    public double SigmoidStart { get; init; } = -3;

    /// <summary>Where <see cref="NoiseScheduleKind.SigmoidAlphaBar"/> ends on the sigmoid.</summary>
    public double SigmoidEnd { get; init; } = 3;

    /// <summary>The temperature of <see cref="NoiseScheduleKind.SigmoidAlphaBar"/>; above 0.</summary>
    public double SigmoidTau { get; init; } = 1;

    /// <summary>Rescales the finished schedule so that the last step is noise alone (Lin et al. 2024, algorithm 1). Not for epsilon prediction.</summary>
    public bool ZeroTerminalSnr { get; init; }

    /// <summary>Computes the schedule in float64.</summary>
    /// <exception cref="ArgumentException">An option is out of range, or the schedule has a β outside (0, 1]; the message names the option.</exception>
    public NoiseSchedule Build()
    {
        if (Timesteps < 1)
            throw new ArgumentException($"NoiseScheduleOptions.Timesteps is {Timesteps}; a schedule needs at least 1 timestep.");
        var betas = Kind switch
        {
            NoiseScheduleKind.Linear => NoiseScheduleFormulas.Line(Timesteps, Scaled(Start(1e-4), nameof(BetaStart)), Scaled(End(0.02), nameof(BetaEnd))),
            NoiseScheduleKind.UnscaledLinear => NoiseScheduleFormulas.Line(Timesteps, Start(1e-4), End(0.02)),
            NoiseScheduleKind.Quadratic => NoiseScheduleFormulas.SquaredLine(Timesteps, Start(1e-4), End(0.02)),
            NoiseScheduleKind.ScaledLinear => NoiseScheduleFormulas.SquaredLine(Timesteps, Start(0.00085), End(0.012)),
            NoiseScheduleKind.Sigmoid => NoiseScheduleFormulas.SigmoidBetas(Timesteps, Start(1e-4), End(0.02)),
            NoiseScheduleKind.Cosine => NoiseScheduleFormulas.FromAlphaBar(Timesteps, Cap(), NoiseScheduleFormulas.Cosine(Offset())),
            NoiseScheduleKind.SigmoidAlphaBar => NoiseScheduleFormulas.FromAlphaBar(Timesteps, Cap(), NoiseScheduleFormulas.Sigmoid(SigmoidStart, SigmoidEnd, Tau())),
            NoiseScheduleKind.Laplace => NoiseScheduleFormulas.FromAlphaBar(Timesteps, Cap(), NoiseScheduleFormulas.Laplace),
            NoiseScheduleKind.Exponential => NoiseScheduleFormulas.FromAlphaBar(Timesteps, Cap(), NoiseScheduleFormulas.Exponential),
            _ => throw new ArgumentException($"NoiseScheduleOptions.Kind has no schedule numbered {(int)Kind}."),
        };
        var schedule = NoiseSchedule.FromBetas(betas);
        return ZeroTerminalSnr ? schedule.WithZeroTerminalSnr() : schedule;
    }

    private double Start(double own) => Beta(BetaStart ?? own, nameof(BetaStart));

    private double End(double own) => Beta(BetaEnd ?? own, nameof(BetaEnd));

    private static double Beta(double value, string option) => value is > 0 and <= 1
        ? value
        : throw new ArgumentException($"NoiseScheduleOptions.{option} is {value}; a β lies above 0 and not above 1.");

    private double Cap() => Beta(MaximumBeta, nameof(MaximumBeta));

    private double Offset() => CosineOffset is >= 0 and < double.PositiveInfinity
        ? CosineOffset
        : throw new ArgumentException($"NoiseScheduleOptions.{nameof(CosineOffset)} is {CosineOffset}; it may not be negative.");

    private double Tau() => SigmoidTau > 0 && SigmoidStart < SigmoidEnd
        ? SigmoidTau
        : throw new ArgumentException($"The sigmoid schedule needs SigmoidTau above 0 and SigmoidStart below SigmoidEnd, not {SigmoidTau}, {SigmoidStart} and {SigmoidEnd}.");

    private double Scaled(double beta, string option)
    {
        var scaled = 1000.0 / Timesteps * beta;
        if (scaled <= 1)
            return scaled;
        var least = (int)Math.Ceiling(1000 * beta);
        throw new ArgumentException(
            $"The linear schedule multiplies its betas by 1000/T, so with NoiseScheduleOptions.Timesteps = {Timesteps} the {option} {beta} becomes {scaled}: above 1, not a variance. " +
            $"Use at least {least} timesteps, another kind (Cosine works for any T), or train with more timesteps and respace to {Timesteps} when sampling.");
    }
}
