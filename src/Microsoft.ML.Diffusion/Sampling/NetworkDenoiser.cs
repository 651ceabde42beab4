namespace Microsoft.ML.Diffusion;

/// <summary>Turns a network into the one meaning that samplers know: x_0, whatever it predicts, guided and clipped.</summary>
public sealed class NetworkDenoiser : IDenoiser
{
    private readonly Func<Tensor, double, Tensor> _run;
    private readonly StepEmbeddings? _embeddings;
    private readonly NoiseSchedule _schedule;
    private readonly DenoiserOptions _options;

    /// <summary>Wraps a network.</summary>
    /// <param name="model">
    /// The network with its condition. With guidance it is called with 2N rows: the batch with the condition, then the same batch without it; see <see cref="Bind"/>.
    /// </param>
    /// <param name="schedule">The schedule that it was trained on.</param>
    /// <param name="options">How its output is read; null reads ε, clips and does not guide.</param>
    /// <exception cref="ArgumentException">The schedule has zero terminal SNR and the network predicts ε.</exception>
    public NetworkDenoiser(DenoisingModel model, NoiseSchedule schedule, DenoiserOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(schedule);
        _schedule = schedule;
        _options = options ?? new DenoiserOptions();
        schedule.EnsureSupports(_options.Prediction);
        _run = (input, timestep) =>
        {
            using var timesteps = full([input.shape[0]], Held(timestep), float32, input.device);
            return model(input, timesteps);
        };
    }

    /// <summary>Wraps a network whose embeddings are computed for many steps at once.</summary>
    /// <param name="network">The network with the batch's classes, guided as the options say; not disposed.</param>
    /// <param name="schedule">The schedule that it was trained on.</param>
    /// <param name="options">How its output is read.</param>
    internal NetworkDenoiser(StepEmbeddings network, NoiseSchedule schedule, DenoiserOptions options)
    {
        _schedule = schedule;
        _options = options;
        schedule.EnsureSupports(options.Prediction);
        _embeddings = network;
        _run = network.Run;
    }

    /// <summary>A network with the classes of a batch, doubled for guidance where the options ask for it.</summary>
    /// <param name="network">In evaluation mode.</param>
    /// <param name="labels">[N] int64 on the network's device, or null where the network has no classes. Not disposed.</param>
    /// <param name="nullLabel">The class that means "no class".</param>
    /// <param name="options">Of the denoiser that the model is for.</param>
    /// <exception cref="ArgumentException">Guidance without classes.</exception>
    /// <exception cref="InvalidOperationException">The network is in training mode.</exception>
    public static DenoisingModel Bind(DenoisingNetwork network, Tensor? labels, long nullLabel, DenoiserOptions options)
    {
        ArgumentNullException.ThrowIfNull(network);
        ArgumentNullException.ThrowIfNull(options);
        StepEmbeddings.Check(network, labels, options.IsGuided, nameof(options));
        if (!options.IsGuided)
            return (x, timesteps) => network.forward(x, timesteps, labels);
        Tensor classes = labels!;   // checked above
        return (x, timesteps) =>
        {
            using var without = full_like(classes, Held(nullLabel));
            using var both = cat([classes, without]);
            return network.forward(x, timesteps, both);
        };
    }

    /// <inheritdoc/>
    public Denoised Denoise(Tensor x, NoiseLevel level)
    {
        using var noGrad = no_grad();
        using var scope = NewDisposeScope();
        var rows = x.shape[0];
        var input = x.to_type(ScalarType.Float32);
        if (_options.IsGuided)
            input = cat([input, input]);
        var output = _run(input, Timestep(level));
        var (prediction, variance) = Split(output, input.shape);
        if (_options.IsGuided)
        {
            prediction = Guide(prediction.narrow(0, 0, rows), prediction.narrow(0, rows, rows));
            variance = variance?.narrow(0, 0, rows).clone();
        }

        var unclipped = X0(x, prediction, level);
        var clips = _options.Threshold.Kind != X0ThresholdKind.None;
        var x0 = clips ? _options.Threshold.Apply(unclipped) : unclipped;
        return new Denoised(x0.MoveToOuterDisposeScope(), _options.Variance == VarianceType.LearnedRange ? variance?.MoveToOuterDisposeScope() : null)
        {
            LogVariance = _options.Variance == VarianceType.Learned ? variance?.MoveToOuterDisposeScope() : null,
            PreviousX = _options.Prediction == PredictionType.PreviousX ? prediction.clone().MoveToOuterDisposeScope() : null,
            Unclipped = clips ? unclipped.MoveToOuterDisposeScope() : null,
        };
    }

    /// <inheritdoc/>
    public void Expect(IReadOnlyList<NoiseLevel> levels)
    {
        ArgumentNullException.ThrowIfNull(levels);
        _embeddings?.Expect([.. levels.Select(Timestep)]);
    }

    private double Timestep(NoiseLevel level) => level.Timestep * (_options.RescaleTimesteps ? 1000.0 / _schedule.Timesteps : 1);

    private (Tensor Prediction, Tensor? Variance) Split(Tensor output, long[] input)
    {
        var learned = _options.Variance is VarianceType.LearnedRange or VarianceType.Learned;
        var channels = input[1];
        if (output.shape[0] != input[0] || output.shape[1] != (learned ? 2 * channels : channels))
        {
            throw new InvalidOperationException(
                $"The model answered [{string.Join(", ", output.shape)}] to a batch of [{string.Join(", ", input)}]; with variance {_options.Variance} it should have {(learned ? 2 * channels : channels)} channels.");
        }
        return learned ? (output.narrow(1, 0, channels), output.narrow(1, channels, channels)) : (output, null);
    }

    private Tensor Guide(Tensor with, Tensor without)
    {
        // out = without + w·(with − without); the same whether the output is ε, x_0 or v, as all are linear in one another.
        var guided = SamplingRun.Combine(_options.GuidanceScale, with, 1 - _options.GuidanceScale, without);
        if (_options.GuidanceRescale == 0)
            return guided;
        long[] image = [1, 2, 3];
        var ratio = with.std(image, keepdim: true) / guided.std(image, keepdim: true);
        return guided.mul_(ratio.mul_(Held(_options.GuidanceRescale)).add_(Held(1 - _options.GuidanceRescale), Held(1)));
    }

    private Tensor X0(Tensor x, Tensor prediction, NoiseLevel level)
    {
        double signal = Math.Sqrt(level.AlphaBar), noise = Math.Sqrt(1 - level.AlphaBar);
        switch (_options.Prediction)
        {
            case PredictionType.Epsilon:
                return SamplingRun.Combine(1 / signal, x, -noise / signal, prediction);
            case PredictionType.X0:
                return prediction.clone();
            case PredictionType.V:
                return SamplingRun.Combine(signal, x, -noise, prediction);
            default:
                return FromPreviousX(x, prediction, level);
        }
    }

    // The posterior mean solved for x_0; defined at the steps of the trained process only.
    private Tensor FromPreviousX(Tensor x, Tensor previous, NoiseLevel level)
    {
        var t = (int)Math.Round(level.Timestep);
        if (t != level.Timestep || t >= _schedule.Timesteps || _schedule.AlphaBar(t) != level.AlphaBar)
            throw new InvalidOperationException($"A network that predicts the previous step can only be asked at the timesteps of its own process, not at {level.Timestep}. Use the DDPM or DDIM sampler.");
        double before = _schedule.AlphaBar(t - 1), beta = _schedule.Betas[t];
        var ofX0 = beta * Math.Sqrt(before) / (1 - level.AlphaBar);
        var ofX = (1 - before) * Math.Sqrt(1 - beta) / (1 - level.AlphaBar);
        return SamplingRun.Combine(-ofX / ofX0, x, 1 / ofX0, previous);
    }
}
