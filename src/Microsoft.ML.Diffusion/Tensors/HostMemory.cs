using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Microsoft.ML.Diffusion;

/// <summary>The one place where numbers pass between managed memory and tensors' own.</summary>
internal static class HostMemory
{
    /// <summary>The memory of a tensor, not a copy.</summary>
    /// <param name="tensor">Float32, on the CPU, contiguous, under 2 GB; has to outlive the span.</param>
    public static Span<float> Floats(Tensor tensor) => MemoryMarshal.Cast<byte, float>(tensor.bytes);

    /// <summary>The first number of a tensor's memory.</summary>
    /// <param name="tensor">Float32, on the CPU, contiguous, under 2 GB; has to outlive the pointer.</param>
    public static unsafe float* Pointer(Tensor tensor) => (float*)Unsafe.AsPointer(ref MemoryMarshal.GetReference(tensor.bytes));

    /// <summary>The first number of a tensor of bfloat16.</summary>
    /// <param name="tensor">BFloat16, on the CPU, contiguous, under 2 GB; has to outlive the pointer.</param>
    public static unsafe ushort* Narrow(Tensor tensor) => (ushort*)Pointer(tensor);

    /// <summary>The same; null for no tensor.</summary>
    public static unsafe ushort* NarrowOrNull(Tensor? tensor) => tensor is null ? null : Narrow(tensor);

    /// <summary>The same of float32; null for no tensor.</summary>
    public static unsafe float* PointerOrNull(Tensor? tensor) => tensor is null ? null : Pointer(tensor);

    /// <summary>Makes a tensor of numbers.</summary>
    /// <param name="values">As many as <paramref name="shape"/> says, row by row.</param>
    /// <param name="shape">The tensor's shape.</param>
    /// <param name="device">Where it is wanted.</param>
    /// <returns>Float32; the caller disposes it.</returns>
    public static Tensor ToTensor(ReadOnlySpan<float> values, long[] shape, Device device)
    {
        using var scope = NewDisposeScope();
        Tensor tensor = empty(shape, float32);
        values.CopyTo(Floats(tensor));
        return tensor.to(device).MoveToOuterDisposeScope();
    }
}
