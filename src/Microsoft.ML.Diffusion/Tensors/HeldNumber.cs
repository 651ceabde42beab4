using TorchSharp;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// A number for TorchSharp's operators. TorchSharp makes a native number of it and hands libtorch the address, while nobody holds the owner any more: a garbage collection in that moment frees it,
/// and libtorch reads what comes to lie there. It does so of the one that it multiplies the second term of a sum with, too. These are held until the thread has made some more, then freed by the
/// same thread.
/// </summary>
internal readonly struct HeldNumber
{
    /// <summary>More than the operators of one expression take.</summary>
    private const int Count = 16;

    [ThreadStatic] private static Scalar?[]? s_held;
    [ThreadStatic] private static int s_next;

    private readonly Scalar _number;

    private HeldNumber(Scalar number)
    {
        Scalar?[] held = s_held ??= new Scalar?[Count];
        held[s_next]?.Dispose();
        held[s_next] = _number = number;
        s_next = (s_next + 1) % Count;
    }

    /// <summary>A real number, for the next operator that this thread calls.</summary>
    public static HeldNumber Held(double value) => new(value.ToScalar());

    /// <summary>A whole number, for the next operator that this thread calls.</summary>
    public static HeldNumber Held(long value) => new(value.ToScalar());

    public static implicit operator Scalar(HeldNumber number) => number._number;

    public static Tensor operator +(Tensor a, HeldNumber b) => a.add(b._number, Held(1));

    public static Tensor operator +(HeldNumber a, Tensor b) => b.add(a._number, Held(1));

    public static Tensor operator -(Tensor a, HeldNumber b) => a.sub(b._number);

    public static Tensor operator -(HeldNumber a, Tensor b)
    {
        using Tensor negative = b.neg();
        return negative.add(a._number, Held(1));
    }

    public static Tensor operator *(Tensor a, HeldNumber b) => a.mul(b._number);

    public static Tensor operator *(HeldNumber a, Tensor b) => b.mul(a._number);

    public static Tensor operator /(Tensor a, HeldNumber b) => a.div(b._number);
}

/// <summary>Operators of TorchSharp's that make a number by themselves, which nobody holds either.</summary>
internal static class HeldNumberOperators
{
    /// <summary>a + b, where TorchSharp adds b times one.</summary>
    public static Tensor Plus(this Tensor a, Tensor b) => a.add(b, HeldNumber.Held(1));

    /// <summary>x², where TorchSharp takes the power of two.</summary>
    public static Tensor Squared(this Tensor x) => x.pow(HeldNumber.Held(2));
}
