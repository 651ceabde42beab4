namespace Microsoft.ML.Diffusion;

/// <summary>What the operators with a norm inside share: its tensors on the way forth, its parameters' gradients on the way back.</summary>
internal static unsafe class NormGradients
{
    /// <summary>Room for what <see cref="NormBatch.Measure"/> measures.</summary>
    public static Tensor NewStatistics(ImageShape x, NormSettings settings) => empty([x.Images, 2 * settings.Groups], float32);

    /// <summary>Takes a gradient back through a norm, into memory.</summary>
    /// <param name="norm">The norm.</param>
    /// <param name="gradient">[N, H, W, C] in the images' type: dy; overwritten.</param>
    /// <param name="added">[N, H, W, C], added to dx; or none.</param>
    /// <param name="dx">[N, H, W, C], written, in as many pieces as the norm's images; may be where one of the others is.</param>
    /// <param name="dWeight">[C], added to.</param>
    /// <param name="dBias">[C], added to.</param>
    /// <param name="dFilm">[N or 1, 2C], added to; null without FiLM.</param>
    public static void Add(NormBatch norm, ImageMemory gradient, ImageMemory added, ImageMemory dx, float* dWeight, float* dBias, float* dFilm)
    {
        nint count = (nint)norm.Images * norm.Channels;
        float* sums = KernelMemory.Sums(2 * count), products = sums + count;
        norm.Backward(gradient, added, dx, sums, products);
        norm.AddParameterGradients(sums, products, dWeight, dBias, dFilm);
    }

    /// <summary>The same for libtorch's graph.</summary>
    /// <param name="norm">The norm.</param>
    /// <param name="gradient">[N, H, W, C] in the images' type: dy, replaced by dx.</param>
    /// <param name="film">[N or 1, 2C] or null.</param>
    /// <param name="known">Where the parameters' gradients are added to; null: they are returned.</param>
    /// <returns>Those of weight, bias and film, null where they were added to the parameter's own; in the current scope.</returns>
    public static Tensor?[] Compute(NormBatch norm, ImageMemory gradient, Tensor? film, LayerMemory? known = null)
    {
        Tensor? dFilm = film is null ? null : zeros(film.shape, float32);
        float* ofFilm = HostMemory.PointerOrNull(dFilm);
        if (known is { } direct)
        {
            Add(norm, gradient, default, gradient, direct.NormWeight, direct.NormBias, ofFilm);
            return [null, null, dFilm];
        }
        Tensor dWeight = zeros(norm.Channels, float32), dBias = zeros(norm.Channels, float32);
        Add(norm, gradient, default, gradient, HostMemory.Pointer(dWeight), HostMemory.Pointer(dBias), ofFilm);
        return [dWeight, dBias, dFilm];
    }
}
