using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Microsoft.ML.Diffusion;

/// <summary>A number as it lies in memory; registers compute in float32 whatever it is. Kernels that are limited by memory are written once over this.</summary>
/// <typeparam name="E">The number.</typeparam>
/// <typeparam name="L">The register.</typeparam>
internal unsafe interface IElement<E, L>
    where E : unmanaged, IElement<E, L>
    where L : unmanaged, ILanes<L>
{
    /// <summary>As many numbers as the register holds.</summary>
    static abstract L Load(E* from);

    /// <summary>Writes them, rounded where they are narrower.</summary>
    static abstract void Store(L value, E* to);

    /// <summary>1/(1 + e⁻ˣ) to the digits that the number keeps.</summary>
    static abstract L Sigmoid(L x);

    /// <summary>One number.</summary>
    static abstract float One(E element);

    /// <summary>One number, rounded where it is narrower.</summary>
    static abstract E Of(float number);

    /// <summary>Copies numbers; as many as fill registers where they are narrower.</summary>
    static abstract void Read(E* from, int count, float* to);
}

/// <summary>A float32.</summary>
/// <typeparam name="L">The register.</typeparam>
internal readonly unsafe struct WideElement<L>(float value) : IElement<WideElement<L>, L>
    where L : unmanaged, ILanes<L>
{
    private readonly float _value = value;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static L Load(WideElement<L>* from) => L.Load((float*)from);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(L value, WideElement<L>* to) => L.Store(value, (float*)to);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static L Sigmoid(L x) => LaneMath<L>.Sigmoid(x);

    public static float One(WideElement<L> element) => element._value;

    public static WideElement<L> Of(float number) => new(number);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Read(WideElement<L>* from, int count, float* to)
    {
        int i = 0;
        for (; i <= count - L.Count; i += L.Count)
            L.Store(Load(from + i), to + i);
        for (; i < count; i++)
            to[i] = from[i]._value;
    }
}

/// <summary>A bfloat16: the upper half of a float32.</summary>
internal readonly unsafe struct NarrowElement(ushort bits) : IElement<NarrowElement, Lanes512>
{
    private readonly ushort _bits = bits;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 Load(NarrowElement* from) => new(BFloat16Layout.Widen(Vector256.Load((ushort*)from)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(Lanes512 value, NarrowElement* to) => BFloat16Layout.Narrow(value.Value).Store((ushort*)to);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 Sigmoid(Lanes512 x) => LaneMath<Lanes512>.RoughSigmoid(x);

    public static float One(NarrowElement element) => BitConverter.UInt32BitsToSingle((uint)element._bits << 16);

    public static NarrowElement Of(float number) => new(BFloat16Layout.Narrow(Vector512.CreateScalar(number)).ToScalar());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Read(NarrowElement* from, int count, float* to) => BFloat16Layout.Widen((ushort*)from, count, to);
}
