using TorchSharp;

namespace Microsoft.ML.Diffusion;

/// <summary>Generates batches for a data view: noise by each row's seed, the sampler's steps, pixels.</summary>
/// <param name="lease">The model's weights; ended with this.</param>
/// <param name="settings">How to generate.</param>
/// <param name="onStep">Called before each sampler step; null for nothing.</param>
/// <param name="cancellationToken">Looked at before each sampler step.</param>
internal sealed class DdpmGenerator(
    DdpmModel.Lease lease, GenerationSettings settings, Action<SamplingStep>? onStep, CancellationToken cancellationToken) : IImageGenerator
{
    private readonly DenoiserOptions _denoising = new()
    {
        Prediction = lease.Model.Info.Prediction,
        Variance = lease.Model.Info.Variance,
        Threshold = settings.Threshold,
        GuidanceScale = lease.Model.Info.Shape.Classes > 0 ? settings.GuidanceScale : 1,
        GuidanceRescale = settings.GuidanceRescale,
    };

    /// <inheritdoc/>
    public void Generate(ReadOnlySpan<long> labels, ReadOnlySpan<long> seeds, Span<float> images)
    {
        var model = lease.Model;
        var type = PrecisionPolicy.TypeFor(settings.Precision, model.Device);
        using var cores = DeviceSelection.Enter(model.Device, settings.Precision);
        using var parameters = new ParameterMemory(model.Network.parameters());
        using var known = parameters.Enter();
        using var weights = KeptWeights.Enter(model.Network.parameters());
        using var noGrad = no_grad();
        using var typed = new TypedParameters(model.Network.parameters(), type);
        using var inType = typed.Enter();
        using var scope = NewDisposeScope();
        using var noise = new PerRowNoise(seeds, [model.Info.Shape.Channels, model.Info.Shape.Height, model.Info.Shape.Width], model.Device);
        var classes = labels.IsEmpty ? null : tensor(labels.ToArray(), int64).to(model.Device);
        using var network = new StepEmbeddings(model.Network, classes, model.Info.Shape.Classes, _denoising.IsGuided, type);
        var result = settings.Sampler.Sample(new SamplingRequest
        {
            Denoiser = new NetworkDenoiser(network, model.Schedule, _denoising),
            Schedule = model.Schedule,
            Start = noise.Next(),
            Noise = noise,
            OnStep = onStep,
            CancellationToken = cancellationToken,
        });
        var pixels = result.clamp(Held(-1), Held(1)).to(CPU).contiguous();
        HostMemory.Floats(pixels).CopyTo(images);
    }

    /// <inheritdoc/>
    public void Dispose() => lease.Dispose();
}
