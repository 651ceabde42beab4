using TorchSharp.Native;

namespace TorchSharp;

public static partial class torch
{
    public static partial class nn
    {
        /// <summary>Layers without state.</summary>
        public static partial class functional
        {
            public static Tensor conv2d(Tensor input, Tensor weight, Tensor bias = null, long[] strides = null, long[] padding = null, long[] dilation = null, long groups = 1) =>
                Ops.conv2d.Call(input, weight, bias, strides ?? [1], padding ?? [0], dilation ?? [1], groups);

            public static Tensor conv2d_padding(Tensor input, Tensor weight, Tensor bias = null, long[] strides = null, Padding padding = Padding.Valid, long[] dilation = null, long groups = 1) =>
                Ops.conv2d_padding.Call(input, weight, bias, strides ?? [1], padding == Padding.Same ? "same" : "valid", dilation ?? [1], groups);

            public static Tensor linear(Tensor input, Tensor weights, Tensor bias = null) => Ops.linear.Call(input, weights, bias);

            public static Tensor group_norm(Tensor input, long num_groups, Tensor weight = null, Tensor bias = null, double eps = 1e-05) =>
                Ops.group_norm.Call(input, num_groups, weight, bias, eps, true);

            public static Tensor silu(Tensor x, bool inplace = false) => inplace ? x.silu_().alias() : x.silu();
            public static Tensor relu(Tensor x, bool inplace = false) => inplace ? x.relu_().alias() : x.relu();
            public static Tensor gelu(Tensor x) => x.gelu();

            /// <summary>A mask of bool says true where a query may look; one of numbers is added. <paramref name="is_casual"/> is the package's spelling.</summary>
            public static Tensor scaled_dot_product_attention(Tensor query, Tensor key, Tensor value, Tensor attn_mask = null, double p = 0, bool is_casual = false)
            {
                if (Ops.scaled_dot_product_attention.Exists) return Ops.scaled_dot_product_attention.Call(query, key, value, attn_mask, p, is_casual);
                var (output, weights) = Ops._scaled_dot_product_attention.Call2(query, key, value, attn_mask, p, false, is_casual);
                weights?.Dispose();
                return output;
            }

            public static Tensor mse_loss(Tensor input, Tensor target, Reduction reduction = Reduction.Mean) => Ops.mse_loss.Call(input, target, reduction);
            public static Tensor huber_loss(Tensor input, Tensor target, double delta = 1, Reduction reduction = Reduction.Mean) => Ops.huber_loss.Call(input, target, reduction, delta);
        }
    }
}
