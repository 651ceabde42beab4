namespace Microsoft.ML.Diffusion;

/// <summary>
/// A run in the scale of Karras et al. 2022, x̂ = x/√ᾱ = x_0 + σ·ε: here <see cref="SamplingRun.X"/> is x̂, in float64,
/// because at σ = 80 float32 would leave the image three digits.
/// </summary>
internal sealed class SigmaRun : SamplingRun
{
    private readonly double[] _logSigmas;
    private readonly bool _roundTimesteps;
    private Tensor? _before;

    private SigmaRun(SamplingRequest request, SigmaGrid grid, double[] sigmas)
        : base(request, sigmas.Length - 1)
    {
        Sigmas = sigmas;
        _roundTimesteps = grid.RoundTimesteps;
        _logSigmas = new double[request.Schedule.Timesteps];
        for (var t = 0; t < _logSigmas.Length; t++)
            _logSigmas[t] = Math.Log(SigmaGrid.SigmaAt(request.Schedule, t));
        Expect([.. sigmas.Where(sigma => sigma > 0).Select(LevelAt)]);
        using var scope = NewDisposeScope();
        X = request.Start.to_type(ScalarType.Float64).mul(Held(grid.UnitVarianceStart ? Math.Sqrt(1 + sigmas[0] * sigmas[0]) : sigmas[0]));
    }

    public static SigmaRun Begin(SamplingRequest request, SigmaGrid grid, int steps) => new(request, grid, grid.Sigmas(request.Schedule, steps));

    /// <summary>σ at the beginning of each step, and at the end of the last.</summary>
    public double[] Sigmas { get; }

    /// <summary>x̂ as it was when the last step began; kept by <see cref="MoveOn"/>.</summary>
    public Tensor Before => _before ?? throw new InvalidOperationException("No step has been taken.");

    /// <summary>Sets X and keeps the one before.</summary>
    public void MoveOn(Tensor x)
    {
        _before?.Dispose();
        _before = X.alias().DetachFromDisposeScope();
        X = x;
    }

    /// <summary>The clean batch behind x̂ at a step's own σ, shown to the caller.</summary>
    public Tensor DenoiseStep(int step) => DenoiseStep(step, X, Sigmas[step]);

    /// <summary>The clean batch behind x̂, shown to the caller.</summary>
    public Tensor DenoiseStep(int step, Tensor x, double sigma)
    {
        var (scaled, level) = Scaled(x, sigma);
        return Ask(step, scaled, level).X0;
    }

    /// <summary>The clean batch behind a point in the middle of a step.</summary>
    public Tensor Denoise(Tensor x, double sigma)
    {
        var (scaled, level) = Scaled(x, sigma);
        return Request.Denoiser.Denoise(scaled, level).X0;
    }

    /// <inheritdoc/>
    public override Tensor Finish()
    {
        using var scope = NewDisposeScope();
        return X.div(Held(Math.Sqrt(1 + Sigmas[^1] * Sigmas[^1]))).to_type(Request.Start.dtype).MoveToOuterDisposeScope();
    }

    /// <inheritdoc/>
    public override void Dispose()
    {
        _before?.Dispose();
        base.Dispose();
    }

    private (Tensor X, NoiseLevel Level) Scaled(Tensor x, double sigma)
    {
        var level = LevelAt(sigma);
        return (x.mul(Held(Math.Sqrt(level.AlphaBar))), level);
    }

    private NoiseLevel LevelAt(double sigma) => new(TimestepAt(sigma), 1 / (1 + sigma * sigma));

    // Between two timesteps log σ is nearly linear in t; below the first and above the last there is none to tell the model.
    private double TimestepAt(double sigma)
    {
        var log = Math.Log(sigma);
        var above = Array.BinarySearch(_logSigmas, log);
        if (above >= 0)
            return above;
        above = ~above;
        if (above == 0 || above == _logSigmas.Length)
            return Math.Clamp(above, 0, _logSigmas.Length - 1);
        var t = above - (_logSigmas[above] - log) / (_logSigmas[above] - _logSigmas[above - 1]);
        return _roundTimesteps ? Math.Round(t) : t;
    }
}
