using Microsoft.ML.Runtime;

namespace Microsoft.ML.Diffusion;

public sealed partial class DdpmTransformer
{
    /// <summary>The same model with another sampler.</summary>
    /// <param name="sampler">How images are drawn; see <see cref="DiffusionSampler"/>'s methods.</param>
    /// <returns>A transformer over the same weights; the caller disposes it.</returns>
    public DdpmTransformer WithSampler(DiffusionSampler sampler)
    {
        ArgumentNullException.ThrowIfNull(sampler);
        return With(_settings with { Sampler = sampler });
    }

    /// <summary>The same model with classifier-free guidance (Ho and Salimans 2022), which doubles the work of a step.</summary>
    /// <param name="scale">1 follows the class as learned, more exaggerates it, 0 ignores it.</param>
    /// <param name="rescale">φ in [0, 1]: how far the guided prediction's spread is brought back to the unguided one's (Lin et al. 2024, section 3.4); 0 for not at all.</param>
    /// <returns>A transformer over the same weights; the caller disposes it.</returns>
    /// <exception cref="ArgumentOutOfRangeException">A parameter is out of range.</exception>
    /// <exception cref="InvalidOperationException">The model has no classes.</exception>
    public DdpmTransformer WithGuidance(double scale, double rescale = 0)
    {
        if (!(double.IsFinite(scale) && scale >= 0))
            throw new ArgumentOutOfRangeException(nameof(scale), scale, "The guidance scale is 0 or more.");
        if (!(rescale is >= 0 and <= 1))
            throw new ArgumentOutOfRangeException(nameof(rescale), rescale, "The guidance rescale is in [0, 1].");
        if (Shape.Classes == 0 && scale != 1)
            throw new InvalidOperationException("An unconditional model cannot be guided; train it with Options.LabelColumnName.");
        return With(_settings with { GuidanceScale = scale, GuidanceRescale = rescale });
    }

    /// <summary>The same model generating other numbers of images together; what each row gives stays the same.</summary>
    /// <param name="batchSize">At least 1. More is faster on a GPU and takes more memory.</param>
    /// <returns>A transformer over the same weights; the caller disposes it.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="batchSize"/> is below 1.</exception>
    public DdpmTransformer WithBatchSize(int batchSize)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(batchSize, 1);
        return With(_settings with { BatchSize = batchSize });
    }

    /// <summary>The same model computing in another precision.</summary>
    /// <param name="precision">What convolutions, products and attention compute in; the weights stay float32.</param>
    /// <returns>A transformer over the same weights; the caller disposes it.</returns>
    /// <exception cref="ArgumentOutOfRangeException">There is no such precision.</exception>
    public DdpmTransformer WithPrecision(ComputePrecision precision)
    {
        if (!Enum.IsDefined(precision))
            throw new ArgumentOutOfRangeException(nameof(precision), precision, "The precision is Automatic, Full or BFloat16.");
        return With(_settings with { Precision = precision });
    }

    /// <summary>The same model giving other images to rows that bring no seed.</summary>
    /// <param name="seed">Mixed with each row's id.</param>
    /// <returns>A transformer over the same weights; the caller disposes it.</returns>
    public DdpmTransformer WithSeed(int seed) => With(_settings with { Seed = seed });

    /// <summary>The same model taking the rows' seeds from another column.</summary>
    /// <param name="seedColumnName">A column of whole numbers, used where the input has it; null to take the row's id always.</param>
    /// <returns>A transformer over the same weights; the caller disposes it.</returns>
    public DdpmTransformer WithSeedColumn(string? seedColumnName) => With(_settings with { SeedColumnName = seedColumnName });

    /// <summary>The same model keeping the estimate of the clean image in range another way.</summary>
    /// <param name="threshold">Clipping is part of the published samplers' quality; dynamic thresholding suits strong guidance.</param>
    /// <returns>A transformer over the same weights; the caller disposes it.</returns>
    public DdpmTransformer WithThreshold(X0Threshold threshold)
    {
        ArgumentNullException.ThrowIfNull(threshold);
        return With(_settings with { Threshold = threshold });
    }

    /// <summary>The same model, watched: for progress and previews.</summary>
    /// <param name="onStep">Called before each step of the sampler, on the thread that generates; null for nothing.</param>
    /// <returns>A transformer over the same weights; the caller disposes it.</returns>
    public DdpmTransformer WithStepCallback(Action<SamplingStep>? onStep) => new(Model, _settings, onStep, _cancellationToken);

    /// <summary>The same model, stoppable: generating throws <see cref="OperationCanceledException"/> within a sampler step of cancellation.</summary>
    /// <param name="cancellationToken">Stops everything that the new transformer generates.</param>
    /// <returns>A transformer over the same weights; the caller disposes it.</returns>
    public DdpmTransformer WithCancellation(CancellationToken cancellationToken) => new(Model, _settings, _onStep, cancellationToken);

    /// <summary>
    /// The same model on the device that a context names by <see cref="MLContext.GpuDeviceId"/> and <see cref="MLContext.FallbackToCpu"/>.
    /// A model that <c>mlContext.Model.Load</c> gives is on the CPU, because ML.NET does not tell its loaders of the device.
    /// </summary>
    /// <param name="mlContext">Names the device; no id means the CPU.</param>
    /// <returns>A transformer over a copy of the weights on that device, or over the same weights where they are there already; the caller disposes it.</returns>
    /// <exception cref="InvalidOperationException">The device is not there, and the context does not fall back to the CPU.</exception>
    public DdpmTransformer WithDevice(MLContext mlContext)
    {
        ArgumentNullException.ThrowIfNull(mlContext);
        using var channel = ((IHostEnvironment)mlContext).Register(nameof(DdpmTransformer)).Start("Device");
        var device = DeviceSelection.Choose(mlContext.GpuDeviceId, mlContext.FallbackToCpu, message => channel.Warning(MessageSensitivity.None, message));
        return new(Model.On(device), _settings, _onStep, _cancellationToken);
    }

    private DdpmTransformer With(GenerationSettings settings) => new(Model, settings, _onStep, _cancellationToken);
}
