using TorchSharp.Native;

namespace TorchSharp;

public static partial class torch
{
    /// <summary>Another type, another device, a copy.</summary>
    public partial class Tensor
    {
        public Tensor cpu() => to(DeviceType.CPU);

        public Tensor to_type(ScalarType type, bool copy = false, bool disposeAfter = false, bool non_blocking = false) =>
            Moved(Ops.to_dtype.Call(this, type, non_blocking, copy), disposeAfter);

        public Tensor to(DeviceType deviceType, int deviceIndex = -1, bool copy = false, bool disposeAfter = false, bool non_blocking = false)
        {
            InitializeDeviceType(deviceType);
            return Moved(Ops.to_dtype_layout.Call(this, Arg.None, Arg.None, new Device(deviceType, deviceIndex), Arg.None, non_blocking, copy), disposeAfter);
        }

        public Tensor to(ScalarType type, Device device, bool copy = false, bool disposeAfter = false, bool non_blocking = false) =>
            Moved(Ops.to_dtype_layout.Call(this, type, Arg.None, InitializeDevice(device), Arg.None, non_blocking, copy), disposeAfter);

        public Tensor to(ScalarType type, bool copy = false, bool disposeAfter = false, bool non_blocking = false) => to_type(type, copy, disposeAfter, non_blocking);

        public Tensor to(Device device, bool copy = false, bool disposeAfter = false, bool non_blocking = false) => to(device.type, device.index, copy, disposeAfter, non_blocking);

        private Tensor Moved(Tensor result, bool disposeAfter)
        {
            if (disposeAfter) Dispose();
            return result;
        }

        public Tensor copy_(Tensor source, bool nonBlocking = false) => Ops.copy_.On(this, source, nonBlocking);
        public Tensor set_(Tensor source) => Ops.set__source_Tensor.On(this, source);
        public static implicit operator Tensor(bool value) => tensor(value);
    }
}

public static class TensorExtensionMethods
{
    public static Modules.Parameter AsParameter(this torch.Tensor tensor) => new(tensor);

    public static int ElementSize(this torch.ScalarType type) => type switch
    {
        torch.ScalarType.Byte or torch.ScalarType.Int8 or torch.ScalarType.Bool => 1,
        torch.ScalarType.Int16 or torch.ScalarType.Float16 or torch.ScalarType.BFloat16 => 2,
        torch.ScalarType.Int32 or torch.ScalarType.Float32 => 4,
        torch.ScalarType.Int64 or torch.ScalarType.Float64 or torch.ScalarType.ComplexFloat32 => 8,
        torch.ScalarType.ComplexFloat64 => 16,
        _ => throw new NotImplementedException(),
    };
    public static double ToDouble(this torch.Tensor value) => value.ToScalar().ToDouble();
    public static long TotalSize(this IEnumerable<long> shape) => shape.Aggregate(1L, (n, s) => n * s);

    internal static bool toWillCopy(this torch.Tensor t, torch.ScalarType dtype, torch.Device device) =>
        t.device_index != device.index || t.device_type != device.type || t.dtype != dtype;
}
