namespace Microsoft.ML.Diffusion;

/// <summary>A batch's loss, one number a row. Owns its tensors.</summary>
/// <param name="Loss">[N]: what is minimised.</param>
/// <param name="Regression">[N]: the prediction's error before any weight, detached; null where the loss is the bound.</param>
/// <param name="Bound">[N]: the bound's share of the loss, with its factor, detached; null where it has none.</param>
public readonly record struct DiffusionLossRows(Tensor Loss, Tensor? Regression, Tensor? Bound) : IDisposable
{
    /// <inheritdoc/>
    public void Dispose()
    {
        Loss.Dispose();
        Regression?.Dispose();
        Bound?.Dispose();
    }
}

/// <summary>The training loss of a process.</summary>
public sealed class DiffusionLoss
{
    private readonly GaussianDiffusion _diffusion;
    private readonly DiffusionLossOptions _options;

    /// <summary>A loss.</summary>
    /// <param name="diffusion">The process; not disposed.</param>
    /// <param name="options">What is minimised.</param>
    /// <exception cref="ArgumentException">The loss does not go with the process.</exception>
    public DiffusionLoss(GaussianDiffusion diffusion, DiffusionLossOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(diffusion);
        _diffusion = diffusion;
        _options = options ?? new DiffusionLossOptions();
        if (_options.MinSnrGamma is null)
            return;
        if (_options.Type is LossType.Bound or LossType.RescaledBound)
            throw new ArgumentException($"Min-SNR weighting (MinSnrGamma = {_options.MinSnrGamma}) weighs a regression; LossType.{_options.Type} already weighs each timestep as the bound does.", nameof(options));
        if (diffusion.Prediction == PredictionType.PreviousX)
            throw new ArgumentException("Min-SNR weighting is defined for epsilon, x0 and v prediction, not for PreviousX.", nameof(options));
    }

    /// <summary>What is minimised.</summary>
    public DiffusionLossOptions Options => _options;

    /// <summary>Draws the noise to train with: standard normal, plus the options' offset noise.</summary>
    /// <param name="shape">[N, C, H, W].</param>
    /// <param name="generator">On the CPU; the draws depend on its state alone, on a GPU too.</param>
    /// <param name="device">Where; null for the CPU.</param>
    public Tensor DrawNoise(ReadOnlySpan<long> shape, Generator generator, Device? device = null)
    {
        var noise = DeviceRandom.Normal(shape, generator, device);
        if (_options.OffsetNoise == 0)
            return noise;
        var shared = new long[shape.Length];
        Array.Fill(shared, 1);
        shape[..2].CopyTo(shared);
        using (noise)
        using (var channel = DeviceRandom.Normal(shared, generator, device))
        using (var offset = channel * Held(_options.OffsetNoise))
            return noise.Plus(offset);
    }

    /// <summary>The loss of a batch: noises it, runs the network, compares.</summary>
    /// <param name="model">The network.</param>
    /// <param name="x0">[N, C, H, W] in [−1, 1].</param>
    /// <param name="t">[N] int64.</param>
    /// <param name="noise">ε, shaped as <paramref name="x0"/>.</param>
    public DiffusionLossRows Compute(DenoisingModel model, Tensor x0, Tensor t, Tensor noise)
    {
        ArgumentNullException.ThrowIfNull(model);
        using var x = _diffusion.QSample(x0, t, noise);
        using var time = _diffusion.ModelTime(t);
        using var output = model(x, time);
        return Compute(output, x0, x, t, noise);
    }

    /// <summary>The loss of what a network said of a noisy batch.</summary>
    /// <param name="output">[N, C, H, W], or [N, 2C, H, W] where the variance is learned.</param>
    /// <param name="x0">[N, C, H, W] in [−1, 1].</param>
    /// <param name="x">x_t = √ᾱ_t·x_0 + √(1−ᾱ_t)·ε.</param>
    /// <param name="t">[N] int64.</param>
    /// <param name="noise">ε.</param>
    public DiffusionLossRows Compute(Tensor output, Tensor x0, Tensor x, Tensor t, Tensor noise)
    {
        using var scope = NewDisposeScope();
        if (_options.Type is LossType.Bound or LossType.RescaledBound)
        {
            var term = VariationalBound.Term(_diffusion, output, x0, x, t, X0Threshold.None).Bits;
            var whole = _options.Type == LossType.Bound ? term : term * Held(_diffusion.Timesteps);
            return Outer(scope, whole, null, whole.detach());
        }
        var (prediction, fraction) = _diffusion.Split(output, x);
        var error = Rows.Mean(Error(prediction, _diffusion.Target(x0, x, t, noise)));
        var loss = _options.MinSnrGamma is { } gamma ? error * MinSnrWeight(t, gamma) : error;
        if (fraction is null)
            return Outer(scope, loss.alias(), error.detach(), null);

        // The prediction is detached: it learns from the regression alone, the variance from the bound alone.
        var frozen = cat([prediction.detach(), fraction], 1);
        var bound = VariationalBound.Term(_diffusion, frozen, x0, x, t, X0Threshold.None).Bits;
        if (_options.Type != LossType.Simple)
            bound *= Held(_diffusion.Timesteps / 1000.0);
        return Outer(scope, loss.Plus(bound), error.detach(), bound.detach());
    }

    private Tensor Error(Tensor prediction, Tensor target) => _options.Type switch
    {
        LossType.L1 => (target - prediction).abs(),
        LossType.Huber => nn.functional.huber_loss(prediction, target, _options.HuberDelta, nn.Reduction.None),
        _ => (target - prediction).Squared(),
    };

    /// <summary>min(SNR, γ) over the weight that the regression gives x_0 by itself: SNR for ε, 1 for x_0, SNR + 1 for v.</summary>
    private Tensor MinSnrWeight(Tensor t, double gamma)
    {
        var snr = _diffusion.RowsOf(Coefficient.SignalToNoise, t);
        var capped = snr.clamp_max(Held(gamma));
        return _diffusion.Prediction switch
        {
            PredictionType.Epsilon => capped / snr,
            PredictionType.V => capped / (snr + Held(1)),
            _ => capped,
        };
    }

    private static DiffusionLossRows Outer(TorchSharp.DisposeScope scope, Tensor loss, Tensor? regression, Tensor? bound)
    {
        scope.MoveToOuter(loss);
        if (regression is not null)
            scope.MoveToOuter(regression);
        if (bound is not null)
            scope.MoveToOuter(bound);
        return new DiffusionLossRows(loss, regression, bound);
    }
}
