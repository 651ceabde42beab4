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
    /// <param name="film">[N or 1, 2C] or null.</param>
    /// <returns>Those of weight, bias and film, null where they were added to the parameter's own; in the current scope.</returns>
    public static unsafe Tensor?[] Compute(NormBatch norm, Tensor gradient, Tensor weight, Tensor bias, Tensor? film)
    {
        Tensor sums = empty([norm.Images, norm.Channels], float32), products = empty([norm.Images, norm.Channels], float32);
        norm.Backward(HostMemory.Pointer(gradient), HostMemory.Pointer(sums), HostMemory.Pointer(products));
        Tensor? directWeight = DirectGradients.Of(weight), directBias = DirectGradients.Of(bias);
        Tensor dWeight = directWeight ?? zeros(weight.shape, float32), dBias = directBias ?? zeros(bias.shape, float32);
        Tensor? dFilm = film is null ? null : zeros(film.shape, float32);
        norm.AddParameterGradients(HostMemory.Pointer(sums), HostMemory.Pointer(products), HostMemory.Pointer(dWeight), HostMemory.Pointer(dBias), HostMemory.PointerOrNull(dFilm));
        return [directWeight is null ? dWeight : null, directBias is null ? dBias : null, dFilm];
    }
}
