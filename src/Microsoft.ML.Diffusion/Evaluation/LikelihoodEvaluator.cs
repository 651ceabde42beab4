namespace Microsoft.ML.Diffusion;

/// <summary>The variational bound over batches of images.</summary>
internal static class LikelihoodEvaluator
{
    /// <summary>One batch.</summary>
    /// <param name="Images">[N, C, H, W] float32: pixels k/127.5 − 1. Disposed after use.</param>
    /// <param name="Model">The network, with this batch's condition.</param>
    /// <param name="Seeds">N seeds: a row's noise, so that its bound does not depend on the batch it is in.</param>
    public readonly record struct Batch(Tensor Images, DenoisingModel Model, long[] Seeds);

    /// <summary>Evaluates the bound.</summary>
    /// <param name="diffusion">The process, respaced where fewer network runs are wanted.</param>
    /// <param name="batches">Read one at a time.</param>
    /// <param name="threshold">How the estimate of x_0 is kept in range; null clips.</param>
    /// <param name="cancellation">Stops between two timesteps.</param>
    /// <exception cref="InvalidOperationException">There are no rows.</exception>
    public static LikelihoodMetrics Evaluate(GaussianDiffusion diffusion, IEnumerable<Batch> batches, X0Threshold? threshold = null, CancellationToken cancellation = default)
    {
        var sum = new VariationalBoundAccumulator(diffusion.Timesteps);
        foreach (var batch in batches)
        {
            using var images = batch.Images;
            using var noise = new PerRowNoise(batch.Seeds, images.shape.AsSpan(1), images.device);
            sum.Add(VariationalBound.Evaluate(diffusion, batch.Model, images, _ => noise.Next(), threshold, cancellation));
        }
        return new LikelihoodMetrics(sum.Result());
    }
}
