namespace Microsoft.ML.Diffusion;

/// <summary>One batch to be generated: everything that a sampler needs and nothing that it keeps.</summary>
public sealed class SamplingRequest
{
    /// <summary>The model, as the clean image behind a noisy one.</summary>
    public required IDenoiser Denoiser { get; init; }

    /// <summary>The schedule that the model was trained on.</summary>
    public required NoiseSchedule Schedule { get; init; }

    /// <summary>[N, C, H, W] float32: standard normal noise (the image, for <see cref="DdimInversion"/>). Not changed, not disposed.</summary>
    public required Tensor Start { get; init; }

    /// <summary>Where samplers that add noise on the way take it from; null is enough for the deterministic ones.</summary>
    public INoiseSource? Noise { get; init; }

    /// <summary>Called once a step, before the step is taken. Slow work in here slows the sampling; an exception ends it.</summary>
    public Action<SamplingStep>? OnStep { get; init; }

    /// <summary>Looked at before every step.</summary>
    public CancellationToken CancellationToken { get; init; }
}

/// <summary>A moment of a run, for previews. The tensors belong to the sampler: use them inside the callback only, clone what is to be kept.</summary>
/// <param name="Index">The step about to be taken, 0 … Total−1.</param>
/// <param name="Total">The number of steps of the run.</param>
/// <param name="Level">How noisy <paramref name="X"/> is.</param>
/// <param name="X">[N, C, H, W] float32 or float64: the noisy batch, x = √ᾱ·x_0 + √(1−ᾱ)·ε.</param>
/// <param name="X0">[N, C, H, W] float32 or float64: the clean batch that the model expects behind it.</param>
public readonly record struct SamplingStep(int Index, int Total, NoiseLevel Level, Tensor X, Tensor X0);
