using TorchSharp;

namespace Microsoft.ML.Diffusion;

/// <summary>1x1 convolutions, and strided ones over their windows, over <see cref="ProductOperator"/>.</summary>
internal static class FusedProduct
{
    /// <summary>Runs one where it can.</summary>
    /// <param name="x">[N, C, H, W]; not changed.</param>
    /// <param name="weight">[D, C, k, k], or [D, C] of a 1x1 convolution.</param>
    /// <param name="bias">[D] or null.</param>
    /// <param name="stride">From an output to the next.</param>
    /// <param name="before">Zeros before the first pixel, on both axes.</param>
    /// <param name="after">Zeros after the last one.</param>
    /// <param name="norm">What comes before a 1x1 convolution, or null.</param>
    /// <param name="addend">[N, D, H', W'], added to the result; or null.</param>
    /// <returns>[N, D, H', W'] with the channels last in memory; null where the plain operators have to do it.</returns>
    public static Tensor? TryApply(
        Tensor x, Tensor weight, Tensor? bias, int stride = 1, int before = 0, int after = 0, NormArguments? norm = null, Tensor? addend = null)
    {
        long[] kernel = weight.dim() == 2 ? [.. weight.shape, 1, 1] : weight.shape;
        if (kernel[2] != kernel[3] || !HostKernels.TakeImages(x, weight, norm))
            return null;
        var run = new ProductOperator((int)kernel[0], (int)kernel[2], stride, before, after);
        return run.Takes(HostKernels.ShapeOf(x), norm is not null) ? FusedOperator.Run(x, weight, bias, norm, addend, run) : null;
    }
}
