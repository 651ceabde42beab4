using TorchSharp.Native;

namespace TorchSharp;

/// <summary>Tensors made from a shape, in every way that the package lets one write a shape.</summary>
public static partial class torch
{
    public static Tensor zeros(long[] size, ScalarType? dtype = null, Device device = null, bool requires_grad = false, string[] names = null) => Zeros(size, dtype, device, requires_grad);
    public static Tensor zeros(ReadOnlySpan<long> size, ScalarType? dtype = null, Device device = null, bool requires_grad = false, string[] names = null) => Zeros(size.ToArray(), dtype, device, requires_grad);
    public static Tensor zeros(long size, ScalarType? dtype = null, Device device = null, bool requires_grad = false, string[] names = null) => Zeros([size], dtype, device, requires_grad);
    public static Tensor zeros(int size, ScalarType? dtype = null, Device device = null, bool requires_grad = false, string[] names = null) => Zeros([size], dtype, device, requires_grad);
    public static Tensor zeros(int rows, int columns, ScalarType? dtype = null, Device device = null, bool requires_grad = false, string[] names = null) => Zeros([rows, columns], dtype, device, requires_grad);
    public static Tensor zeros(int dim0, int dim1, int dim2, ScalarType? dtype = null, Device device = null, bool requires_grad = false, string[] names = null) => Zeros([dim0, dim1, dim2], dtype, device, requires_grad);
    public static Tensor zeros(int dim0, int dim1, int dim2, int dim3, ScalarType? dtype = null, Device device = null, bool requires_grad = false, string[] names = null) => Zeros([dim0, dim1, dim2, dim3], dtype, device, requires_grad);

    public static Tensor ones(long[] size, ScalarType? dtype = null, Device device = null, bool requires_grad = false, string[] names = null) => Ones(size, dtype, device, requires_grad);
    public static Tensor ones(ReadOnlySpan<long> size, ScalarType? dtype = null, Device device = null, bool requires_grad = false, string[] names = null) => Ones(size.ToArray(), dtype, device, requires_grad);
    public static Tensor ones(int size, ScalarType? dtype = null, Device device = null, bool requires_grad = false, string[] names = null) => Ones([size], dtype, device, requires_grad);
    public static Tensor ones(int rows, int columns, ScalarType? dtype = null, Device device = null, bool requires_grad = false, string[] names = null) => Ones([rows, columns], dtype, device, requires_grad);
    public static Tensor ones(int dim0, int dim1, int dim2, int dim3, ScalarType? dtype = null, Device device = null, bool requires_grad = false, string[] names = null) => Ones([dim0, dim1, dim2, dim3], dtype, device, requires_grad);

    public static Tensor empty(long[] size, ScalarType? dtype = null, Device device = null, bool requires_grad = false, string[] names = null) => Empty(size, dtype, device, requires_grad);
    public static Tensor empty(ReadOnlySpan<long> size, ScalarType? dtype = null, Device device = null, bool requires_grad = false, string[] names = null) => Empty(size.ToArray(), dtype, device, requires_grad);
    public static Tensor empty(long size, ScalarType? dtype = null, Device device = null, bool requires_grad = false, string[] names = null) => Empty([size], dtype, device, requires_grad);
    public static Tensor empty(long rows, long columns, ScalarType? dtype = null, Device device = null, bool requires_grad = false, string[] names = null) => Empty([rows, columns], dtype, device, requires_grad);
    public static Tensor empty(int rows, int columns, ScalarType? dtype = null, Device device = null, bool requires_grad = false, string[] names = null) => Empty([rows, columns], dtype, device, requires_grad);
    public static Tensor full(ReadOnlySpan<long> size, Scalar value, ScalarType? dtype = null, Device device = null, bool requires_grad = false, string[] names = null) => Full(size.ToArray(), value, dtype, device, requires_grad);
    public static Tensor full(long size, Scalar value, ScalarType? dtype = null, Device device = null, bool requires_grad = false, string[] names = null) => Full([size], value, dtype, device, requires_grad);
    public static Tensor full(int size, Scalar value, ScalarType? dtype = null, Device device = null, bool requires_grad = false, string[] names = null) => Full([size], value, dtype, device, requires_grad);
    public static Tensor full(int dim0, int dim1, int dim2, int dim3, Scalar value, ScalarType? dtype = null, Device device = null, bool requires_grad = false, string[] names = null) => Full([dim0, dim1, dim2, dim3], value, dtype, device, requires_grad);

    public static Tensor rand(long[] size, ScalarType? dtype = null, Device device = null, bool requires_grad = false, Generator generator = null, string[] names = null) => Rand(size, dtype, device, requires_grad, generator);
    public static Tensor rand(ReadOnlySpan<long> size, ScalarType? dtype = null, Device device = null, bool requires_grad = false, Generator generator = null, string[] names = null) => Rand(size.ToArray(), dtype, device, requires_grad, generator);
    public static Tensor rand(int size, ScalarType? dtype = null, Device device = null, bool requires_grad = false, Generator generator = null, string[] names = null) => Rand([size], dtype, device, requires_grad, generator);

    public static Tensor randn(long[] size, ScalarType? dtype = null, Device device = null, bool requires_grad = false, Generator generator = null, string[] names = null) => Randn(size, dtype, device, requires_grad, generator);
    public static Tensor randn(ReadOnlySpan<long> size, ScalarType? dtype = null, Device device = null, bool requires_grad = false, Generator generator = null, string[] names = null) => Randn(size.ToArray(), dtype, device, requires_grad, generator);

    private static Tensor Zeros(long[] size, ScalarType? dtype, Device device, bool requires_grad) => New(Ops.zeros, size, dtype, device, requires_grad);

    private static Tensor Ones(long[] size, ScalarType? dtype, Device device, bool requires_grad) => New(Ops.ones, size, dtype, device, requires_grad);

    private static Tensor Empty(long[] size, ScalarType? dtype, Device device, bool requires_grad) => New(Ops.empty_memory_format, size, dtype, device, requires_grad);

    private static Tensor New(Op op, long[] size, ScalarType? dtype, Device device, bool requires_grad) =>
        Leaf(op.Call(size, dtype ?? get_default_dtype(), Arg.None, InitializeDevice(device)), requires_grad);

    private static Tensor Full(long[] size, Scalar value, ScalarType? dtype, Device device, bool requires_grad) =>
        Leaf(Ops.full.Call(size, value, dtype ?? (is_integral(value.Type) ? ScalarType.Int64 : get_default_dtype()), Arg.None, InitializeDevice(device)), requires_grad);

    private static Tensor Rand(long[] size, ScalarType? dtype, Device device, bool requires_grad, Generator generator) => Drawn("rand", Ops.rand_generator, size, dtype, device, requires_grad, generator);

    private static Tensor Randn(long[] size, ScalarType? dtype, Device device, bool requires_grad, Generator generator) => Drawn("randn", Ops.randn_generator, size, dtype, device, requires_grad, generator);

    private static Tensor Drawn(string name, Op op, long[] size, ScalarType? dtype, Device device, bool requires_grad, Generator generator)
    {
        if (dtype.HasValue && is_integral(dtype.Value)) throw new ArgumentException($"torch.{name}() was passed a bad dtype: {dtype}. It must be floating point or complex.", "dtype");
        return Leaf(op.Call(size, generator, dtype ?? get_default_dtype(), Arg.None, InitializeDevice(device)), requires_grad);
    }

    private static Tensor Leaf(Tensor t, bool requires_grad)
    {
        if (requires_grad) t.requires_grad = true;
        return t;
    }
}
