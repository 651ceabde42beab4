using TorchSharp;
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

    private static readonly long[] RightAndBottom = [0, 1, 0, 1];

    /// <summary>Twice in each direction.</summary>
    private static readonly double[] Twice = [2, 2];

    /// <summary>Convolves.</summary>
    /// <param name="x">[N, C, H, W].</param>
    /// <param name="weight">[D, C, k, k].</param>
    /// <param name="bias">[D] or null.</param>
    /// <param name="strides">Rows and columns between two outputs.</param>
    /// <param name="padding">Zeros added around the image, rows and columns.</param>
    /// <returns>[N, D, H', W'].</returns>
    public static Tensor Convolve(Tensor x, Tensor weight, Tensor? bias, long[] strides, long[] padding)
    {
        if (Fused(x, weight, bias, strides, padding) is { } fused)
            return fused;
        ScalarType type = x.dtype;
        if (weight.dtype == type)
            return nn.functional.conv2d(x, weight, bias, strides, padding);
        if (type == ScalarType.BFloat16 && x.device_type == DeviceType.CPU)
        {
            // libtorch 2.10 has processors on which its own bfloat16 convolutions are wrong: results and gradients of images whose channels fill no block of 16.
            using Tensor wide = x.to(weight.dtype);
            using Tensor y = Convolve(wide, weight, bias, strides, padding);
            return y.to(type);
        }
        using var w = new TypedParameter(weight, type);
        if (bias is null)
            return nn.functional.conv2d(x, w.Tensor, null, strides, padding);
        using var b = new TypedParameter(bias, type);
        return nn.functional.conv2d(x, w.Tensor, b.Tensor, strides, padding);
    }

    /// <summary>Convolves with one zero to the right and one below.</summary>
    /// <param name="x">[N, C, H, W].</param>
    /// <param name="weight">[D, C, k, k].</param>
    /// <param name="bias">[D] or null.</param>
    /// <param name="strides">Rows and columns between two outputs.</param>
    /// <returns>[N, D, H', W'].</returns>
    public static Tensor ConvolveAsymmetric(Tensor x, Tensor weight, Tensor? bias, long[] strides)
    {
        if (FusedProduct.TryApply(x, weight, bias, (int)strides[0], before: 0, after: 1) is { } fused)
            return fused;
        using Tensor padded = nn.functional.pad(x, RightAndBottom);
        return Convolve(padded, weight, bias, strides, Zero);
    }

    private static Tensor? Fused(Tensor x, Tensor weight, Tensor? bias, long[] strides, long[] padding)
    {
        if (x.device_type != DeviceType.CPU)
            return null;
        if (strides is [1, 1] && padding is [1, 1] && weight.shape[2] == 3)
            return FusedConvolution.TryApply(x, weight, bias);
        // Over windows of many pixels the copies would cost more than the product saves.
        if (strides[0] == strides[1] && padding[0] == padding[1] && weight.shape[2] <= 4 && (weight.shape[2] == 1 || strides[0] > 1))
            return FusedProduct.TryApply(x, weight, bias, (int)strides[0], (int)padding[0], (int)padding[0]);
        return null;
    }

    /// <summary>Adds to a result that nobody else has seen, in its own memory.</summary>
    private static Tensor AddTo(Tensor y, Tensor? addend)
    {
        if (addend is null)
            return y;
        ChannelMoments.Forget(y);
        return y.add_(addend, Held(1));
    }

    /// <summary>A 1x1 convolution with what surrounds it.</summary>
    /// <param name="x">[N, C, H, W].</param>
    /// <param name="weight">[D, C].</param>
    /// <param name="bias">[D] or null.</param>
    /// <param name="norm">What comes before; null: nothing.</param>
    /// <param name="addend">[N, D, H, W], added to the result; or null.</param>
    /// <returns>[N, D, H, W].</returns>
    public static Tensor Project(Tensor x, Tensor weight, Tensor? bias, NormArguments? norm, Tensor? addend)
    {
        bool onDevice = x.device_type != DeviceType.CPU;
        if (!onDevice && FusedProduct.TryApply(x, weight, bias, norm: norm, addend: addend) is { } fused)
            return fused;
        using Tensor entered = norm is null ? x.alias() : NormActivation.Apply(x, norm);
        if (onDevice)
            return ProjectPixels(entered, weight, bias, addend);
        using Tensor kernel = weight.view(weight.shape[0], weight.shape[1], 1, 1);
        return AddTo(Convolve(entered, kernel, bias, One, Zero), addend);
    }

    /// <summary>A 1x1 convolution as a product over pixels, which is the order that attention wants them in.</summary>
    internal static Tensor ProjectPixels(Tensor x, Tensor weight, Tensor? bias, Tensor? addend)
    {
        long[] shape = x.shape;
        using Tensor pixels = x.permute(0, 2, 3, 1);
        using Tensor rows = pixels.reshape(-1, shape[1]);                  // [N·H·W, C]
        using Tensor product = Multiply(rows, weight, bias);               // [N·H·W, D]
        using Tensor laidOut = product.view(shape[0], shape[2], shape[3], weight.shape[0]);
        using Tensor y = laidOut.permute(0, 3, 1, 2);
        // Of two orders in memory a sum has that of its first term.
        return addend is null ? y.alias() : addend.Plus(y);
    }

    /// <summary>A 3x3 convolution of stride 1 with what surrounds it.</summary>
    /// <param name="x">[N, C, H, W].</param>
    /// <param name="weight">[D, C, 3, 3].</param>
    /// <param name="bias">[D] or null.</param>
    /// <param name="norm">What comes before; null: nothing.</param>
    /// <param name="addend">[N, D, H, W], added to the result; or null.</param>
    /// <returns>[N, D, H, W].</returns>
    public static Tensor Convolve(Tensor x, Tensor weight, Tensor? bias, NormArguments? norm, Tensor? addend)
    {
        if (x.device_type == DeviceType.CPU && FusedConvolution.TryApply(x, weight, bias, norm, addend) is { } fused)
            return fused;
        using Tensor entered = norm is null ? x.alias() : NormActivation.Apply(x, norm);
        return AddTo(Convolve(entered, weight, bias, One, One), addend);
    }

    /// <summary>Doubles both sides of an image by nearest neighbours, then convolves it 3x3.</summary>
    /// <param name="x">[N, C, H, W].</param>
    /// <param name="weight">[D, C, 3, 3].</param>
    /// <param name="bias">[D] or null.</param>
    /// <returns>[N, D, 2H, 2W].</returns>
    public static Tensor ConvolveDoubled(Tensor x, Tensor weight, Tensor? bias)
    {
        if (FusedConvolution.TryApply(x, weight, bias, doubled: true) is { } fused)
            return fused;
        using Tensor large = Double(x);
        return Convolve(large, weight, bias, One, One);
    }

    /// <summary>Doubles both sides of an image by nearest neighbours: [N, C, H, W] to [N, C, 2H, 2W].</summary>
    public static Tensor Double(Tensor x) => nn.functional.interpolate(x, scale_factor: Twice, mode: InterpolationMode.Nearest);

    /// <summary>Multiplies the last dimension. Without gradients a row's result does not depend on the other rows: a BLAS takes another order of sums for one row than for many.</summary>
    /// <param name="x">[…, C].</param>
    /// <param name="weight">[D, C].</param>
    /// <param name="bias">[D] or null.</param>
    /// <returns>[…, D].</returns>
    public static Tensor Multiply(Tensor x, Tensor weight, Tensor? bias)
    {
        if (bias is not null && !is_grad_enabled() && MultiplyRows(x, weight, bias) is { } product)
            return product;
        ScalarType type = x.dtype;
        using var w = new TypedParameter(weight, type);
        if (bias is null)
            return nn.functional.linear(x, w.Tensor);
        using var b = new TypedParameter(bias, type);
        return nn.functional.linear(x, w.Tensor, b.Tensor);
    }

    private static Tensor? MultiplyRows(Tensor x, Tensor weight, Tensor bias)
    {
        using Tensor rows = x.reshape(-1, weight.shape[1]);
        if (FusedProjections.TryApply(rows, [(weight, bias)]) is not { } product)
            return null;
        using (product.Numbers)
            return product.Numbers.reshape([.. x.shape[..^1], weight.shape[0]]);
    }
}
