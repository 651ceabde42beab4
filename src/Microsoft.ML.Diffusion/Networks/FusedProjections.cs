using TorchSharp;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// Linear layers that all read the same rows, as one node of the graph, over <see cref="ProjectionKernel"/>: each by itself costs libtorch more in nodes, transposes and
/// additions than in products. Differentiable once.
/// </summary>
internal sealed unsafe class FusedProjections : autograd.MultiTensorFunction<FusedProjections>
{
    /// <inheritdoc/>
    public override string Name => nameof(FusedProjections);

    /// <summary>Runs them where it can.</summary>
    /// <param name="x">[M, E].</param>
    /// <param name="layers">Weights [D, E] and biases [D].</param>
    /// <returns>[M, D] for each; null where the plain operators have to do it.</returns>
    public static Tensor[]? TryApply(Tensor x, IReadOnlyList<(Tensor Weight, Tensor Bias)> layers)
    {
        bool taken = layers.Count > 0 && x.dim() == 2 && layers.All(layer => HostKernels.Take(x, layer.Weight));
        if (!taken || ProjectionKernel.LanesFor(x.shape[1], layers.Select(layer => layer.Weight.shape[0])) == 0)
            return null;
        Tensor[] weights = [.. layers.Select(layer => layer.Weight)], biases = [.. layers.Select(layer => layer.Bias)];
        if (!is_grad_enabled())
            return Forward(x, weights, biases);
        using var scope = NewDisposeScope();
        List<Tensor> outputs = apply([x, .. weights, .. biases]);
        return [.. outputs.Select(output => output.MoveToOuterDisposeScope())];
    }

    /// <inheritdoc/>
    public override List<Tensor> forward(autograd.AutogradContext ctx, params object[] vars)
    {
        var x = (Tensor)vars[0];
        Tensor[] parameters = [.. vars.Skip(1).Cast<Tensor>()];
        int count = parameters.Length / 2;
        ctx.save_for_backward([x, .. parameters]);
        ctx.set_materialize_grads(false);
        return [.. Forward(x, parameters[..count], parameters[count..])];
    }

    /// <inheritdoc/>
    public override List<Tensor> backward(autograd.AutogradContext ctx, List<Tensor> grad_outputs)
    {
        using var scope = NewDisposeScope();
        var saved = ctx.get_saved_variables();
        int count = grad_outputs.Count;
        Tensor x = saved[0].contiguous();
        long rows = x.shape[0], inputs = x.shape[1], padded = (rows + 3) / 4 * 4;
        Tensor[] weights = [.. saved.Skip(1).Take(count)], biases = [.. saved.Skip(1 + count)];
        Tensor?[] directWeights = [.. weights.Select(DirectGradients.Of)], directBiases = [.. biases.Select(DirectGradients.Of)];
        Tensor[] dWeights = [.. weights.Select((weight, i) => directWeights[i] ?? zeros(weight.shape, float32))];
        Tensor[] dBiases = [.. biases.Select((bias, i) => directBiases[i] ?? zeros(bias.shape, float32))];
        Tensor dx = zeros([padded, inputs], float32);

        var layers = new ProjectedLayer[count];
        for (int i = 0; i < count; i++)
        {
            // TorchSharp hands over handles of its own and does not free them; an empty one where nobody used the output.
            using Tensor given = grad_outputs[i];
            Tensor? dy = given.IsInvalid ? null : given.contiguous();
            layers[i] = new(HostMemory.Pointer(weights[i].contiguous()), null, (int)weights[i].shape[0])
            {
                Rows = HostMemory.PointerOrNull(dy),
                WeightGradient = HostMemory.Pointer(dWeights[i]),
                BiasGradient = HostMemory.Pointer(dBiases[i]),
            };
        }
        ProjectionKernel.Backward(layers, (int)rows, (int)inputs, HostMemory.Pointer(x), HostMemory.Pointer(dx));
        return ReturnedGradients.Pass(
            [dx.narrow(0, 0, rows), .. dWeights.Select((gradient, i) => directWeights[i] is null ? gradient : null), .. dBiases.Select((gradient, i) => directBiases[i] is null ? gradient : null)]);
    }

    private static Tensor[] Forward(Tensor x, Tensor[] weights, Tensor[] biases)
    {
        using var scope = NewDisposeScope();
        Tensor rows = x.contiguous();
        int count = (int)rows.shape[0];
        Tensor[] outputs = [.. weights.Select(weight => empty([count, weight.shape[0]], float32))];
        ProjectedLayer[] layers =
        [
            .. outputs.Select((output, i) => new ProjectedLayer(HostMemory.Pointer(weights[i].contiguous()), HostMemory.Pointer(biases[i]), (int)output.shape[1]) { Rows = HostMemory.Pointer(output) }),
        ];
        ProjectionKernel.Apply(layers, count, (int)rows.shape[1], HostMemory.Pointer(rows));
        return [.. outputs.Select(output => output.MoveToOuterDisposeScope())];
    }
}
