namespace Microsoft.ML.Diffusion;

/// <summary>
/// How much noise each timestep adds: β_t, the variance added by step t, and ᾱ_t = Π_{s≤t}(1 − β_s), the share of signal left after it.
/// Timesteps count from 0: t = 0 is one step of noise, not none. Immutable, float64.
/// </summary>
public sealed class NoiseSchedule
{
    private readonly double[] _betas;
    private readonly double[] _alphasCumprod;

    private NoiseSchedule(double[] betas, double[] alphasCumprod) => (_betas, _alphasCumprod) = (betas, alphasCumprod);

    /// <summary>T, the number of noising steps.</summary>
    public int Timesteps => _betas.Length;

    /// <summary>β_t, t = 0 … T−1, each in (0, 1].</summary>
    public ReadOnlySpan<double> Betas => _betas;

    /// <summary>ᾱ_t, t = 0 … T−1, falling, in [0, 1).</summary>
    public ReadOnlySpan<double> AlphasCumprod => _alphasCumprod;

    /// <summary>Whether the last step leaves no signal at all: ᾱ_{T−1} = 0.</summary>
    public bool HasZeroTerminalSnr => _alphasCumprod[^1] == 0;

    /// <summary>A schedule with the given betas.</summary>
    /// <param name="betas">T values in (0, 1]; 1 only at the last step.</param>
    /// <exception cref="ArgumentException">There is no β, or one is out of range.</exception>
    public static NoiseSchedule FromBetas(ReadOnlySpan<double> betas)
    {
        if (betas.IsEmpty)
            throw new ArgumentException("A noise schedule needs at least one beta.", nameof(betas));
        var alphasCumprod = new double[betas.Length];
        var product = 1.0;
        for (var t = 0; t < betas.Length; t++)
        {
            if (betas[t] is not (> 0 and <= 1))
                throw new ArgumentException($"Beta {betas[t]} at timestep {t} is not a variance above 0 and not above 1.", nameof(betas));
            if (product == 0)
                throw new ArgumentException($"After timestep {t - 1} no signal is left (alphas_cumprod is 0), so the steps from {t} on have no meaning. Only the last beta may be 1.", nameof(betas));
            alphasCumprod[t] = product *= 1 - betas[t];
        }
        return new NoiseSchedule(betas.ToArray(), alphasCumprod);
    }

    /// <summary>A schedule with the given cumulative products: β_t = 1 − ᾱ_t/ᾱ_{t−1}.</summary>
    /// <param name="alphasCumprod">T strictly falling values below 1; 0 only at the last step.</param>
    /// <exception cref="ArgumentException">There is no value, or they do not fall.</exception>
    public static NoiseSchedule FromAlphasCumprod(ReadOnlySpan<double> alphasCumprod)
    {
        var betas = new double[alphasCumprod.Length];
        var before = 1.0;
        for (var t = 0; t < betas.Length; t++)
        {
            if (!(alphasCumprod[t] < before && alphasCumprod[t] >= 0))
                throw new ArgumentException($"alphas_cumprod must fall strictly from 1 towards 0, but at timestep {t} {alphasCumprod[t]} follows {before}.", nameof(alphasCumprod));
            betas[t] = 1 - alphasCumprod[t] / before;
            before = alphasCumprod[t];
        }
        return FromBetas(betas);
    }

    /// <summary>ᾱ at a timestep, with ᾱ_{−1} = 1: before the first step nothing is noise.</summary>
    /// <param name="timestep">−1 … T−1.</param>
    /// <exception cref="ArgumentOutOfRangeException">The timestep is outside.</exception>
    public double AlphaBar(int timestep)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(timestep, -1);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(timestep, Timesteps);
        return timestep < 0 ? 1 : _alphasCumprod[timestep];
    }

    /// <summary>The signal-to-noise ratio ᾱ_t/(1 − ᾱ_t).</summary>
    /// <param name="timestep">0 … T−1.</param>
    /// <exception cref="ArgumentOutOfRangeException">The timestep is outside.</exception>
    public double SignalToNoise(int timestep)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(timestep);
        var alphaBar = AlphaBar(timestep);
        return alphaBar / (1 - alphaBar);
    }

    /// <summary>The noise level at a timestep of this schedule.</summary>
    /// <param name="timestep">0 … T−1.</param>
    /// <exception cref="ArgumentOutOfRangeException">The timestep is outside.</exception>
    public NoiseLevel LevelAt(int timestep)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(timestep);
        return new NoiseLevel(timestep, AlphaBar(timestep));
    }

    /// <summary>
    /// Shifts and scales √ᾱ so that its first value stays and its last becomes 0 (Lin et al. 2024, algorithm 1):
    /// sampling starts from noise alone, so training must end there. For x0 and v prediction.
    /// </summary>
    /// <exception cref="InvalidOperationException">The schedule has a single timestep.</exception>
    public NoiseSchedule WithZeroTerminalSnr()
    {
        if (Timesteps < 2)
            throw new InvalidOperationException("A schedule of one timestep cannot be rescaled to zero terminal SNR: its only step would leave no signal to learn from.");
        double first = Math.Sqrt(_alphasCumprod[0]), last = Math.Sqrt(_alphasCumprod[^1]);
        var rescaled = new double[Timesteps];
        for (var t = 0; t < Timesteps; t++)
        {
            var root = (Math.Sqrt(_alphasCumprod[t]) - last) * (first / (first - last));
            rescaled[t] = root * root;
        }
        return FromAlphasCumprod(rescaled);
    }

    /// <summary>Refuses what the schedule makes impossible: epsilon prediction where a step holds noise alone.</summary>
    /// <param name="prediction">What the network predicts.</param>
    /// <exception cref="ArgumentException">The schedule has zero terminal SNR and the network predicts epsilon.</exception>
    public void EnsureSupports(PredictionType prediction)
    {
        if (HasZeroTerminalSnr && prediction == PredictionType.Epsilon)
            throw new ArgumentException(
                "A schedule with zero terminal SNR cannot be used with epsilon prediction: at the last timestep x_t is the noise itself, so predicting it says nothing of x0 " +
                "(x0 = (x_t - sqrt(1 - alphas_cumprod) * eps) / sqrt(alphas_cumprod) divides by zero). Use PredictionType.V or PredictionType.X0, or a schedule without ZeroTerminalSnr.");
    }
}
