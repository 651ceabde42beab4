using TorchSharp;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// Folds FiLM into the norms of all blocks at once, for a GPU, which takes as long to be told of a step on so few numbers as to do it. Safe for several threads.
/// </summary>
/// <param name="norms">The blocks' norms.</param>
internal sealed class NormFolding(IReadOnlyList<GroupNormLayer> norms) : IDisposable
{
    private readonly Dictionary<(DeviceType, int), (Tensor Scales, Tensor Shifts)> _places = [];
    private readonly long[] _first = [0, .. norms.Select((_, i) => norms.Take(i + 1).Sum(norm => norm.Weight.shape[0]))];

    /// <summary>Folds what the blocks are told into their norms: (1 + scale)·weight, and (1 + scale)·bias + shift.</summary>
    /// <param name="joined">[M, 2C₁ + 2C₂ + …] float32: each block's scales and then its shifts.</param>
    /// <param name="type">What is computed in afterwards.</param>
    /// <returns>A row of each norm for each row; the caller disposes it.</returns>
    public FoldedNorms Fold(Tensor joined, ScalarType type)
    {
        var (scales, shifts) = Places(joined.device);
        using Tensor weights = cat([.. norms.Select(norm => (Tensor)norm.Weight)]), biases = cat([.. norms.Select(norm => (Tensor)norm.Bias)]);
        using Tensor scale = joined.index_select(1, scales), shift = joined.index_select(1, shifts);   // [M, C₁ + C₂ + …]
        using FoldedNorm folded = Fold(scale, shift, weights, biases);
        return new(folded.Weight.to(type), folded.Bias.to(type), _first);
    }

    /// <summary>The same of one norm, or of several side by side.</summary>
    /// <param name="scale">[M, C].</param>
    /// <param name="shift">[M, C].</param>
    /// <param name="weight">[C].</param>
    /// <param name="bias">[C].</param>
    /// <returns>[M, C] each; the caller disposes them.</returns>
    public static FoldedNorm Fold(Tensor scale, Tensor shift, Tensor weight, Tensor bias)
    {
        using Tensor factor = scale + Held(1), lifted = factor * bias;
        return new(factor * weight, lifted.Plus(shift));
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (_places)
        {
            foreach (var (scales, shifts) in _places.Values)
            {
                scales.Dispose();
                shifts.Dispose();
            }
            _places.Clear();
        }
    }

    private (Tensor Scales, Tensor Shifts) Places(Device device)
    {
        lock (_places)
        {
            if (_places.TryGetValue((device.type, device.index), out var places))
                return places;
            using var scope = NewDisposeScope();
            places = (tensor(Columns(0)).to(device).DetachFromDisposeScope(), tensor(Columns(1)).to(device).DetachFromDisposeScope());
            _places.Add((device.type, device.index), places);
            return places;
        }
    }

    /// <summary>Where all blocks' scales stand (half 0), or their shifts (half 1).</summary>
    private long[] Columns(int half)
    {
        var columns = new List<long>((int)_first[^1]);
        for (int i = 0; i < norms.Count; i++)
        {
            long channels = _first[i + 1] - _first[i];
            for (long channel = 0; channel < channels; channel++)
                columns.Add(2 * _first[i] + half * channels + channel);
        }
        return [.. columns];
    }
}

/// <summary>Norms of all blocks, a row for each row of an embedding. Owns its tensors.</summary>
/// <param name="Weights">[M, C₁ + C₂ + …].</param>
/// <param name="Biases">[M, C₁ + C₂ + …].</param>
/// <param name="First">Where each block's channels begin, and the end.</param>
internal sealed record FoldedNorms(Tensor Weights, Tensor Biases, long[] First) : IDisposable
{
    /// <summary>A block's norm, row after row.</summary>
    /// <param name="block">Counted from 0.</param>
    /// <returns>[M·C] each; the caller disposes them.</returns>
    public FoldedNorm Of(int block)
    {
        long first = First[block], channels = First[block + 1] - first;
        using Tensor weight = Weights.narrow(1, first, channels), bias = Biases.narrow(1, first, channels);
        return new(weight.reshape(-1), bias.reshape(-1));
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Weights.Dispose();
        Biases.Dispose();
    }
}

/// <summary>A norm with FiLM folded in. Owns its tensors.</summary>
/// <param name="Weight">[M, C]; row after row for an operator: [C] for all images, or [N·C].</param>
/// <param name="Bias">Likewise.</param>
internal sealed record FoldedNorm(Tensor Weight, Tensor Bias) : IDisposable
{
    /// <inheritdoc/>
    public void Dispose()
    {
        Weight.Dispose();
        Bias.Dispose();
    }
}
