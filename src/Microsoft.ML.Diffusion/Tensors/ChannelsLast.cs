namespace Microsoft.ML.Diffusion;

/// <summary>
/// The memory layout of images and convolution weights inside a network: the values of one pixel side by side. Convolutions on a CPU read it
/// at about twice the speed of planes, norms and attention see a pixel's channels as a run. TorchSharp has no memory_format, but strides that say the same.
/// </summary>
internal static class ChannelsLast
{
    /// <summary>Lays a tensor out with its second dimension innermost; shape and values stay.</summary>
    /// <param name="x">[N, C, H, W].</param>
    /// <returns>The same numbers; a view where they already lie so. The caller disposes it.</returns>
    public static Tensor Of(Tensor x)
    {
        using Tensor pixels = Pixels(x);
        return pixels.permute(0, 3, 1, 2);
    }

    /// <summary>The channels last in the shape too, as kernels read them.</summary>
    /// <param name="x">[N, C, H, W].</param>
    /// <returns>[N, H, W, C], contiguous; a view where the numbers already lie so. The caller disposes it.</returns>
    public static Tensor Pixels(Tensor x)
    {
        Tensor pixels = x.permute(0, 2, 3, 1);
        if (pixels.is_contiguous())
            return pixels;
        using (pixels)
            return pixels.contiguous();
    }
}
