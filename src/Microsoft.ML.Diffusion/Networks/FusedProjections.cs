using TorchSharp;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// Linear layers that all read the same rows, as one node of the graph, over <see cref="ProjectionKernel"/>: each by itself costs libtorch more in nodes, transposes and
/// additions than in products. Differentiable once.
/// </summary>
internal sealed unsafe class FusedProjections : autograd.SingleTensorFunction<FusedProjections>
{
    private const string Known = "known";
    private const string Outputs = "outputs";

    /// <inheritdoc/>
    public override string Name => nameof(FusedProjections);

    /// <summary>Runs them where it can.</summary>
    /// <param name="x">[M, E].</param>
    /// <param name="layers">Weights [D, E] and biases [D].</param>
    /// <returns>M rows of each layer; null where the plain operators have to do it.</returns>
    public static ProjectedRows? TryApply(Tensor x, IReadOnlyList<(Tensor Weight, Tensor Bias)> layers)
    {
        if (layers.Count == 0 || x.dim() != 2 || !layers.All(layer => HostKernels.Take(x, layer.Weight)))
            return null;
        int[] widths = [.. layers.Select(layer => (int)layer.Weight.shape[0])];
        long[] shape = x.shape;
        if (ProjectionKernel.LanesFor(shape[1], widths.Select(width => (long)width)) == 0)
            return null;
        Tensor[] weights = [.. layers.Select(layer => layer.Weight)], biases = [.. layers.Select(layer => layer.Bias)];
        KnownLayer?[] found = [.. layers.Select(layer => KnownLayer.Of(layer.Weight, layer.Bias))];
        KnownLayer[]? known = found.Contains(null) ? null : [.. found.Select(layer => layer!)];
        if (!is_grad_enabled())
            return new(Forward(x, weights, biases, widths, known), shape[0], widths);
        if (known is not null && !known.All(layer => layer.Gradients is not null))
            known = null;
        using var scope = NewDisposeScope();
        return new(apply([x, .. weights, .. biases, widths, known!]).MoveToOuterDisposeScope(), shape[0], widths);
    }

    /// <inheritdoc/>
    public override Tensor forward(autograd.AutogradContext ctx, params object[] vars)
    {
        var (x, widths, known) = ((Tensor)vars[0], (int[])vars[^2], (KnownLayer[]?)vars[^1]);
        Tensor[] parameters = [.. vars[1..^2].Cast<Tensor>()];
        ctx.save_for_backward(known is null ? [x, .. parameters] : [x]);
        ctx.save_data(Known, known!);
        ctx.save_data(Outputs, widths);
        ctx.set_materialize_grads(false);
        return Forward(x, parameters[..widths.Length], parameters[widths.Length..], widths, known);
    }

    /// <inheritdoc/>
    public override List<Tensor> backward(autograd.AutogradContext ctx, Tensor grad_output)
    {
        using var scope = NewDisposeScope();
        // TorchSharp hands over a handle of its own and does not free it.
        using Tensor given = grad_output;
        var saved = ctx.get_saved_variables();
        var (known, widths) = ((KnownLayer[]?)ctx.get_data(Known), (int[])ctx.get_data(Outputs));
        int count = widths.Length;
        Tensor x = saved[0].contiguous(), flat = given.contiguous();
        long rows = x.shape[0], inputs = x.shape[1], padded = (rows + 3) / 4 * 4;
        Tensor[] weights = [.. saved.Skip(1).Take(count)], gradients = [.. saved.Skip(1).Select(parameter => zeros(parameter.shape, float32))];
        Tensor dx = zeros([padded, inputs], float32);

        float* dy = HostMemory.Pointer(flat);
        var layers = new ProjectedLayer[count];
        for (int i = 0; i < count; dy += rows * widths[i++])
        {
            LayerMemory gradient = known is null ? new(HostMemory.Pointer(gradients[i]), HostMemory.Pointer(gradients[count + i]), null, null) : known[i].Gradients!.Value;
            layers[i] = new(known is null ? HostMemory.Pointer(weights[i].contiguous()) : known[i].Numbers.Weight, null, widths[i])
            {
                Rows = dy,
                WeightGradient = gradient.Weight,
                BiasGradient = gradient.Bias,
            };
        }
        ProjectionKernel.Backward(layers, (int)rows, (int)inputs, HostMemory.Pointer(x), HostMemory.Pointer(dx));
        return ReturnedGradients.Pass([dx.narrow(0, 0, rows), .. known is null ? gradients : new Tensor?[2 * count], null, null]);
    }

    private static Tensor Forward(Tensor x, Tensor[] weights, Tensor[] biases, int[] widths, KnownLayer[]? known)
    {
        using var scope = NewDisposeScope();
        Tensor rows = x.contiguous();
        long[] shape = rows.shape;
        Tensor flat = empty([shape[0] * widths.Sum(width => (long)width)], float32);
        float* y = HostMemory.Pointer(flat);
        var layers = new ProjectedLayer[widths.Length];
        for (int i = 0; i < layers.Length; y += shape[0] * widths[i++])
        {
            layers[i] = known is null
                ? new(HostMemory.Pointer(weights[i].contiguous()), HostMemory.Pointer(biases[i]), widths[i]) { Rows = y }
                : new(known[i].Numbers.Weight, known[i].Numbers.Bias, widths[i]) { Rows = y };
        }
        ProjectionKernel.Apply(layers, (int)shape[0], (int)shape[1], HostMemory.Pointer(rows));
        return flat.MoveToOuterDisposeScope();
    }
}
