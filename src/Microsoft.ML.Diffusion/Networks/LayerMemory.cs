using TorchSharp;

namespace Microsoft.ML.Diffusion;

/// <summary>Where the parameters of an operator and of the norm before it lie, or the gradients of all of these.</summary>
/// <param name="weight">[D, k, k, C].</param>
/// <param name="bias">[D], or null.</param>
/// <param name="normWeight">[C], or null without a norm.</param>
/// <param name="normBias">[C], or null without a norm.</param>
internal readonly unsafe struct LayerMemory(float* weight, float* bias, float* normWeight, float* normBias)
{
    /// <summary>[D, k, k, C].</summary>
    public float* Weight { get; } = weight;

    /// <summary>[D], or null.</summary>
    public float* Bias { get; } = bias;

    /// <summary>[C], or null without a norm.</summary>
    public float* NormWeight { get; } = normWeight;

    /// <summary>[C], or null without a norm.</summary>
    public float* NormBias { get; } = normBias;
}

/// <summary>A layer whose parameters are all known (<see cref="ParameterMemory"/>).</summary>
/// <param name="Numbers">The parameters.</param>
/// <param name="Gradients">What is added to their gradients; null where not all of them have one.</param>
internal sealed record KnownLayer(LayerMemory Numbers, LayerMemory? Gradients)
{
    /// <summary>Looks a layer up.</summary>
    /// <param name="weight">Its weight; null: a norm by itself.</param>
    /// <param name="bias">Its bias; or null.</param>
    /// <param name="norm">The norm before it; or null.</param>
    /// <returns>Null where one of them is not known.</returns>
    public static unsafe KnownLayer? Of(Tensor? weight, Tensor? bias, NormArguments? norm = null)
    {
        var ofWeight = Place(weight);
        if (weight is not null && ofWeight is null)
            return null;
        var (ofBias, normWeight, normBias) = (Place(bias), Place(norm?.Weight), Place(norm?.Bias));
        if ((bias is not null && ofBias is null) || (norm is not null && (normWeight is null || normBias is null)))
            return null;
        bool learns = ofWeight is not { Gradient: null } && ofBias is not { Gradient: null } && normWeight is not { Gradient: null } && normBias is not { Gradient: null };
        return new(
            new(Numbers(ofWeight), Numbers(ofBias), Numbers(normWeight), Numbers(normBias)),
            learns ? new(Gradient(ofWeight), Gradient(ofBias), Gradient(normWeight), Gradient(normBias)) : null);

        static ParameterPlace? Place(Tensor? parameter) => parameter is null ? null : ParameterMemory.Of(parameter);

        static float* Numbers(ParameterPlace? place) => place is null ? null : place.Numbers;

        static float* Gradient(ParameterPlace? place) => place is null ? null : place.Gradient;
    }
}

/// <summary>A layer as kernels read it, with the views that takes where it is not known.</summary>
internal readonly unsafe ref struct ReadLayer : IDisposable
{
    private readonly Tensor? _kernel;

    /// <summary>Reads.</summary>
    /// <param name="known">The layer, if it is known.</param>
    /// <param name="weight">[D, C, k, k], or [D, C].</param>
    /// <param name="bias">[D] or null.</param>
    /// <param name="normWeight">[C] or null.</param>
    /// <param name="normBias">[C] or null.</param>
    public ReadLayer(KnownLayer? known, Tensor weight, Tensor? bias, Tensor? normWeight, Tensor? normBias)
    {
        if (known is not null)
        {
            Memory = known.Numbers;
            return;
        }
        _kernel = weight.dim() == 4 ? ChannelsLast.Pixels(weight) : weight.contiguous();
        Memory = new(HostMemory.Pointer(_kernel), HostMemory.PointerOrNull(bias), HostMemory.PointerOrNull(normWeight), HostMemory.PointerOrNull(normBias));
    }

    /// <summary>The numbers; they go with this.</summary>
    public LayerMemory Memory { get; }

    /// <inheritdoc/>
    public void Dispose() => _kernel?.Dispose();
}
