using TorchSharp.Native;

namespace TorchSharp;

public static partial class torch
{
    public static partial class nn
    {
        /// <summary>Pooling, padding, resampling and patches.</summary>
        public static partial class functional
        {
            public static Tensor avg_pool2d(Tensor input, long[] kernel_size, long[] stride = null, long[] padding = null, bool ceil_mode = false, bool count_include_pad = true, long? divisor_override = null) =>
                Ops.avg_pool2d.Call(input, kernel_size, stride ?? kernel_size, padding ?? [0], ceil_mode, count_include_pad, divisor_override);

            public static Tensor avg_pool2d(Tensor input, long kernel_size, long? stride = null, long padding = 0, bool ceil_mode = false, bool count_include_pad = true, long? divisor_override = null) =>
                avg_pool2d(input, [kernel_size], [stride ?? kernel_size], [padding], ceil_mode, count_include_pad, divisor_override);
            public static Tensor pixel_unshuffle(Tensor input, long downscale_factor) => Ops.pixel_unshuffle.Call(input, downscale_factor);

            public static Tensor pad(Tensor input, long[] pad, PaddingModes mode = PaddingModes.Constant, double value = 0) => mode switch
            {
                PaddingModes.Reflect => Ops.pad.Call(input, pad, "reflect"),
                PaddingModes.Replicate => Ops.pad.Call(input, pad, "replicate"),
                PaddingModes.Circular => Ops.pad.Call(input, pad, "circular"),
                _ => Ops.pad.Call(input, pad, "constant", value),
            };

            public static Tensor interpolate(Tensor x, long[] size = null, double[] scale_factor = null, InterpolationMode mode = InterpolationMode.Nearest, bool? align_corners = null, bool recompute_scale_factor = false, bool antialias = false)
            {
                bool corners = align_corners ?? false;
                return (mode, x.ndim) switch
                {
                    (InterpolationMode.Nearest, 3) => Ops.upsample_nearest1d_vec.Call(x, size, scale_factor),
                    (InterpolationMode.Nearest, 4) => Ops.upsample_nearest2d_vec.Call(x, size, scale_factor),
                    (InterpolationMode.NearestExact, 4) => Ops._upsample_nearest_exact2d_vec.Call(x, size, scale_factor),
                    (InterpolationMode.Area, 4) => Ops.adaptive_avg_pool2d.Call(x, size ?? [.. scale_factor.Select((f, i) => (long)Math.Floor(x.shape[i + 2] * f))]),
                    (InterpolationMode.Linear, 3) => Ops.upsample_linear1d_vec.Call(x, size, corners, scale_factor),
                    (InterpolationMode.Bilinear, 4) => (antialias ? Ops._upsample_bilinear2d_aa_vec : Ops.upsample_bilinear2d_vec).Call(x, size, corners, scale_factor),
                    (InterpolationMode.Bicubic, 4) => (antialias ? Ops._upsample_bicubic2d_aa_vec : Ops.upsample_bicubic2d_vec).Call(x, size, corners, scale_factor),
                    _ => throw new NotImplementedException($"interpolate: {mode} of {x.ndim} dimensions"),
                };
            }

            internal static long[] Pair((long, long) pair) => [pair.Item1, pair.Item2];
        }
    }
}
