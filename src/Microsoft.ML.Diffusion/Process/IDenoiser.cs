namespace Microsoft.ML.Diffusion;

/// <summary>
/// One meaning for every network, whatever it predicts, however it is conditioned and guided:
/// the clean image expected behind a noisy batch. Every sampler is written against this alone.
/// </summary>
public interface IDenoiser
{
    /// <summary>Estimates x_0 for each row of a noisy batch.</summary>
    /// <param name="x">[N, C, H, W] float32 or float64, x = √ᾱ·x_0 + √(1−ᾱ)·ε; not changed, not disposed.</param>
    /// <param name="level">The noise level, the same for the whole batch.</param>
    /// <returns>The estimate; the caller disposes it.</returns>
    Denoised Denoise(Tensor x, NoiseLevel level);

    /// <summary>Tells which levels a run is about to ask for, in order, so that what depends on them alone can be computed for all of them together. A run may ask for others too.</summary>
    /// <param name="levels">The levels.</param>
    void Expect(IReadOnlyList<NoiseLevel> levels)
    {
    }
}

/// <summary>What a denoiser says of a noisy batch. Owns its tensors.</summary>
/// <param name="X0">[N, C, H, W] float32 or float64: the expected clean image, clipped or thresholded where the denoiser was asked to.</param>
/// <param name="VarianceFraction">[N, C, H, W] float32 or null: the network's raw v in about [−1, 1] where it learned a range of variances.</param>
public readonly record struct Denoised(Tensor X0, Tensor? VarianceFraction = null) : IDisposable
{
    /// <summary>[N, C, H, W] float32 or null: the network's own log variance, where it learned that without bounds.</summary>
    public Tensor? LogVariance { get; init; }

    /// <summary>[N, C, H, W] float32 or null: the mean of x_{t−1}, where the network predicts that itself. Clipping x_0 does not touch it.</summary>
    public Tensor? PreviousX { get; init; }

    /// <summary>[N, C, H, W] or null: x_0 before it was clipped or thresholded; null where it was not.</summary>
    public Tensor? Unclipped { get; init; }

    /// <inheritdoc/>
    public void Dispose()
    {
        X0.Dispose();
        VarianceFraction?.Dispose();
        LogVariance?.Dispose();
        PreviousX?.Dispose();
        Unclipped?.Dispose();
    }
}
