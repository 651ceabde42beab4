using TorchSharp.Modules;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// Every convolution and linear layer of a network runs through here. A layer computes in the type of its input:
/// feeding a network bfloat16 runs it in bfloat16 over the same float32 weights.
/// </summary>
internal static class LayerMath
{
    /// <summary>One in each direction.</summary>
    internal static readonly long[] One = [1, 1];

    /// <summary>None in either direction.</summary>
    internal static readonly long[] Zero = [0, 0];

    /// <summary>Convolves.</summary>
    /// <param name="x">[N, C, H, W].</param>
    /// <param name="weight">[D, C, k, k].</param>
    /// <param name="bias">[D] or null.</param>
    /// <param name="strides">Rows and columns between two outputs.</param>
    /// <param name="padding">Zeros added around the image, rows and columns.</param>
    /// <returns>[N, D, H', W'].</returns>
    public static Tensor Convolve(Tensor x, Tensor weight, Tensor? bias, long[] strides, long[] padding)
    {
        ScalarType type = x.dtype;
        if (weight.dtype == type)
            return nn.functional.conv2d(x, weight, bias, strides, padding);
        using Tensor w = weight.to(type);
        using Tensor? b = bias?.to(type);
        return nn.functional.conv2d(x, w, b, strides, padding);
    }

    /// <summary>Multiplies the last dimension.</summary>
    /// <param name="x">[…, C].</param>
    /// <param name="weight">[D, C].</param>
    /// <param name="bias">[D].</param>
    /// <returns>[…, D].</returns>
    public static Tensor Multiply(Tensor x, Tensor weight, Tensor bias)
    {
        ScalarType type = x.dtype;
        if (weight.dtype == type)
            return nn.functional.linear(x, weight, bias);
        using Tensor w = weight.to(type);
        using Tensor b = bias.to(type);
        return nn.functional.linear(x, w, b);
    }
}
