using System.Runtime.InteropServices;
using TorchSharp.Native;
using static TorchSharp.Native.Bridge;

namespace TorchSharp;

/// <summary>Tensors over managed arrays.</summary>
public static unsafe partial class torch
{
    /// <summary>Shares the array's memory where type and device allow it.</summary>
    public static Tensor from_array(Array rawArray, Device device = null) => from_array(rawArray, null, device ?? CPU);

    public static Tensor from_array(Array rawArray, ScalarType? dtype, Device device = null, bool requires_grad = false, string[] names = null)
    {
        var type = ToScalarType(rawArray.GetType().GetElementType());
        return Leaf(Wrapped(Shared(rawArray, LengthsOf(rawArray), type, 0), dtype ?? type, InitializeDevice(device)), requires_grad);
    }

    /// <summary>As in the package: an element of another type than <paramref name="dtype"/> is converted, not reinterpreted.</summary>
    public static Tensor frombuffer(Array rawArray, ScalarType dtype, long count = -1, long offset = 0, bool requires_grad = false)
    {
        if (offset < 0 || offset >= rawArray.LongLength) throw new ArgumentException($"invalid value for 'offset': {offset}");
        if (count < 0) count = rawArray.LongLength - offset;
        if (count > rawArray.LongLength - offset) throw new IndexOutOfRangeException($"element count is too large: {count}");
        var type = ToScalarType(rawArray.GetType().GetElementType());
        return Leaf(Wrapped(Shared(rawArray, [count], type, offset), dtype, CPU), requires_grad);
    }

    private static long[] LengthsOf(Array array)
    {
        var lengths = new long[array.Rank];
        for (int d = 0; d < lengths.Length; d++) lengths[d] = array.GetLongLength(d);
        return lengths;
    }

    private static Tensor Copied(Array array, long[] shape, ScalarType? dtype, Device device, bool requires_grad)
    {
        long count = shape.TotalSize();
        if (count > array.LongLength) throw new ArgumentException($"mismatched total size creating a tensor from an array: {count} vs. {array.LongLength}");
        var type = ToScalarType(array.GetType().GetElementType());
        nint t = Ops.empty_memory_format.CallRaw(shape, type, Arg.None, CPU);
        long bytes = count * type.ElementSize();
        if (bytes > 0)
            fixed (byte* source = &MemoryMarshal.GetArrayDataReference(array)) Buffer.MemoryCopy(source, (void*)Check(tss_data(t)), bytes, bytes);
        return Leaf(Wrapped(t, dtype ?? type, InitializeDevice(device)), requires_grad);
    }

    private static Tensor Single<T>(T value, ScalarType type, ScalarType? dtype, Device device, bool requires_grad) where T : unmanaged
    {
        nint t = Ops.empty_memory_format.CallRaw(Array.Empty<long>(), type, Arg.None, CPU);
        *(T*)Check(tss_data(t)) = value;
        return Leaf(Wrapped(t, dtype ?? type, InitializeDevice(device)), requires_grad);
    }

    /// <summary>Pins the array for as long as a native tensor uses it.</summary>
    private static nint Shared(Array array, long[] shape, ScalarType type, long offset)
    {
        var pin = GCHandle.Alloc(array, GCHandleType.Pinned);
        fixed (long* sizes = shape)
            return Check(tss_from_blob((byte*)pin.AddrOfPinnedObject() + offset * type.ElementSize(), sizes, shape.Length, (int)type, &Unpin, GCHandle.ToIntPtr(pin)));
    }

    [UnmanagedCallersOnly]
    private static void Unpin(nint pin) => GCHandle.FromIntPtr(pin).Free();

    /// <summary>Takes over a native tensor, converted where it has to be, so that one managed object comes out.</summary>
    private static Tensor Wrapped(nint t, ScalarType dtype, Device device)
    {
        var made = new Tensor(t, false);
        if (!made.toWillCopy(dtype, device) || made.dtype == dtype && device.type == DeviceType.CPU)
            return new Tensor(made.DecoupleFromNativeHandle());
        using (made) return Ops.to_dtype_layout.Call(made, dtype, Arg.None, device);
    }
}
