namespace Microsoft.ML.Diffusion;

/// <summary>
/// The diffusion process of Ho et al. 2020 and Nichol and Dhariwal 2021: q, which adds noise, and p, which a network's output defines and which removes it.
/// Knows no network. Batches are [N, C, H, W] float32 in [−1, 1] where they are images; t is [N] int64, 0 … T−1, on the same device.
/// Every returned tensor belongs to the caller. Safe for several threads; dispose it to free the tables on the devices.
/// </summary>
public sealed partial class GaussianDiffusion : IDisposable
{
    private readonly CoefficientTables _tables;
    private readonly int[] _timestepMap;

    /// <summary>A process over a schedule.</summary>
    /// <param name="schedule">How much noise each timestep adds.</param>
    /// <param name="prediction">What the network's output stands for.</param>
    /// <param name="variance">The variance of the reverse step.</param>
    /// <param name="rescaleTimesteps">Tells the network t·1000/T instead of t, so that T can be changed without changing what its time embedding sees.</param>
    /// <exception cref="ArgumentException">The schedule has zero terminal SNR and the network predicts epsilon.</exception>
    public GaussianDiffusion(
        NoiseSchedule schedule,
        PredictionType prediction = PredictionType.Epsilon,
        VarianceType variance = VarianceType.FixedLarge,
        bool rescaleTimesteps = false)
        : this(schedule, prediction, variance, rescaleTimesteps, null, schedule?.Timesteps ?? 0)
    {
    }

    private GaussianDiffusion(NoiseSchedule? schedule, PredictionType prediction, VarianceType variance, bool rescaleTimesteps, int[]? timestepMap, int originalTimesteps)
    {
        ArgumentNullException.ThrowIfNull(schedule);
        schedule.EnsureSupports(prediction);
        Schedule = schedule;
        Prediction = prediction;
        Variance = variance;
        RescaleTimesteps = rescaleTimesteps;
        OriginalTimesteps = originalTimesteps;
        Coefficients = new DiffusionCoefficients(schedule);
        _timestepMap = timestepMap ?? [.. Enumerable.Range(0, schedule.Timesteps)];
        _tables = new CoefficientTables(coefficient => coefficient == Coefficient.ModelTime ? ModelTimes() : Coefficients.Compute(coefficient));
    }

    /// <summary>The schedule; that of the kept steps where the process was respaced.</summary>
    public NoiseSchedule Schedule { get; }

    /// <summary>The float64 tables of <see cref="Schedule"/>.</summary>
    public DiffusionCoefficients Coefficients { get; }

    /// <summary>What the network's output stands for.</summary>
    public PredictionType Prediction { get; }

    /// <summary>The variance of the reverse step.</summary>
    public VarianceType Variance { get; }

    /// <summary>Whether the network is told t·1000/T.</summary>
    public bool RescaleTimesteps { get; }

    /// <summary>T: the steps of this process.</summary>
    public int Timesteps => Schedule.Timesteps;

    /// <summary>The steps of the process that the network was trained on.</summary>
    public int OriginalTimesteps { get; }

    /// <summary>For each step of this process, the timestep it has in the process that the network was trained on.</summary>
    public ReadOnlySpan<int> TimestepMap => _timestepMap;

    /// <summary>The same network's process over fewer steps: betas derived anew, so that ᾱ at the kept steps stays (Nichol and Dhariwal 2021, equation 19).</summary>
    /// <param name="timesteps">The steps to keep, rising, in 0 … T−1.</param>
    /// <exception cref="ArgumentException">There are none, they do not rise or one is out of range.</exception>
    public GaussianDiffusion Respace(ReadOnlySpan<int> timesteps)
    {
        if (timesteps.IsEmpty)
            throw new ArgumentException("A respaced process needs at least one timestep.", nameof(timesteps));
        var kept = new double[timesteps.Length];
        var map = new int[timesteps.Length];
        for (var step = 0; step < kept.Length; step++)
        {
            if (timesteps[step] < 0 || timesteps[step] >= Timesteps || (step > 0 && timesteps[step] <= timesteps[step - 1]))
                throw new ArgumentException($"The timesteps to keep must rise and lie in 0 … {Timesteps - 1}; number {step} is {timesteps[step]}.", nameof(timesteps));
            kept[step] = Schedule.AlphasCumprod[timesteps[step]];
            map[step] = _timestepMap[timesteps[step]];
        }
        return new GaussianDiffusion(NoiseSchedule.FromAlphasCumprod(kept), Prediction, Variance, RescaleTimesteps, map, OriginalTimesteps);
    }

    /// <summary>The same network's process over fewer steps.</summary>
    /// <param name="spec">"10,15,20", "ddim50" or "50": see <see cref="TimestepSpacing.Parse"/>.</param>
    /// <exception cref="FormatException">The text is no respacing.</exception>
    /// <exception cref="ArgumentException">The process cannot be respaced so.</exception>
    public GaussianDiffusion Respace(string spec) => Respace(TimestepSpacing.Parse(spec, Timesteps));

    /// <summary>The time that the network is told: of the process it was trained on, times 1000/T of that process where <see cref="RescaleTimesteps"/> is set.</summary>
    /// <param name="t">[N] int64.</param>
    /// <returns>[N] float32.</returns>
    public Tensor ModelTime(Tensor t) => _tables.Gather(Coefficient.ModelTime, t);

    /// <summary>Frees the tables on the devices.</summary>
    public void Dispose() => _tables.Dispose();

    private double[] ModelTimes()
    {
        var scale = RescaleTimesteps ? 1000.0 / OriginalTimesteps : 1;
        return Array.ConvertAll(_timestepMap, t => t * scale);
    }

    /// <summary>One number a row: [N, 1, 1, 1].</summary>
    internal Tensor At(Coefficient coefficient, Tensor t, Tensor like) => _tables.Gather(coefficient, t, like);

    /// <summary>One number a row: [N].</summary>
    internal Tensor RowsOf(Coefficient coefficient, Tensor t) => _tables.Gather(coefficient, t);

    private static void Check(Tensor x, Tensor t)
    {
        if (t.dim() != 1 || t.shape[0] != x.shape[0] || t.dtype != ScalarType.Int64)
            throw new ArgumentException($"t must be int64 with one timestep for each of the {x.shape[0]} rows of x, not {t.dtype} [{string.Join(", ", t.shape)}].", nameof(t));
    }

    private static void CheckAlike(Tensor x, Tensor other, string name)
    {
        if (!x.shape.AsSpan().SequenceEqual(other.shape))
            throw new ArgumentException($"{name} has shape [{string.Join(", ", other.shape)}] where x has [{string.Join(", ", x.shape)}].", name);
    }
}
