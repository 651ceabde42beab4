using TorchSharp;

namespace Microsoft.ML.Diffusion;

/// <summary>3x3 convolutions of stride 1 with a zero around the image, over <see cref="ConvolutionOperator"/>.</summary>
internal static class FusedConvolution
{
    /// <summary>Runs one where it can.</summary>
    /// <param name="x">[N, C, H, W]; not changed.</param>
    /// <param name="weight">[D, C, 3, 3].</param>
    /// <param name="bias">[D] or null.</param>
    /// <param name="norm">What comes before the convolution, or null.</param>
    /// <param name="addend">[N, D, H', W'], added to the result; or null.</param>
    /// <param name="doubled">Whether the image is doubled first, by nearest neighbours; without a norm.</param>
    /// <returns>[N, D, H', W'] with the channels last in memory; null where the plain operators have to do it.</returns>
    public static Tensor? TryApply(Tensor x, Tensor weight, Tensor? bias, NormArguments? norm = null, Tensor? addend = null, bool doubled = false)
    {
        long[] kernel = weight.shape;
        if (kernel[2] != 3 || kernel[3] != 3 || !HostKernels.TakeImages(x, weight, norm))
            return null;
        var run = new ConvolutionOperator((int)kernel[0], doubled);
        return run.Takes(HostKernels.ShapeOf(x), norm is not null) ? FusedOperator.Run(x, weight, bias, norm, addend, run) : null;
    }
}
