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
    public static bool IsQuicker
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => Avx512BW.IsSupported && Avx512DQ.IsSupported && Vector512.IsHardwareAccelerated;
    }

    /// <summary>Whether rows of so many numbers are rounded here.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Takes(int count) => IsQuicker && count % Together == 0;

    /// <summary>Which numbers are paired at a place: of each 32 one of the first half and the one as far in the second.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static (int First, int Second) NumbersAt(int place)
    {
        int first = place + (place & -N);
        return (first, first + N);
    }

    /// <summary>A block of four rows, of numbers that lie together or in two pieces. Those of bfloat16 are paired as neighbours.</summary>
    /// <param name="first">The first numbers of the first row; as many as <see cref="Takes"/> says.</param>
    /// <param name="second">The others; as many, or none.</param>
    /// <param name="to">[4, count/2 + 2], written.</param>
    /// <param name="toStride">From a row to the next.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void FourRows<E>(ChannelRun<E> first, ChannelRun<E> second, int* to, nint toStride)
        where E : unmanaged, IElement<E, Lanes512>
    {
        Vector512<float> sum0 = default, sum1 = default, sum2 = default, sum3 = default;
        Vector512<uint> most0 = default, most1 = default, most2 = default, most3 = default;
        for (int i = 0; i < first.Count; i += Together)
        {
            Measure(first.Row(0) + i, ref sum0, ref most0);
            Measure(first.Row(1) + i, ref sum1, ref most1);
            Measure(first.Row(2) + i, ref sum2, ref most2);
            Measure(first.Row(3) + i, ref sum3, ref most3);
        }
        for (int i = 0; i < second.Count; i += Together)
        {
            Measure(second.Row(0) + i, ref sum0, ref most0);
            Measure(second.Row(1) + i, ref sum1, ref most1);
            Measure(second.Row(2) + i, ref sum2, ref most2);
            Measure(second.Row(3) + i, ref sum3, ref most3);
        }
        var (scales, powers) = Int16Layout.PowersForRows(
            Int16Layout.EachSum(Halved(sum0), Halved(sum1), Halved(sum2), Halved(sum3)),
            EachLargest(Larger(most0), Larger(most1), Larger(most2), Larger(most3)));
        int* to1 = to + toStride, to2 = to1 + toStride, to3 = to2 + toStride;
        Vector256<int> parts0 = Round(first, second, 0, scales.GetElement(0), to), parts1 = Round(first, second, 1, scales.GetElement(1), to1);
        Vector256<int> parts2 = Round(first, second, 2, scales.GetElement(2), to2), parts3 = Round(first, second, 3, scales.GetElement(3), to3);
        Vector256<int> sums = Avx2.HorizontalAdd(Avx2.HorizontalAdd(parts0, parts1), Avx2.HorizontalAdd(parts2, parts3));
        Vector128<int> own = -(sums.GetLower() + sums.GetUpper());
        nint place = (first.Count + second.Count) / 2;
        for (int row = 0; row < 4; row++, to += toStride)
        {
            ((float*)to)[place] = powers.GetElement(row);
            to[place + 1] = own.GetElement(row);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Measure<E>(E* from, ref Vector512<float> squares, ref Vector512<uint> most)
        where E : unmanaged, IElement<E, Lanes512>
    {
        var (first, second) = E.LoadTwo(from);
        squares = Vector512.FusedMultiplyAdd(first.Value, first.Value, squares);
        squares = Vector512.FusedMultiplyAdd(second.Value, second.Value, squares);
        most = Largest(Largest(most, first.Value), second.Value);
    }

    /// <summary>A register's width of columns.</summary>
    /// <param name="from">The first row.</param>
    /// <param name="stride">From a row to the next.</param>
    /// <param name="count">Rows, an even number.</param>
    /// <param name="neighbours">Whether neighbours are paired, as <see cref="FourRows"/> does those of bfloat16.</param>
    /// <param name="to">The first row of pairs, written.</param>
    /// <param name="width">From a row of pairs to the next.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void OneColumn(float* from, nint stride, int count, bool neighbours, int* to, nint width)
    {
        Vector512<float> sum0 = default, sum1 = default, sum2 = default, sum3 = default;
        Vector512<uint> most = default;
        float* row = from;
        int left = count;
        for (; left >= 4; left -= 4, row += 4 * stride)
        {
            Vector512<float> a = Vector512.Load(row), b = Vector512.Load(row + stride), c = Vector512.Load(row + 2 * stride), d = Vector512.Load(row + 3 * stride);
            sum0 = Vector512.FusedMultiplyAdd(a, a, sum0);
            sum1 = Vector512.FusedMultiplyAdd(b, b, sum1);
            sum2 = Vector512.FusedMultiplyAdd(c, c, sum2);
            sum3 = Vector512.FusedMultiplyAdd(d, d, sum3);
            most = Largest(Largest(Largest(Largest(most, a), b), c), d);
        }
        for (; left > 0; left--, row += stride)
        {
            Vector512<float> a = Vector512.Load(row);
            sum0 = Vector512.FusedMultiplyAdd(a, a, sum0);
            most = Largest(most, a);
        }
        Vector512<float> sums = sum0 + sum1 + (sum2 + sum3);
        var (lowScale, lowPower) = Int16Layout.PowersFor(sums.GetLower(), most.GetLower().AsSingle());
        var (highScale, highPower) = Int16Layout.PowersFor(sums.GetUpper(), most.GetUpper().AsSingle());
        Vector512<float> scale = Vector512.Create(lowScale, highScale);
        Vector512<int> own = default, before = default;
        bool ordered = Takes(count);
        for (int place = 0; place < count / 2; place++, to += width)
        {
            var (first, second) = neighbours ? (2 * place, 2 * place + 1) : ordered ? NumbersAt(place) : Int16Layout.NumbersAt(place, count);
            Vector512<int> pair = Pair(Vector512.Load(from + first * stride), Vector512.Load(from + second * stride), scale);
            pair.Store(to);
            if (place % 2 != 0)
                own -= Avx512BW.MultiplyAddAdjacent(before.AsInt16(), pair.AsInt16());
            before = pair;
        }
        lowPower.Store((float*)to);
        highPower.Store((float*)to + N / 2);
        own.Store(to + width);
    }

    /// <summary>The numbers of one row.</summary>
    /// <returns>Its own sum without its sign, in eight parts.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> Round<E>(ChannelRun<E> first, ChannelRun<E> second, int row, float scale, int* to)
        where E : unmanaged, IElement<E, Lanes512>
    {
        Vector512<float> scales = Vector512.Create(scale);
        Vector512<int> parts = default;
        for (int i = 0; i < first.Count; i += Together, to += N)
            parts += Round(first.Row(row) + i, scales, to);
        for (int i = 0; i < second.Count; i += Together, to += N)
            parts += Round(second.Row(row) + i, scales, to);
        return parts.GetLower() + parts.GetUpper();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<int> Round<E>(E* from, Vector512<float> scale, int* to)
        where E : unmanaged, IElement<E, Lanes512>
    {
        var (first, second) = E.LoadTwo(from);
        Vector512<int> pairs = Pair(first.Value, second.Value, scale);
        pairs.Store(to);
        return Avx512BW.MultiplyAddAdjacent(pairs.AsInt16(), (pairs.AsUInt64() >> 32).AsInt16());
    }

    /// <summary>
    /// Two registers of numbers below 2¹⁵, rounded to integers and paired. The sum with 1.5·2²³ is rounded to a whole number, of which it ends with the lowest bits: one instruction, and no other that narrows.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<int> Pair(Vector512<float> first, Vector512<float> second, Vector512<float> scale)
    {
        Vector512<float> whole = Vector512.Create(12_582_912f);
        Vector512<int> low = Vector512.FusedMultiplyAdd(first, scale, whole).AsInt32(), high = Vector512.FusedMultiplyAdd(second, scale, whole).AsInt32();
        return Vector512.ConditionalSelect(Vector512.Create(0xFFFF), low, high << 16);
    }

    /// <summary>The larger absolute value of each two numbers: without their signs they are in the order of their bits.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<uint> Largest(Vector512<uint> most, Vector512<float> numbers) => Vector512.Max(most, numbers.AsUInt32() & Vector512.Create(0x7FFF_FFFFu));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> Larger(Vector512<uint> numbers) => Vector256.Max(numbers.GetLower(), numbers.GetUpper()).AsSingle();

    /// <summary>The largest of the lanes of four registers, in the first four lanes and in the last four.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> EachLargest(Vector256<float> most0, Vector256<float> most1, Vector256<float> most2, Vector256<float> most3)
    {
        Vector256<float> first = Avx.Max(Avx.UnpackLow(most0, most1), Avx.UnpackHigh(most0, most1)), second = Avx.Max(Avx.UnpackLow(most2, most3), Avx.UnpackHigh(most2, most3));
        Vector256<float> each = Avx.Max(Avx.Shuffle(first, second, 0b01_00_01_00), Avx.Shuffle(first, second, 0b11_10_11_10));
        return Avx.Max(each, Avx.Permute2x128(each, each, 1));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> Halved(Vector512<float> sums) => sums.GetLower() + sums.GetUpper();
}
