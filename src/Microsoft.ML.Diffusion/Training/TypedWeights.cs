using TorchSharp.Modules;

namespace Microsoft.ML.Diffusion;

/// <summary>The weights of an optimizer once more, in the type that a network computes in on a GPU, with gradients in that type; both as views of a long vector.</summary>
internal sealed class TypedWeights : IDisposable
{
    private readonly Tensor _weights;
    private readonly Tensor _gradients;
    private readonly Dictionary<Tensor, Tensor> _copies = new(ReferenceEqualityComparer.Instance);

    /// <summary>Makes room for them.</summary>
    /// <param name="weights">All parameters, one after the other.</param>
    /// <param name="parameters">The parameters in that order.</param>
    /// <param name="type">What is computed in.</param>
    public TypedWeights(Tensor weights, IEnumerable<Parameter> parameters, ScalarType type)
    {
        using var noGrad = no_grad();
        using var scope = NewDisposeScope();
        _weights = weights.to(type).DetachFromDisposeScope();
        _gradients = zeros_like(_weights).DetachFromDisposeScope();
        long offset = 0;
        foreach (Parameter parameter in parameters)
        {
            Tensor copy = _weights.as_strided(parameter.shape, parameter.stride(), offset).DetachFromDisposeScope();
            copy.requires_grad = true;
            // Backward adds to a gradient that is there.
            copy.grad = _gradients.as_strided(parameter.shape, parameter.stride(), offset);
            _copies.Add(parameter, copy);
            offset += parameter.numel();
        }
    }

    /// <summary>Converts the weights and lets the calling thread's layers use them, until the result is disposed.</summary>
    /// <param name="weights">The vector that this was made of.</param>
    public TypedParameters.Scope Enter(Tensor weights)
    {
        using var noGrad = no_grad();
        using var scope = NewDisposeScope();
        _weights.copy_(weights);
        return TypedParameters.Enter(_copies);
    }

    /// <summary>Adds what backward left here, and clears it.</summary>
    /// <param name="gradients">Float32, in the order of the weights.</param>
    public void AddGradientsTo(Tensor gradients)
    {
        using var noGrad = no_grad();
        using var scope = NewDisposeScope();
        gradients.add_(_gradients, Held(1));
        _gradients.zero_();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (Tensor copy in _copies.Values)
            copy.Dispose();
        _weights.Dispose();
        _gradients.Dispose();
    }
}
