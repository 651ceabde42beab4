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
        using Tensor pixels = x.permute(0, 2, 3, 1);
        using Tensor dense = pixels.contiguous();
        return dense.permute(0, 3, 1, 2);
    }
}
