namespace Microsoft.ML.Diffusion;

/// <summary>
/// Every number that the process needs of each timestep, in float64, computed once from a schedule. Index t = 0 … T−1; ᾱ_{−1} = 1, ᾱ_T = 0.
/// Equations of Ho et al. 2020.
/// </summary>
public sealed class DiffusionCoefficients
{
    private readonly double[] _previous, _next, _posteriorVariance, _posteriorLogVariance, _posteriorX0, _posteriorX, _large;

    /// <summary>Computes the tables of a schedule.</summary>
    /// <param name="schedule">The schedule.</param>
    public DiffusionCoefficients(NoiseSchedule schedule)
    {
        ArgumentNullException.ThrowIfNull(schedule);
        Schedule = schedule;
        ReadOnlySpan<double> betas = schedule.Betas, alphaBar = schedule.AlphasCumprod;
        var steps = schedule.Timesteps;
        _previous = new double[steps];
        _next = new double[steps];
        _posteriorVariance = new double[steps];
        _posteriorX0 = new double[steps];
        _posteriorX = new double[steps];
        for (var t = 0; t < steps; t++)
        {
            _previous[t] = schedule.AlphaBar(t - 1);
            _next[t] = t + 1 < steps ? alphaBar[t + 1] : 0;
            _posteriorVariance[t] = betas[t] * (1 - _previous[t]) / (1 - alphaBar[t]);
            _posteriorX0[t] = betas[t] * Math.Sqrt(_previous[t]) / (1 - alphaBar[t]);
            _posteriorX[t] = (1 - _previous[t]) * Math.Sqrt(1 - betas[t]) / (1 - alphaBar[t]);
        }
        // At t = 0 the posterior is a point and its log variance −∞; the value of t = 1 stands in for it. A single step has only its beta.
        var first = steps > 1 ? _posteriorVariance[1] : betas[0];
        _posteriorLogVariance = Array.ConvertAll(_posteriorVariance, Math.Log);
        _posteriorLogVariance[0] = Math.Log(first);
        _large = betas.ToArray();
        _large[0] = first;
    }

    /// <summary>The schedule that the tables are of.</summary>
    public NoiseSchedule Schedule { get; }

    /// <summary>ᾱ_{t−1}.</summary>
    public ReadOnlySpan<double> AlphasCumprodPrevious => _previous;

    /// <summary>ᾱ_{t+1}, 0 after the last step.</summary>
    public ReadOnlySpan<double> AlphasCumprodNext => _next;

    /// <summary>β̃_t = β_t·(1 − ᾱ_{t−1})/(1 − ᾱ_t), the variance of q(x_{t−1} | x_t, x_0): equation 7. 0 at t = 0.</summary>
    public ReadOnlySpan<double> PosteriorVariance => _posteriorVariance;

    /// <summary>log β̃_t, with the value of t = 1 at t = 0, where β̃ is 0.</summary>
    public ReadOnlySpan<double> PosteriorLogVarianceClipped => _posteriorLogVariance;

    /// <summary>√ᾱ_{t−1}·β_t/(1 − ᾱ_t), the weight of x_0 in the posterior mean: equation 7.</summary>
    public ReadOnlySpan<double> PosteriorMeanOfX0 => _posteriorX0;

    /// <summary>√α_t·(1 − ᾱ_{t−1})/(1 − ᾱ_t), the weight of x_t in the posterior mean: equation 7.</summary>
    public ReadOnlySpan<double> PosteriorMeanOfX => _posteriorX;

    /// <summary>β_t, with β̃_1 at t = 0: the larger fixed variance.</summary>
    public ReadOnlySpan<double> FixedLargeVariance => _large;

    internal double[] Compute(Coefficient coefficient)
    {
        Func<int, double> at = coefficient switch
        {
            Coefficient.AlphaBar => t => Schedule.AlphasCumprod[t],
            Coefficient.AlphaBarPrevious => t => _previous[t],
            Coefficient.AlphaBarNext => t => _next[t],
            Coefficient.SqrtAlphaBar => t => Math.Sqrt(Schedule.AlphasCumprod[t]),
            Coefficient.SqrtOneMinusAlphaBar => t => Math.Sqrt(1 - Schedule.AlphasCumprod[t]),
            Coefficient.OneMinusAlphaBar => t => 1 - Schedule.AlphasCumprod[t],
            Coefficient.LogOneMinusAlphaBar => t => Math.Log(1 - Schedule.AlphasCumprod[t]),
            Coefficient.SqrtRecipAlphaBar => t => Math.Sqrt(1 / Schedule.AlphasCumprod[t]),
            Coefficient.SqrtRecipM1AlphaBar => t => Math.Sqrt(1 / Schedule.AlphasCumprod[t] - 1),
            Coefficient.PosteriorX0 => t => _posteriorX0[t],
            Coefficient.PosteriorX => t => _posteriorX[t],
            Coefficient.RecipPosteriorX0 => t => 1 / _posteriorX0[t],
            Coefficient.PosteriorXOverX0 => t => _posteriorX[t] / _posteriorX0[t],
            Coefficient.PosteriorVariance => t => _posteriorVariance[t],
            Coefficient.PosteriorLogVariance => t => _posteriorLogVariance[t],
            Coefficient.LargeVariance => t => _large[t],
            Coefficient.LargeLogVariance => t => Math.Log(_large[t]),
            Coefficient.Beta => t => Schedule.Betas[t],
            Coefficient.LogBeta => t => Math.Log(Schedule.Betas[t]),
            Coefficient.SignalToNoise => t => Schedule.SignalToNoise(t),
            _ => throw new ArgumentOutOfRangeException(nameof(coefficient)),
        };
        var values = new double[Schedule.Timesteps];
        for (var t = 0; t < values.Length; t++)
            values[t] = at(t);
        return values;
    }
}

/// <summary>The tables that tensors are multiplied with; <see cref="CoefficientTables"/> holds them on a device.</summary>
internal enum Coefficient
{
    AlphaBar,
    AlphaBarPrevious,
    AlphaBarNext,
    SqrtAlphaBar,
    SqrtOneMinusAlphaBar,
    OneMinusAlphaBar,
    LogOneMinusAlphaBar,
    SqrtRecipAlphaBar,
    SqrtRecipM1AlphaBar,
    PosteriorX0,
    PosteriorX,
    RecipPosteriorX0,
    PosteriorXOverX0,
    PosteriorVariance,
    PosteriorLogVariance,
    LargeVariance,
    LargeLogVariance,
    Beta,
    LogBeta,
    SignalToNoise,
    ModelTime,
}
