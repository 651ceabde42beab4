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

    /// <summary>Twice as many, in an order that costs least: what is done to all of them alike does not see it.</summary>
    static abstract (L First, L Second) LoadTwo(E* from);

    /// <summary>Writes what lies in that order, rounded where numbers are narrower.</summary>
    static abstract void StoreTwo(L first, L second, E* to);

    /// <summary>As many floats, brought into that order.</summary>
    static abstract (L First, L Second) Ordered(float* from);

    /// <summary>Writes floats out of that order.</summary>
    static abstract void StoreOrdered(L first, L second, float* to);

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
    public static (L First, L Second) LoadTwo(WideElement<L>* from) => Ordered((float*)from);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreTwo(L first, L second, WideElement<L>* to) => StoreOrdered(first, second, (float*)to);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static (L First, L Second) Ordered(float* from) => (L.Load(from), L.Load(from + L.Count));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreOrdered(L first, L second, float* to)
    {
        L.Store(first, to);
        L.Store(second, to + L.Count);
    }

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

    /// <inheritdoc/>
    /// <remarks>The first of each two numbers, then the second: each is one instruction away from a float32.</remarks>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static (Lanes512 First, Lanes512 Second) LoadTwo(NarrowElement* from)
    {
        Vector512<uint> both = Vector512.Load((uint*)from);
        return (new((both << 16).AsSingle()), new((both & Vector512.Create(0xFFFF0000u)).AsSingle()));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreTwo(Lanes512 first, Lanes512 second, NarrowElement* to) => BFloat16Layout.Pair(first.Value, second.Value).Store((uint*)to);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static (Lanes512 First, Lanes512 Second) Ordered(float* from)
    {
        Vector512<ulong> low = Vector512.Load((ulong*)from), high = Vector512.Load((ulong*)(from + Lanes512.Count));
        return (new(Vector512.Narrow(low, high).AsSingle()), new(Vector512.Narrow(low >>> 32, high >>> 32).AsSingle()));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreOrdered(Lanes512 first, Lanes512 second, float* to)
    {
        var (a, b) = (first.Value.AsUInt32(), second.Value.AsUInt32());
        (Vector512.WidenLower(a) | Vector512.WidenLower(b) << 32).Store((ulong*)to);
        (Vector512.WidenUpper(a) | Vector512.WidenUpper(b) << 32).Store((ulong*)(to + Lanes512.Count));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 Sigmoid(Lanes512 x) => LaneMath<Lanes512>.RoughSigmoid(x);

    public static float One(NarrowElement element) => BitConverter.UInt32BitsToSingle((uint)element._bits << 16);

    public static NarrowElement Of(float number) => new(BFloat16Layout.Narrow(Vector512.CreateScalar(number)).ToScalar());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Read(NarrowElement* from, int count, float* to) => BFloat16Layout.Widen((ushort*)from, count, to);
}
