using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Microsoft.ML.Diffusion;

/// <summary>What <see cref="Int16Layout"/> does in registers of 512 bits, where there are such; numbers that fill them lie in an order of their own.</summary>
internal static unsafe class Int16WideLayout
{
    /// <summary>Numbers of a row that are rounded together.</summary>
    private const int Together = 32;

    private const int N = 16;

    /// <summary>Whether the processor has them.</summary>
    public static bool IsQuicker => Avx512BW.IsSupported && Vector512.IsHardwareAccelerated;

    /// <summary>Whether rows of so many numbers are rounded here.</summary>
    public static bool Takes(int count) => IsQuicker && count % Together == 0;

    /// <summary>Where a pair of numbers goes. The instruction narrows two registers by quarters: each has two pairs of either.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int PlaceOf(int pair) => (pair & ~14) | (pair & 6) << 1 | (pair & 8) >> 2;

    /// <summary>A block of four rows.</summary>
    /// <param name="from">[4, count].</param>
    /// <param name="stride">From a row to the next.</param>
    /// <param name="count">As <see cref="Takes"/> says.</param>
    /// <param name="to">[4, count/2 + 1], written.</param>
    /// <param name="toStride">From a row to the next.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void FourRows(float* from, nint stride, int count, int* to, nint toStride)
    {
        float* from1 = from + stride, from2 = from1 + stride, from3 = from2 + stride;
        Vector512<float> sum0 = default, sum1 = default, sum2 = default, sum3 = default;
        for (int i = 0; i < count; i += N)
        {
            Vector512<float> a = Vector512.Load(from + i), b = Vector512.Load(from1 + i), c = Vector512.Load(from2 + i), d = Vector512.Load(from3 + i);
            sum0 = Vector512.FusedMultiplyAdd(a, a, sum0);
            sum1 = Vector512.FusedMultiplyAdd(b, b, sum1);
            sum2 = Vector512.FusedMultiplyAdd(c, c, sum2);
            sum3 = Vector512.FusedMultiplyAdd(d, d, sum3);
        }
        var (scales, powers) = Int16Layout.PowersFor(Int16Layout.EachSum(Halved(sum0), Halved(sum1), Halved(sum2), Halved(sum3)));
        int* to1 = to + toStride, to2 = to1 + toStride, to3 = to2 + toStride;
        Round(from, count, scales.GetElement(0), powers.GetElement(0), to);
        Round(from1, count, scales.GetElement(1), powers.GetElement(1), to1);
        Round(from2, count, scales.GetElement(2), powers.GetElement(2), to2);
        Round(from3, count, scales.GetElement(3), powers.GetElement(3), to3);
    }

    /// <summary>A register's width of columns.</summary>
    /// <param name="from">The first row.</param>
    /// <param name="stride">From a row to the next.</param>
    /// <param name="count">Rows, an even number.</param>
    /// <param name="to">The first row of pairs, written.</param>
    /// <param name="width">From a row of pairs to the next.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void OneColumn(float* from, nint stride, int count, int* to, nint width)
    {
        Vector512<float> even = default, odd = default;
        float* row = from;
        for (int i = 0; i < count; i += 2, row += 2 * stride)
        {
            Vector512<float> a = Vector512.Load(row), b = Vector512.Load(row + stride);
            even = Vector512.FusedMultiplyAdd(a, a, even);
            odd = Vector512.FusedMultiplyAdd(b, b, odd);
        }
        Vector512<float> sums = even + odd;
        var (lowScale, lowPower) = Int16Layout.PowersFor(sums.GetLower());
        var (highScale, highPower) = Int16Layout.PowersFor(sums.GetUpper());
        Vector512<float> scale = Vector512.Create(lowScale, highScale);
        for (int pair = 0; pair < count / 2; pair++, from += 2 * stride)
        {
            Vector512<short> both = Avx512BW.PackSignedSaturate(Scaled(Vector512.Load(from), scale), Scaled(Vector512.Load(from + stride), scale));
            Avx512BW.UnpackLow(both, Avx512F.Shuffle(both.AsInt32(), 0b11_10_11_10).AsInt16()).AsInt32().Store(to + Int16Layout.PlaceOf(pair, count) * width);
        }
        lowPower.Store((float*)(to + count / 2 * width));
        highPower.Store((float*)(to + count / 2 * width) + N / 2);
    }

    /// <summary>One row.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Round(float* from, int count, float scale, float power, int* to)
    {
        *(float*)(to + count / 2) = power;
        Vector512<float> scales = Vector512.Create(scale);
        for (int i = 0; i < count; i += Together, to += N)
            Avx512BW.PackSignedSaturate(Scaled(Vector512.Load(from + i), scales), Scaled(Vector512.Load(from + i + N), scales)).AsInt32().Store(to);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<int> Scaled(Vector512<float> numbers, Vector512<float> scale) => Avx512F.ConvertToVector512Int32(numbers * scale);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> Halved(Vector512<float> sums) => sums.GetLower() + sums.GetUpper();
}
