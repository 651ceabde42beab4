namespace Microsoft.ML.Diffusion;

/// <summary>What the operators with a norm inside share: its tensors on the way forth, its parameters' gradients on the way back.</summary>
internal static class NormGradients
{
    /// <summary>Room for what <see cref="NormBatch.Measure"/> measures.</summary>
    public static Tensor NewStatistics(Tensor pixels, NormSettings settings) => empty([pixels.shape[0], 2 * settings.Groups], float32);

    /// <summary>Takes a gradient back through a norm.</summary>
    /// <param name="norm">The norm.</param>
    /// <param name="gradient">[N, H, W, C] in the images' type: dy, replaced by dx.</param>
    /// <param name="weight">[C].</param>
    /// <param name="bias">[C].</param>
    /// <param name="scale">[N or 1, C] or null.</param>
    /// <param name="shift">[N or 1, C] or null.</param>
    /// <returns>Those of weight, bias, scale and shift; in the current scope.</returns>
    public static unsafe Tensor?[] Compute(NormBatch norm, Tensor gradient, Tensor weight, Tensor bias, Tensor? scale, Tensor? shift)
    {
        Tensor sums = empty([norm.Images, norm.Channels], float32), products = empty([norm.Images, norm.Channels], float32);
        norm.Backward(HostMemory.Pointer(gradient), HostMemory.Pointer(sums), HostMemory.Pointer(products));
        Tensor film = scale is null ? ones(1, float32) : scale + 1;
        return
        [
            (products * film).sum(dim: 0),
            (sums * film).sum(dim: 0),
            scale is null ? null : Rows(products * weight + sums * bias, scale),
            shift is null ? null : Rows(sums, shift),
        ];
    }

    /// <summary>One row for the whole batch collects the gradients of all.</summary>
    private static Tensor Rows(Tensor gradient, Tensor rows) =>
        rows.shape[0] == gradient.shape[0] ? gradient.alias() : gradient.sum(0, keepdim: true);
}
