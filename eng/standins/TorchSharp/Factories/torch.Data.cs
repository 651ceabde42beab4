namespace TorchSharp;

/// <summary>Tensors that copy managed numbers.</summary>
public static partial class torch
{
    public static Tensor tensor(bool scalar, ScalarType? dtype = null, Device device = null, bool requires_grad = false) => Single(scalar, ScalarType.Bool, dtype, device, requires_grad);

    public static Tensor tensor(long scalar, ScalarType? dtype = null, Device device = null, bool requires_grad = false) => Single(scalar, ScalarType.Int64, dtype, device, requires_grad);
    public static Tensor tensor(long[] dataArray, ScalarType? dtype = null, Device device = null, bool requires_grad = false, string[] names = null) => Copied(dataArray, LengthsOf(dataArray), dtype, device, requires_grad);

    public static Tensor tensor(float scalar, Device device = null, bool requires_grad = false) => Single(scalar, ScalarType.Float32, null, device, requires_grad);
    public static Tensor tensor(float[] rawArray, ScalarType? dtype = null, Device device = null, bool requires_grad = false, string[] names = null) => Copied(rawArray, LengthsOf(rawArray), dtype, device, requires_grad);
    public static Tensor tensor(float[] rawArray, ReadOnlySpan<long> dimensions, ScalarType? dtype = null, Device device = null, bool requires_grad = false, string[] names = null) => Copied(rawArray, dimensions.ToArray(), dtype, device, requires_grad);

    public static Tensor tensor(double scalar, ScalarType? dtype = null, Device device = null, bool requires_grad = false) => Single(scalar, ScalarType.Float64, dtype, device, requires_grad);
    public static Tensor tensor(double[] rawArray, ScalarType? dtype = null, Device device = null, bool requires_grad = false, string[] names = null) => Copied(rawArray, LengthsOf(rawArray), dtype, device, requires_grad);
    public static Tensor tensor(double[] rawArray, ReadOnlySpan<long> dimensions, ScalarType? dtype = null, Device device = null, bool requires_grad = false, string[] names = null) => Copied(rawArray, dimensions.ToArray(), dtype, device, requires_grad);
}
