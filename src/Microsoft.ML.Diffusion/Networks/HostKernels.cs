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
}
