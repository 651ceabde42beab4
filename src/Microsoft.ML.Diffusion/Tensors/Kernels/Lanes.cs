using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// One SIMD register of floats. Kernels are written once over this and compiled by the JIT for the widest registers the processor has;
/// <c>Vector&lt;float&gt;</c> stops at 256 bits.
/// </summary>
/// <typeparam name="T">The register.</typeparam>
internal unsafe interface ILanes<T>
    where T : unmanaged, ILanes<T>
{
    /// <summary>Floats in a register.</summary>
    static abstract int Count { get; }

    /// <summary>Whether the processor has 32 registers, not 16: how large a block of sums can be kept in them.</summary>
    static abstract bool Many { get; }

    static abstract T Load(float* from);

    static abstract T All(float value);

    static abstract void Store(T value, float* to);

    /// <summary>a·b + c, rounded once.</summary>
    static abstract T Fma(T a, T b, T c);

    static abstract T operator +(T a, T b);

    static abstract T operator -(T a, T b);

    static abstract T operator *(T a, T b);

    /// <summary>1/a to the last bits.</summary>
    static abstract T Reciprocal(T a);

    /// <summary>1/a to 4 digits at least.</summary>
    static virtual T RoughReciprocal(T a) => T.Reciprocal(a);

    /// <summary>The larger; b where either is no number.</summary>
    static abstract T Max(T a, T b);

    /// <summary>The smaller; b where either is no number.</summary>
    static abstract T Min(T a, T b);

    /// <summary>a·2ⁿ for whole numbers from −126 to 127.</summary>
    static abstract T Scale(T a, T whole);

    /// <summary>What is left of x above the whole number below it; beyond ±126 anything from 0 to 1.</summary>
    static abstract T Fraction(T x);

    /// <summary>a·2ⁿ, n the whole number below x; beyond ±126 at most 2⁻¹²⁶ and at least 2¹²⁶.</summary>
    static abstract T ScaleByFloor(T a, T x);

    /// <summary>Transposes a square of <see cref="Count"/> rows and columns.</summary>
    /// <param name="from">Its first number.</param>
    /// <param name="stride">From a row to the next.</param>
    /// <param name="to">Where the first row of the transpose goes.</param>
    /// <param name="toStride">From a row of the transpose to the next.</param>
    static abstract void Transpose(float* from, nint stride, float* to, nint toStride);

    /// <summary>The sum over the lanes.</summary>
    static abstract float Sum(T a);

    /// <summary>The largest lane.</summary>
    static abstract float Largest(T a);
}

/// <summary>Which registers to use.</summary>
internal static class Lanes
{
    /// <summary>Floats of the widest register that this processor computes in.</summary>
    public static int Widest { get; } = Vector512.IsHardwareAccelerated ? 16 : Vector256.IsHardwareAccelerated ? 8 : 4;

    /// <summary>The widest of them that fills up with a number of channels; 0 where none does.</summary>
    public static int Dividing(long channels)
    {
        for (int lanes = Widest; lanes >= 4; lanes /= 2)
        {
            if (channels % lanes == 0)
                return lanes;
        }
        return 0;
    }

    /// <summary>Calls a cache line from memory without waiting for it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static unsafe void Prefetch(void* address)
    {
        if (Sse.IsSupported)
            Sse.Prefetch1(address);
    }

    /// <summary>Transposes a square number by number.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    internal static unsafe void Transpose(int side, float* from, nint stride, float* to, nint toStride)
    {
        for (int row = 0; row < side; row++, from += stride, to++)
        {
            for (int column = 0; column < side; column++)
                to[column * toStride] = from[column];
        }
    }
}

/// <summary>16 floats: AVX-512.</summary>
internal readonly unsafe struct Lanes512(Vector512<float> value) : ILanes<Lanes512>
{
    // How VREDUCEPS rounds to the whole number that it takes away: down, without raising exceptions.
    private const byte Down = 0b1001;

    private readonly Vector512<float> _value = value;

    public static int Count => 16;

    public Vector512<float> Value => _value;

    public static bool Many => true;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 Load(float* from) => new(Vector512.Load(from));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 All(float value) => new(Vector512.Create(value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(Lanes512 value, float* to) => value._value.Store(to);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 Fma(Lanes512 a, Lanes512 b, Lanes512 c) => new(Vector512.FusedMultiplyAdd(a._value, b._value, c._value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 operator +(Lanes512 a, Lanes512 b) => new(a._value + b._value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 operator -(Lanes512 a, Lanes512 b) => new(a._value - b._value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 operator *(Lanes512 a, Lanes512 b) => new(a._value * b._value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 Reciprocal(Lanes512 a)
    {
        if (!Avx512F.IsSupported)
            return new(Vector512<float>.One / a._value);
        // 14 bits and a step of Newton's: a third of a division's time.
        Vector512<float> r = Avx512F.Reciprocal14(a._value);
        return new(Vector512.FusedMultiplyAdd(r, Vector512.FusedMultiplyAdd(-a._value, r, Vector512<float>.One), r));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 RoughReciprocal(Lanes512 a) => Avx512F.IsSupported ? new(Avx512F.Reciprocal14(a._value)) : Reciprocal(a);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 Max(Lanes512 a, Lanes512 b) => new(Vector512.MaxNative(a._value, b._value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 Min(Lanes512 a, Lanes512 b) => new(Vector512.MinNative(a._value, b._value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 Scale(Lanes512 a, Lanes512 whole) => new(Avx512F.IsSupported
        ? Avx512F.Scale(a._value, whole._value)
        : a._value * ((Vector512.ConvertToInt32Native(whole._value) + Vector512.Create(127)) << 23).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 Fraction(Lanes512 x) => new(Avx512DQ.IsSupported ? Avx512DQ.Reduce(x._value, Down) : Within(x) - Vector512.Floor(Within(x)));

    /// <inheritdoc/>
    /// <remarks>The instruction takes the whole number below by itself.</remarks>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 ScaleByFloor(Lanes512 a, Lanes512 x) =>
        Avx512F.IsSupported ? new(Avx512F.Scale(a._value, x._value)) : Scale(a, new(Vector512.Floor(Within(x))));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> Within(Lanes512 x) => Vector512.MinNative(Vector512.Create(126f), Vector512.MaxNative(Vector512.Create(-126f), x._value));

    /// <inheritdoc/>
    /// <remarks>Four columns at a time: quarters of a register are loaded from rows four apart, so that 4x4 transposes within the quarters are all that is left.</remarks>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Transpose(float* from, nint stride, float* to, nint toStride)
    {
        if (!Avx512F.IsSupported)
        {
            Lanes.Transpose(16, from, stride, to, toStride);
            return;
        }
        for (int quarter = 0; quarter < 4; quarter++, from += 4, to += 4 * toStride)
        {
            Vector512<float> r0 = Quarters(from, 4 * stride), r1 = Quarters(from + stride, 4 * stride);
            Vector512<float> r2 = Quarters(from + 2 * stride, 4 * stride), r3 = Quarters(from + 3 * stride, 4 * stride);
            Vector512<double> low01 = Avx512F.UnpackLow(r0, r1).AsDouble(), high01 = Avx512F.UnpackHigh(r0, r1).AsDouble();
            Vector512<double> low23 = Avx512F.UnpackLow(r2, r3).AsDouble(), high23 = Avx512F.UnpackHigh(r2, r3).AsDouble();
            Avx512F.UnpackLow(low01, low23).AsSingle().Store(to);
            Avx512F.UnpackHigh(low01, low23).AsSingle().Store(to + toStride);
            Avx512F.UnpackLow(high01, high23).AsSingle().Store(to + 2 * toStride);
            Avx512F.UnpackHigh(high01, high23).AsSingle().Store(to + 3 * toStride);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Sum(Lanes512 a) => Vector512.Sum(a._value);

    public static float Largest(Lanes512 a)
    {
        var half = new Lanes256(Vector256.MaxNative(a._value.GetLower(), a._value.GetUpper()));
        return Lanes256.Largest(half);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> Quarters(float* from, nint step) => Vector512.Create(
        Vector256.Create(Vector128.Load(from), Vector128.Load(from + step)), Vector256.Create(Vector128.Load(from + 2 * step), Vector128.Load(from + 3 * step)));
}

/// <summary>8 floats: AVX2.</summary>
internal readonly unsafe struct Lanes256(Vector256<float> value) : ILanes<Lanes256>
{
    private readonly Vector256<float> _value = value;

    public static int Count => 8;

    public static bool Many => false;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 Load(float* from) => new(Vector256.Load(from));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 All(float value) => new(Vector256.Create(value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(Lanes256 value, float* to) => value._value.Store(to);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 Fma(Lanes256 a, Lanes256 b, Lanes256 c) => new(Vector256.FusedMultiplyAdd(a._value, b._value, c._value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 operator +(Lanes256 a, Lanes256 b) => new(a._value + b._value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 operator -(Lanes256 a, Lanes256 b) => new(a._value - b._value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 operator *(Lanes256 a, Lanes256 b) => new(a._value * b._value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 Reciprocal(Lanes256 a) => new(Vector256<float>.One / a._value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 Max(Lanes256 a, Lanes256 b) => new(Vector256.MaxNative(a._value, b._value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 Min(Lanes256 a, Lanes256 b) => new(Vector256.MinNative(a._value, b._value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 Scale(Lanes256 a, Lanes256 whole) =>
        new(a._value * ((Vector256.ConvertToInt32Native(whole._value) + Vector256.Create(127)) << 23).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 Fraction(Lanes256 x) => new(Within(x) - Vector256.Floor(Within(x)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 ScaleByFloor(Lanes256 a, Lanes256 x) => Scale(a, new(Vector256.Floor(Within(x))));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> Within(Lanes256 x) => Vector256.MinNative(Vector256.Create(126f), Vector256.MaxNative(Vector256.Create(-126f), x._value));

    /// <inheritdoc/>
    /// <remarks>As with <see cref="Lanes512"/>, by halves.</remarks>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Transpose(float* from, nint stride, float* to, nint toStride)
    {
        if (!Avx.IsSupported)
        {
            Lanes.Transpose(8, from, stride, to, toStride);
            return;
        }
        for (int half = 0; half < 2; half++, from += 4, to += 4 * toStride)
        {
            Vector256<float> r0 = Halves(from, 4 * stride), r1 = Halves(from + stride, 4 * stride);
            Vector256<float> r2 = Halves(from + 2 * stride, 4 * stride), r3 = Halves(from + 3 * stride, 4 * stride);
            Vector256<double> low01 = Avx.UnpackLow(r0, r1).AsDouble(), high01 = Avx.UnpackHigh(r0, r1).AsDouble();
            Vector256<double> low23 = Avx.UnpackLow(r2, r3).AsDouble(), high23 = Avx.UnpackHigh(r2, r3).AsDouble();
            Avx.UnpackLow(low01, low23).AsSingle().Store(to);
            Avx.UnpackHigh(low01, low23).AsSingle().Store(to + toStride);
            Avx.UnpackLow(high01, high23).AsSingle().Store(to + 2 * toStride);
            Avx.UnpackHigh(high01, high23).AsSingle().Store(to + 3 * toStride);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Sum(Lanes256 a) => Vector256.Sum(a._value);

    public static float Largest(Lanes256 a)
    {
        var half = new Lanes128(Vector128.MaxNative(a._value.GetLower(), a._value.GetUpper()));
        return Lanes128.Largest(half);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> Halves(float* from, nint step) => Vector256.Create(Vector128.Load(from), Vector128.Load(from + step));
}

/// <summary>4 floats: NEON, SSE, and processors without either.</summary>
internal readonly unsafe struct Lanes128(Vector128<float> value) : ILanes<Lanes128>
{
    private readonly Vector128<float> _value = value;

    public static int Count => 4;

    public static bool Many => System.Runtime.Intrinsics.Arm.AdvSimd.IsSupported;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 Load(float* from) => new(Vector128.Load(from));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 All(float value) => new(Vector128.Create(value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(Lanes128 value, float* to) => value._value.Store(to);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 Fma(Lanes128 a, Lanes128 b, Lanes128 c) => new(Vector128.FusedMultiplyAdd(a._value, b._value, c._value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 operator +(Lanes128 a, Lanes128 b) => new(a._value + b._value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 operator -(Lanes128 a, Lanes128 b) => new(a._value - b._value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 operator *(Lanes128 a, Lanes128 b) => new(a._value * b._value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 Reciprocal(Lanes128 a) => new(Vector128<float>.One / a._value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 Max(Lanes128 a, Lanes128 b) => new(Vector128.MaxNative(a._value, b._value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 Min(Lanes128 a, Lanes128 b) => new(Vector128.MinNative(a._value, b._value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 Scale(Lanes128 a, Lanes128 whole) =>
        new(a._value * ((Vector128.ConvertToInt32Native(whole._value) + Vector128.Create(127)) << 23).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 Fraction(Lanes128 x) => new(Within(x) - Vector128.Floor(Within(x)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 ScaleByFloor(Lanes128 a, Lanes128 x) => Scale(a, new(Vector128.Floor(Within(x))));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> Within(Lanes128 x) => Vector128.MinNative(Vector128.Create(126f), Vector128.MaxNative(Vector128.Create(-126f), x._value));

    /// <inheritdoc/>
    public static void Transpose(float* from, nint stride, float* to, nint toStride) => Lanes.Transpose(4, from, stride, to, toStride);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Sum(Lanes128 a) => Vector128.Sum(a._value);

    public static float Largest(Lanes128 a) =>
        MathF.Max(MathF.Max(a._value[0], a._value[1]), MathF.Max(a._value[2], a._value[3]));
}
