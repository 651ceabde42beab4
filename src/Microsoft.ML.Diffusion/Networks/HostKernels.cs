using TorchSharp;

namespace Microsoft.ML.Diffusion;

/// <summary>Decides where our own kernels run in place of libtorch's operators.</summary>
internal static class HostKernels
{
    /// <summary>Whether they do: float32 on the CPU, of a size that a span can have.</summary>
    /// <param name="x">The input.</param>
    /// <param name="weight">The weight.</param>
    public static bool Take(Tensor x, Tensor weight) =>
        x.device_type == DeviceType.CPU && x.dtype == ScalarType.Float32 && weight.dtype == ScalarType.Float32 && x.numel() is > 0 and <= int.MaxValue / sizeof(float);

    /// <summary>Whether operators on images take these, if their sizes suit: float32 on the CPU, or bfloat16 where the calling thread has a <see cref="MatrixUnit"/>, with FiLM in float32.</summary>
    /// <param name="x">[N, C, H, W].</param>
    /// <param name="weight">The weight.</param>
    /// <param name="norm">The norm before the operator; or null.</param>
    public static bool TakeImages(Tensor x, Tensor weight, NormArguments? norm) =>
        (Take(x, weight) || (TakeNarrow(x) && weight.dtype == ScalarType.Float32))
        && norm is not { Film.dtype: not ScalarType.Float32 };

    /// <summary>The sizes of images as kernels see them.</summary>
    /// <param name="x">[N, C, H, W].</param>
    public static ImageShape ShapeOf(Tensor x)
    {
        long[] shape = x.shape;
        return new((int)shape[0], (int)shape[2], (int)shape[3], (int)shape[1], x.dtype == ScalarType.BFloat16);
    }

    /// <summary>Whether those of bfloat16 do, if its sizes suit: where the calling thread has a <see cref="MatrixUnit"/>.</summary>
    /// <param name="x">The input.</param>
    public static bool TakeNarrow(Tensor x) =>
        x.dtype == ScalarType.BFloat16 && MatrixUnit.Current is not null && x.device_type == DeviceType.CPU && x.numel() is > 0 and <= int.MaxValue / sizeof(float);
}
