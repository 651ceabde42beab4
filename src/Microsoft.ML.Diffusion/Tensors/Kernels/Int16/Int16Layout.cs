using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// Numbers as 16-bit integers with a power of two that some of them share: dynamic fixed point (Das et al. 2018, "Mixed Precision Training of Convolutional Neural Networks using Integer
/// Operations"). The numbers of a row of a left factor, or of a column of a right one, lie in blocks of at most <see cref="Block"/>, in pairs of 32 bits, behind each block its power as float32 and its own
/// sum. A block as a vector is made as long as it can be below 2¹⁵: whatever it is multiplied with, a sum stays within 2³⁰ (Cauchy-Schwarz), and no number is longer than the vector.
/// Where the sum of squares is no finite number, nor is the power. With registers of 512 bits all numbers are below 2¹⁴, so that two of them may be added; a row may be twice as long
/// then, for its sums to stay within 2³¹. The own sum is −Σ w·w' over the block's pairs two by two, of which <see cref="VnniCode"/> makes use; otherwise it is not written.
/// </summary>
internal static unsafe class Int16Layout
{
    /// <summary>Numbers that share a power, at the most.</summary>
    public const int Block = PixelSource.MostChannels;

    private const int N = 8;

    /// <summary>Words behind a block's pairs: its power and its own sum.</summary>
    private const int BehindPairs = 2;

    /// <summary>Rows that are rounded together.</summary>
    private const int Together = 4;

    /// <summary>Whether blocks are rounded so that sums of factors fit, and have their own sums.</summary>
    private static bool SumsFactors => Int16WideLayout.IsQuicker;

    /// <summary>Words of 32 bits of a row or column.</summary>
    /// <param name="numbers">Its numbers, even.</param>
    public static nint Words(int numbers) => numbers / 2 + BehindPairs * ((numbers + Block - 1) / Block);

    /// <summary>Words before a block.</summary>
    /// <param name="first">Its first number.</param>
    public static nint Start(int first) => first / 2 + BehindPairs * (first / Block);

    /// <summary>A block of several rows: a left factor's.</summary>
    /// <param name="from">[rows, count].</param>
    /// <param name="stride">From a row to the next.</param>
    /// <param name="rows">At least 4.</param>
    /// <param name="count">A multiple of 8, at most <see cref="Block"/>.</param>
    /// <param name="to">[rows, count/2 + 2], written.</param>
    /// <param name="toStride">From a row to the next.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Rows(float* from, nint stride, int rows, int count, int* to, nint toStride)
    {
        bool wide = Int16WideLayout.Takes(count);
        for (int row = 0; row < rows; row += Together)
        {
            // What is left with some of those before, once more.
            int first = Math.Min(row, rows - Together);
            if (wide)
                Int16WideLayout.FourRows<WideElement<Lanes512>>(new((WideElement<Lanes512>*)from + first * stride, (int)stride, count), default, to + first * toStride, toStride);
            else
                FourRows(from + first * stride, stride, count, to + first * toStride, toStride);
        }
    }

    /// <summary>The same of bfloat16, their neighbours paired; in registers of 512 bits, where there are such (<see cref="Int16WideLayout.IsQuicker"/>).</summary>
    /// <param name="first">The first numbers of the first row, a multiple of 32.</param>
    /// <param name="second">The others; as many, or none: together at most <see cref="Block"/>.</param>
    /// <param name="rows">At least 4.</param>
    /// <param name="to">[rows, count/2 + 2], written.</param>
    /// <param name="toStride">From a row to the next.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Rows(ChannelRun<NarrowElement> first, ChannelRun<NarrowElement> second, int rows, int* to, nint toStride)
    {
        for (int i = 0; i < rows; i += Together)
        {
            int row = Math.Min(i, rows - Together);
            Int16WideLayout.FourRows(first.From(row), second.From(row), to + row * toStride, toStride);
        }
    }

    /// <summary>A block of columns: a right factor's.</summary>
    /// <param name="from">The first row.</param>
    /// <param name="stride">From a row to the next.</param>
    /// <param name="count">Rows, an even number of at most <see cref="Block"/>.</param>
    /// <param name="columns">A multiple of 8.</param>
    /// <param name="to">The first row of pairs, written: [count/2 + 2] rows, the last two of powers and of sums. May be where the numbers lie, if the rows of both are equally far apart.</param>
    /// <param name="width">From a row of pairs to the next.</param>
    /// <param name="neighbours">Whether neighbours are paired, as rows of bfloat16 are; columns fill registers of 512 bits then.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Columns(float* from, nint stride, int count, int columns, int* to, nint width, bool neighbours = false)
    {
        int column = 0;
        if (Int16WideLayout.IsQuicker)
        {
            for (; column <= columns - Lanes512.Count; column += Lanes512.Count)
                Int16WideLayout.OneColumn(from + column, stride, count, neighbours, to + column, width);
        }
        // Whole lines of the cache where there are some.
        for (; column <= columns - 4 * N; column += 4 * N)
            FourColumns(from + column, stride, count, to + column, width);
        for (; column < columns; column += N)
            OneColumn(from + column, stride, count, to + column, width);
    }

    /// <summary>A register's width of columns.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void OneColumn(float* from, nint stride, int count, int* to, nint width)
    {
        Vector256<float> even = default, odd = default;
        float* row = from;
        for (int i = 0; i < count; i += 2, row += 2 * stride)
        {
            Vector256<float> a = Vector256.Load(row), b = Vector256.Load(row + stride);
            even = Vector256.FusedMultiplyAdd(a, a, even);
            odd = Vector256.FusedMultiplyAdd(b, b, odd);
        }
        Vector256<float> squares = even + odd;
        var (scale, power) = SumsFactors ? PowersFor(squares, LargestOfColumns(from, stride, count)) : PowersFor(squares);
        for (int place = 0; place < count / 2; place++)
        {
            var (first, second) = NumbersAt(place, count);
            Pair(from + first * stride, from + second * stride, scale).Store(to + place * width);
        }
        power.Store((float*)(to + count / 2 * width));
        if (SumsFactors)
            OwnSums(to, width, count / 2).Store(to + (count / 2 + 1) * width);
    }

    private static Vector256<float> LargestOfColumns(float* from, nint stride, int count)
    {
        Vector256<float> largest = default;
        for (int i = 0; i < count; i++, from += stride)
            largest = Avx.Max(Vector256.Abs(Vector256.Load(from)), largest);
        return largest;
    }

    private static Vector256<int> OwnSums(int* pairs, nint width, int count)
    {
        Vector256<int> own = default;
        for (int pair = 0; pair < count - 1; pair += 2, pairs += 2 * width)
            own -= Avx2.MultiplyAddAdjacent(Vector256.Load(pairs).AsInt16(), Vector256.Load(pairs + width).AsInt16());
        return own;
    }

    /// <summary>Four of them.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void FourColumns(float* from, nint stride, int count, int* to, nint width)
    {
        Vector256<float> sum0 = default, sum1 = default, sum2 = default, sum3 = default;
        float* row = from;
        for (int i = 0; i < count; i++, row += stride)
        {
            Vector256<float> a = Vector256.Load(row), b = Vector256.Load(row + N), c = Vector256.Load(row + 2 * N), d = Vector256.Load(row + 3 * N);
            sum0 = Vector256.FusedMultiplyAdd(a, a, sum0);
            sum1 = Vector256.FusedMultiplyAdd(b, b, sum1);
            sum2 = Vector256.FusedMultiplyAdd(c, c, sum2);
            sum3 = Vector256.FusedMultiplyAdd(d, d, sum3);
        }
        float* powers = (float*)(to + count / 2 * width);
        var (scale0, power0) = PowersFor(sum0);
        var (scale1, power1) = PowersFor(sum1);
        var (scale2, power2) = PowersFor(sum2);
        var (scale3, power3) = PowersFor(sum3);
        for (int place = 0; place < count / 2; place++, to += width)
        {
            var (first, second) = NumbersAt(place, count);
            float* a = from + first * stride, b = from + second * stride;
            Pair(a, b, scale0).Store(to);
            Pair(a + N, b + N, scale1).Store(to + N);
            Pair(a + 2 * N, b + 2 * N, scale2).Store(to + 2 * N);
            Pair(a + 3 * N, b + 3 * N, scale3).Store(to + 3 * N);
        }
        power0.Store(powers);
        power1.Store(powers + N);
        power2.Store(powers + 2 * N);
        power3.Store(powers + 3 * N);
    }

    /// <summary>
    /// Which numbers of a block are paired at a place: as <see cref="Round"/> leaves those of a row, neighbours in the order 0, 1, 4, 5, 2, 3, 6, 7 of each sixteen numbers' pairs, or as
    /// <see cref="Int16WideLayout"/> does. Whoever goes from place to place writes none where a number lies that is read later.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static (int First, int Second) NumbersAt(int place, int count)
    {
        if (Int16WideLayout.Takes(count))
            return Int16WideLayout.NumbersAt(place);
        int pair = place < (count & -2 * N) / 2 ? (place & ~6) | (place & 2) << 1 | (place & 4) >> 1 : place;
        return (2 * pair, 2 * pair + 1);
    }

    /// <summary>Two rows of eight numbers, number by number.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> Pair(float* first, float* second, Vector256<float> scale)
    {
        Vector256<short> both = Avx2.PackSignedSaturate(Scaled(first, scale), Scaled(second, scale));
        return Avx2.UnpackLow(both, Avx2.Shuffle(both.AsInt32(), 0b11_10_11_10).AsInt16()).AsInt32();
    }

    /// <summary>Four rows: what they wait for, they wait for together.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void FourRows(float* from, nint stride, int count, int* to, nint toStride)
    {
        float* from1 = from + stride, from2 = from1 + stride, from3 = from2 + stride;
        Vector256<float> sum0 = default, sum1 = default, sum2 = default, sum3 = default;
        for (int i = 0; i < count; i += N)
        {
            Vector256<float> a = Vector256.Load(from + i), b = Vector256.Load(from1 + i), c = Vector256.Load(from2 + i), d = Vector256.Load(from3 + i);
            sum0 = Vector256.FusedMultiplyAdd(a, a, sum0);
            sum1 = Vector256.FusedMultiplyAdd(b, b, sum1);
            sum2 = Vector256.FusedMultiplyAdd(c, c, sum2);
            sum3 = Vector256.FusedMultiplyAdd(d, d, sum3);
        }
        Vector256<float> squares = EachSum(sum0, sum1, sum2, sum3);
        var (scales, powers) = SumsFactors ? PowersForRows(squares, LargestOfRows(from, stride, count)) : PowersFor(squares);
        int* to1 = to + toStride, to2 = to1 + toStride, to3 = to2 + toStride;
        Round(from, count, Avx.Permute(scales, 0b00_00_00_00), powers.GetElement(0), to);
        Round(from1, count, Avx.Permute(scales, 0b01_01_01_01), powers.GetElement(1), to1);
        Round(from2, count, Avx.Permute(scales, 0b10_10_10_10), powers.GetElement(2), to2);
        Round(from3, count, Avx.Permute(scales, 0b11_11_11_11), powers.GetElement(3), to3);
        for (int row = 0; row < Together && SumsFactors; row++, to += toStride)
            to[count / 2 + 1] = OwnSum(to, count / 2);
    }

    private static Vector256<float> LargestOfRows(float* from, nint stride, int count)
    {
        Vector128<float> each = default;
        for (int row = 0; row < Together; row++, from += stride)
        {
            Vector256<float> largest = default;
            for (int i = 0; i < count; i += N)
                largest = Avx.Max(Vector256.Abs(Vector256.Load(from + i)), largest);
            float most = 0;
            for (int lane = 0; lane < N; lane++)
                most = MathF.Max(most, largest[lane]);
            each = each.WithElement(row, most);
        }
        return Vector256.Create(each, each);
    }

    private static int OwnSum(int* pairs, int count)
    {
        int own = 0;
        short* numbers = (short*)pairs;
        for (int i = 0; i < 2 * count; i += 4)
            own -= numbers[i] * numbers[i + 2] + numbers[i + 1] * numbers[i + 3];
        return own;
    }

    /// <summary>The sums over the lanes of four registers, in the first four lanes and in the last four.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> EachSum(Vector256<float> sum0, Vector256<float> sum1, Vector256<float> sum2, Vector256<float> sum3)
    {
        Vector256<float> sums = Avx.HorizontalAdd(Avx.HorizontalAdd(sum0, sum1), Avx.HorizontalAdd(sum2, sum3));
        return sums + Avx.Permute2x128(sums, sums, 1);
    }

    /// <summary>One row. The instruction that narrows two registers leaves the pairs of sixteen numbers in the order 0, 1, 4, 5, 2, 3, 6, 7.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Round(float* from, int count, Vector256<float> scale, float power, int* to)
    {
        *(float*)(to + count / 2) = power;
        int i = 0;
        for (; i <= count - 4 * N; i += 4 * N, to += 2 * N)
        {
            Vector256<int> a = Scaled(from + i, scale), b = Scaled(from + i + N, scale), c = Scaled(from + i + 2 * N, scale), d = Scaled(from + i + 3 * N, scale);
            Avx2.PackSignedSaturate(a, b).AsInt32().Store(to);
            Avx2.PackSignedSaturate(c, d).AsInt32().Store(to + N);
        }
        for (; i <= count - 2 * N; i += 2 * N, to += N)
            Avx2.PackSignedSaturate(Scaled(from + i, scale), Scaled(from + i + N, scale)).AsInt32().Store(to);
        if (i < count)
        {
            Vector256<int> last = Scaled(from + i, scale);
            Sse2.PackSignedSaturate(last.GetLower(), last.GetUpper()).AsInt32().Store(to);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> Scaled(float* from, Vector256<float> scale) => Avx.ConvertToVector256Int32(Vector256.Load(from) * scale);

    /// <summary>The same for columns, with no number from 2¹⁴ on, nor one that is rounded to that.</summary>
    /// <param name="squares">The sums of squares.</param>
    /// <param name="largest">The largest numbers, without their signs.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static (Vector256<float> Scale, Vector256<float> Power) PowersFor(Vector256<float> squares, Vector256<float> largest) => PowersForEither(squares, largest, squares);

    /// <summary>The same for rows, which may be twice as long.</summary>
    /// <inheritdoc cref="PowersFor(Vector256{float}, Vector256{float})"/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static (Vector256<float> Scale, Vector256<float> Power) PowersForRows(Vector256<float> squares, Vector256<float> largest) =>
        PowersForEither(squares, largest, squares * Vector256.Create(0.2502f));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static (Vector256<float> Scale, Vector256<float> Power) PowersForEither(Vector256<float> squares, Vector256<float> largest, Vector256<float> length)
    {
        // As if the vector were at least twice as long as its largest number, and a little more. Where there is no largest number, the instruction takes the other.
        var (scale, power) = PowersFor(Avx.Max(largest * largest * Vector256.Create(4.0005f), length));
        return (scale, power + (squares - squares));
    }

    /// <summary>The powers of two that bring numbers below 2¹⁵, and back, from the sums of their squares.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static (Vector256<float> Scale, Vector256<float> Power) PowersFor(Vector256<float> squares)
    {
        // Below 2ᵉ, e counted from −126; the root below 2 to the half of it, rounded up.
        Vector256<int> half = Vector256.ShiftRightArithmetic(Vector256.ShiftRightArithmetic(squares.AsInt32(), 23) - Vector256.Create(125), 1);
        Vector256<float> scale = ((Vector256.Create(127 + 15) - half) << 23).AsSingle(), power = ((Vector256.Create(127 - 15) + half) << 23).AsSingle();
        return (scale, power + (squares - squares));
    }
}
