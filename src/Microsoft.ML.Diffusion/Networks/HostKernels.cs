using System.Numerics;
using System.Runtime.CompilerServices;
using TorchSharp;

namespace Microsoft.ML.Diffusion;

/// <summary>Decides where our own kernels run in place of libtorch's operators.</summary>
internal static unsafe class HostKernels
{
    /// <summary>Numbers that a core adds at a time.</summary>
    private const int Portion = 1 << 15;

    /// <summary>Whether they do: float32 on the CPU, of a size that a span can have.</summary>
    /// <param name="x">The input.</param>
    /// <param name="weight">The weight.</param>
    public static bool Take(Tensor x, Tensor weight) =>
        x.device_type == DeviceType.CPU && x.dtype == ScalarType.Float32 && weight.dtype == ScalarType.Float32 && x.numel() is > 0 and <= int.MaxValue / sizeof(float);

    /// <summary>Adds one gradient to another on all cores.</summary>
    /// <param name="from">[…], contiguous float32.</param>
    /// <param name="to">The same shape, contiguous, added to.</param>
    public static void Add(Tensor from, Tensor to)
    {
        float* source = HostMemory.Pointer(from), sum = HostMemory.Pointer(to);
        int count = checked((int)to.numel());
        Cores.Run((count + Portion - 1) / Portion, part => Add(source + part * Portion, sum + part * Portion, Math.Min(Portion, count - part * Portion)));
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Add(float* from, float* to, int count)
    {
        int i = 0;
        for (; i <= count - Vector<float>.Count; i += Vector<float>.Count)
            (Vector.Load(to + i) + Vector.Load(from + i)).Store(to + i);
        for (; i < count; i++)
            to[i] += from[i];
    }
}
