using TorchSharp.Native;

namespace TorchSharp;

/// <summary>Ranges, identities, random integers, and tensors like others.</summary>
public static partial class torch
{
    public static Tensor arange(Scalar start, Scalar stop, Scalar step, ScalarType? dtype = null, Device device = null, bool requires_grad = false) =>
        Leaf(Ops.arange_start_step.Call(start, stop, step, dtype ?? (is_integral(start.Type) && is_integral(stop.Type) && is_integral(step.Type) ? ScalarType.Int64 : get_default_dtype()),
            Arg.None, InitializeDevice(device)), requires_grad);

    public static Tensor arange(Scalar start, Scalar stop, ScalarType? dtype = null, Device device = null, bool requires_grad = false) => arange(start, stop, 1, dtype, device, requires_grad);

    public static Tensor arange(Scalar stop, ScalarType? dtype = null, Device device = null, bool requires_grad = false) => arange(0, stop, 1, dtype, device, requires_grad);

    public static Tensor zeros_like(Tensor input, ScalarType? dtype = null, Device device = null, bool requires_grad = false, string[] names = null) => input.zeros_like(dtype, device, requires_grad);

    public static Tensor full_like(Tensor input, Scalar value, ScalarType? dtype = null, Device device = null, bool requires_grad = false, string[] names = null) => input.full_like(value, dtype, device, requires_grad);

    public static Tensor randperm(long n, ScalarType? dtype = null, Device device = null, bool requires_grad = false, Generator generator = null) =>
        Ops.randperm_generator.Call(n, generator, dtype ?? ScalarType.Int64, Arg.None, InitializeDevice(device));

    public static Tensor randint(long low, long high, Size size, ScalarType? dtype = null, Device device = null, bool requires_grad = false, Generator generator = null, string[] names = null) =>
        Leaf(Ops.randint_low_generator.Call(low, high, size.Shape, generator, dtype ?? ScalarType.Int64, Arg.None, InitializeDevice(device)), requires_grad);

    public static Tensor randint(long low, long high, long[] size, ScalarType? dtype = null, Device device = null, bool requires_grad = false, Generator generator = null, string[] names = null) =>
        randint(low, high, new Size(size), dtype, device, requires_grad, generator, names);

    public static Tensor randint(int low, int high, int[] size, ScalarType? dtype = null, Device device = null, bool requires_grad = false, Generator generator = null, string[] names = null) =>
        randint(low, high, new Size(size), dtype, device, requires_grad, generator, names);
}
