using TorchSharp;

namespace Microsoft.ML.Diffusion;

/// <summary>Softmax attention between positions: every full attention of every network runs through here.</summary>
internal static class Attention
{
    /// <summary>softmax(q·kᵀ/√d)·v for each head (Vaswani et al. 2017, equation 1).</summary>
    /// <param name="qkv">[N, T, 3·heads·d]: all queries, then all keys, then all values, each head by head.</param>
    /// <param name="heads">Number of heads.</param>
    /// <returns>[N, T, heads·d].</returns>
    public static Tensor Apply(Tensor qkv, int heads)
    {
        if (FusedAttention.TryApply(qkv, heads) is { } fused)
            return fused;
        if (qkv.dtype == ScalarType.BFloat16 && qkv.device_type == DeviceType.CPU)
        {
            // Few positions: in float32 they have a kernel.
            using Tensor wide = qkv.to(float32);
            using Tensor y = Apply(wide, heads);
            return y.to(qkv.dtype);
        }
        long[] shape = qkv.shape;
        long batch = shape[0], positions = shape[1], width = shape[2] / 3;
        using Tensor split = qkv.view(batch, positions, 3, heads, width / heads);
        using Tensor parts = split.permute(2, 0, 3, 1, 4);   // [3, N, heads, T, d]
        using Tensor q = parts.select(0, 0);
        using Tensor k = parts.select(0, 1);
        using Tensor v = parts.select(0, 2);
        using Tensor mixed = Apply(q, k, v);                 // [N, heads, T, d]
        using Tensor positionsFirst = mixed.transpose(1, 2);
        return positionsFirst.reshape(batch, positions, width);
    }

    /// <summary>The same between the pixels of images.</summary>
    /// <param name="qkv">[N, 3·heads·d, H, W].</param>
    /// <param name="heads">Number of heads.</param>
    /// <returns>[N, heads·d, H, W].</returns>
    public static Tensor ApplyToImages(Tensor qkv, int heads)
    {
        if (FusedAttention.TryApply(qkv, heads) is { } fused)
            return fused;
        long[] shape = qkv.shape;
        using Tensor pixels = qkv.permute(0, 2, 3, 1);
        using Tensor tokens = pixels.reshape(shape[0], -1, shape[1]);   // [N, H·W, 3·heads·d]: a view where channels are last in memory
        using Tensor mixed = Apply(tokens, heads);                      // [N, H·W, heads·d]
        using Tensor rows = mixed.view(shape[0], shape[2], shape[3], shape[1] / 3);
        return rows.permute(0, 3, 1, 2);
    }

    /// <summary>softmax(q·kᵀ/√d)·v.</summary>
    /// <param name="q">[N, heads, T, d].</param>
    /// <param name="k">[N, heads, S, d].</param>
    /// <param name="v">[N, heads, S, d].</param>
    /// <returns>[N, heads, T, d].</returns>
    public static Tensor Apply(Tensor q, Tensor k, Tensor v) => nn.functional.scaled_dot_product_attention(q, k, v);
}
