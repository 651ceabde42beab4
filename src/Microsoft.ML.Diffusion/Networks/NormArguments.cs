namespace Microsoft.ML.Diffusion;

/// <summary>A group norm and what follows it, handed to the operator that runs it or that it is fused into.</summary>
/// <param name="weight">[C].</param>
/// <param name="bias">[C].</param>
/// <param name="film">[N or 1, 2C], scales and then shifts; or null.</param>
/// <param name="settings">The settings.</param>
internal sealed class NormArguments(Tensor weight, Tensor bias, Tensor? film, NormSettings settings) : IDisposable
{
    /// <summary>[C]; belongs to the layer.</summary>
    public Tensor Weight { get; } = weight;

    /// <summary>[C]; belongs to the layer.</summary>
    public Tensor Bias { get; } = bias;

    /// <summary>[N or 1, C], FiLM's scales; null for none.</summary>
    public Tensor? Scale { get; } = film?.narrow(1, 0, film.shape[1] / 2);

    /// <summary>[N or 1, C], FiLM's shifts; null for none.</summary>
    public Tensor? Shift { get; } = film?.narrow(1, film.shape[1] / 2, film.shape[1] / 2);

    /// <summary>The settings.</summary>
    public NormSettings Settings { get; } = settings;

    /// <inheritdoc/>
    public void Dispose()
    {
        Scale?.Dispose();
        Shift?.Dispose();
    }
}
