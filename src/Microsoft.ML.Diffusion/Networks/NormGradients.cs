namespace Microsoft.ML.Diffusion;

/// <summary>What the operators with a norm inside share: its tensors on the way forth, its parameters' gradients on the way back.</summary>
internal static class NormGradients
{
    /// <summary>Room for what <see cref="NormBatch.Measure"/> measures.</summary>
    public static Tensor NewStatistics(Tensor pixels, NormSettings settings) => empty([pixels.shape[0], 2 * settings.Groups], float32);

    /// <summary>Takes a gradient back through a norm.</summary>
    /// <param name="norm">The norm.</param>
    /// <param name="gradient">[N, H, W, C] in the images' type: dy, replaced by dx.</param>
    /// <param name="film">[N or 1, 2C] or null.</param>
    /// <param name="known">Where the parameters' gradients are added to; null: they are returned.</param>
    /// <returns>Those of weight, bias and film, null where they were added to the parameter's own; in the current scope.</returns>
    public static unsafe Tensor?[] Compute(NormBatch norm, Tensor gradient, Tensor? film, LayerMemory? known = null)
    {
        nint count = (nint)norm.Images * norm.Channels;
        float* sums = KernelMemory.Sums(2 * count), products = sums + count;
        norm.Backward(HostMemory.Pointer(gradient), sums, products);
        Tensor? dFilm = film is null ? null : zeros(film.shape, float32);
        float* ofFilm = HostMemory.PointerOrNull(dFilm);
        if (known is { } direct)
        {
            norm.AddParameterGradients(sums, products, direct.NormWeight, direct.NormBias, ofFilm);
            return [null, null, dFilm];
        }
        Tensor dWeight = zeros(norm.Channels, float32), dBias = zeros(norm.Channels, float32);
        norm.AddParameterGradients(sums, products, HostMemory.Pointer(dWeight), HostMemory.Pointer(dBias), ofFilm);
        return [dWeight, dBias, dFilm];
    }
}
