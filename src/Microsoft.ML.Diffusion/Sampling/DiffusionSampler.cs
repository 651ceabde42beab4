using System.Text.Json.Serialization;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// How images are drawn from a trained model: chosen when generating, not when training. Immutable, compared by value, stored in the model file as JSON.
/// Make one with the methods here; <c>with { … }</c> changes the rest.
/// </summary>
[JsonPolymorphic(TypeDiscriminatorPropertyName = "Sampler")]
[JsonDerivedType(typeof(AncestralSampler), "Ddpm")]
[JsonDerivedType(typeof(DdimSampler), "Ddim")]
public abstract record DiffusionSampler
{
    private protected DiffusionSampler()
    {
    }

    /// <summary>Ancestral sampling (Ho et al. 2020, algorithm 2), over fewer steps by respacing (Nichol and Dhariwal 2021, section 4).</summary>
    /// <param name="steps">1 … T; null takes all T steps of the model's process.</param>
    /// <param name="variance">The variance of a step; null takes the learned one where the model has it, else the one that suits the number of steps (see <see cref="AncestralSampler.Variance"/>).</param>
    /// <param name="spacing">Which steps; null is <see cref="SamplerSpacing.Linspace"/>.</param>
    /// <exception cref="ArgumentOutOfRangeException">Fewer than one step.</exception>
    public static DiffusionSampler Ddpm(int? steps = null, VarianceType? variance = null, SamplerSpacing? spacing = null)
        => new AncestralSampler { Steps = steps, Variance = variance, Spacing = spacing ?? SamplerSpacing.Linspace };

    /// <summary>DDIM (Song et al. 2020, equation 12).</summary>
    /// <param name="steps">1 … T.</param>
    /// <param name="eta">Noise on the way, 0 … 1: 0 is deterministic, 1 is ancestral sampling with the small variance (equation 16).</param>
    /// <param name="spacing">Which steps; null is <see cref="SamplerSpacing.Trailing"/>, which begins at pure noise.</param>
    /// <exception cref="ArgumentOutOfRangeException">Fewer than one step, or eta outside 0 … 1.</exception>
    public static DiffusionSampler Ddim(int steps = 50, double eta = 0, SamplerSpacing? spacing = null)
        => new DdimSampler { Steps = steps, Eta = eta, Spacing = spacing ?? SamplerSpacing.Trailing };

    /// <summary>Draws a batch.</summary>
    /// <param name="request">The model, the noise to begin with and what to do on the way.</param>
    /// <returns>[N, C, H, W] float32 on the device of <see cref="SamplingRequest.Start"/>; the caller disposes it.</returns>
    /// <exception cref="ArgumentException">The model's process cannot be sampled with these settings.</exception>
    /// <exception cref="InvalidOperationException">The sampler adds noise and the request has no source of it.</exception>
    /// <exception cref="OperationCanceledException">The request was cancelled; nothing is left behind.</exception>
    public abstract Tensor Sample(SamplingRequest request);

    private protected static int AtLeastOne(int value, string name)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(value, 1, name);
        return value;
    }

    private protected static double Within(double value, double low, double high, string name)
        => value >= low && value <= high
            ? value
            : throw new ArgumentOutOfRangeException(name, value, $"{name} must lie in {low} … {high}.");
}
