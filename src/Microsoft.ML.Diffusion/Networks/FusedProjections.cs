using TorchSharp;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// Linear layers that all read the same rows, as one node of the graph, over <see cref="ProjectionKernel"/>: each by itself costs libtorch more in nodes, transposes and
/// additions than in products. Differentiable once.
/// </summary>
internal sealed unsafe class FusedProjections : autograd.MultiTensorFunction<FusedProjections>
{
    private const string Known = "known";
    private const string Outputs = "outputs";

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
        KnownLayer?[] found = [.. layers.Select(layer => KnownLayer.Of(layer.Weight, layer.Bias))];
        KnownLayer[]? known = found.Contains(null) ? null : [.. found.Select(layer => layer!)];
        if (!is_grad_enabled())
            return Forward(x, weights, biases, known);
        if (known is not null && !known.All(layer => layer.Gradients is not null))
            known = null;
        using var scope = NewDisposeScope();
        List<Tensor> outputs = apply([x, .. weights, .. biases, known!]);
        return [.. outputs.Select(output => output.MoveToOuterDisposeScope())];
    }

    /// <inheritdoc/>
    public override List<Tensor> forward(autograd.AutogradContext ctx, params object[] vars)
    {
        var (x, known) = ((Tensor)vars[0], (KnownLayer[]?)vars[^1]);
        Tensor[] parameters = [.. vars[1..^1].Cast<Tensor>()];
        int count = parameters.Length / 2;
        ctx.save_for_backward(known is null ? [x, .. parameters] : [x]);
        ctx.save_data(Known, known!);
        ctx.save_data(Outputs, parameters[..count].Select(weight => (int)weight.shape[0]).ToArray());
        ctx.set_materialize_grads(false);
        return [.. Forward(x, parameters[..count], parameters[count..], known)];
    }

    /// <inheritdoc/>
    public override List<Tensor> backward(autograd.AutogradContext ctx, List<Tensor> grad_outputs)
    {
        using var scope = NewDisposeScope();
        var saved = ctx.get_saved_variables();
        var (known, outputs) = ((KnownLayer[]?)ctx.get_data(Known), (int[])ctx.get_data(Outputs));
        int count = outputs.Length;
        Tensor x = saved[0].contiguous();
        long rows = x.shape[0], inputs = x.shape[1], padded = (rows + 3) / 4 * 4;
        Tensor[] weights = [.. saved.Skip(1).Take(count)], gradients = [.. saved.Skip(1).Select(parameter => zeros(parameter.shape, float32))];
        Tensor dx = zeros([padded, inputs], float32);

        var layers = new ProjectedLayer[count];
        for (int i = 0; i < count; i++)
        {
            // TorchSharp hands over handles of its own and does not free them; an empty one where nobody used the output.
            using Tensor given = grad_outputs[i];
            Tensor? dy = given.IsInvalid ? null : given.contiguous();
            LayerMemory gradient = known is null ? new(HostMemory.Pointer(gradients[i]), HostMemory.Pointer(gradients[count + i]), null, null) : known[i].Gradients!.Value;
            layers[i] = new(known is null ? HostMemory.Pointer(weights[i].contiguous()) : known[i].Numbers.Weight, null, outputs[i])
            {
                Rows = HostMemory.PointerOrNull(dy),
                WeightGradient = gradient.Weight,
                BiasGradient = gradient.Bias,
            };
        }
        ProjectionKernel.Backward(layers, (int)rows, (int)inputs, HostMemory.Pointer(x), HostMemory.Pointer(dx));
        return ReturnedGradients.Pass([dx.narrow(0, 0, rows), .. known is null ? gradients : new Tensor?[2 * count], null]);
    }

    private static Tensor[] Forward(Tensor x, Tensor[] weights, Tensor[] biases, KnownLayer[]? known)
    {
        using var scope = NewDisposeScope();
        Tensor rows = x.contiguous();
        int count = (int)rows.shape[0];
        Tensor[] outputs = [.. weights.Select(weight => empty([count, weight.shape[0]], float32))];
        ProjectedLayer[] layers = [.. outputs.Select((output, i) => LayerOf(i, (int)output.shape[1], HostMemory.Pointer(output)))];
        ProjectionKernel.Apply(layers, count, (int)rows.shape[1], HostMemory.Pointer(rows));
        return [.. outputs.Select(output => output.MoveToOuterDisposeScope())];

        ProjectedLayer LayerOf(int i, int width, float* to) => known is null
            ? new(HostMemory.Pointer(weights[i].contiguous()), HostMemory.Pointer(biases[i]), width) { Rows = to }
            : new(known[i].Numbers.Weight, known[i].Numbers.Bias, width) { Rows = to };
    }
}
