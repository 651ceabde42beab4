using static TorchSharp.Native.Bridge;

namespace TorchSharp.Native;

/// <summary>One argument of an operator. Holds on to the managed object behind it, so that it outlives the call.</summary>
internal readonly struct Arg
{
    internal readonly object Object;
    internal readonly long Bits;
    internal readonly Kind Kind;

    private Arg(Kind kind, long bits = 0, object o = null) => (Kind, Bits, Object) = (kind, bits, o);
    public static Arg None => default;

    public static implicit operator Arg(torch.Tensor t) => t is null ? default : new(Kind.Tensor, t.Handle, t);
    public static implicit operator Arg(long value) => new(Kind.Int, value);
    public static implicit operator Arg(long? value) => value.HasValue ? new(Kind.Int, value.Value) : default;
    public static implicit operator Arg(double value) => new(Kind.Double, BitConverter.DoubleToInt64Bits(value));
    public static implicit operator Arg(bool value) => new(Kind.Bool, value ? 1 : 0);
    public static implicit operator Arg(torch.ScalarType type) => new(Kind.Int, (long)type);
    public static implicit operator Arg(torch.ScalarType? type) => type.HasValue ? new(Kind.Int, (long)type.Value) : default;
    public static implicit operator Arg(Scalar s) => s is null ? default : new(s.Kind, s.Bits, s);
    public static implicit operator Arg(torch.Device d) => d is null ? default : new(Kind.Device, ((long)d.type << 16) | (ushort)(short)d.index);
    public static implicit operator Arg(torch.Generator g) => g is null ? default : new(Kind.Generator, g.Handle, g);
    public static implicit operator Arg(string text) => text is null ? default : new(Kind.String, 0, text);
    public static implicit operator Arg(long[] list) => list is null ? default : new(Kind.IntList, list.Length, list);
    public static implicit operator Arg(double[] list) => list is null ? default : new(Kind.DoubleList, list.Length, list);
    public static implicit operator Arg(torch.Tensor[] list) => new(Kind.TensorList, list.Length, list);
    public static implicit operator Arg(torch.nn.Reduction reduction) => new(Kind.Int, (long)reduction);

    /// <summary>Where null stands for an index that is not given.</summary>
    public static Arg Optional(torch.Tensor[] list) => new(Kind.OptionalTensorList, list.Length, list);

    public static Arg List(ReadOnlySpan<long> list) => list.ToArray();
}
