using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// Numbers as 16-bit integers with a power of two that some of them share: dynamic fixed point (Das et al. 2018, "Mixed Precision Training of Convolutional Neural Networks using Integer
/// Operations"). The numbers of a row of a left factor, or of a column of a right one, lie in blocks of at most <see cref="Block"/>, in pairs of 32 bits, behind each block its power as float32.
/// A block as a vector is made as long as it can be below 2¹⁵: whatever it is multiplied with, a sum stays within 2³⁰ (Cauchy-Schwarz), and no number is longer than the vector.
/// Where the sum of squares is no finite number, nor is the power.
/// </summary>
internal static unsafe class Int16Layout
{
    /// <summary>Numbers that share a power, at the most.</summary>
    public const int Block = PixelSource.MostChannels;

    private const int N = 8;

    /// <summary>Words of 32 bits of a row or column.</summary>
    /// <param name="numbers">Its numbers, even.</param>
    public static nint Words(int numbers) => numbers / 2 + (numbers + Block - 1) / Block;

    /// <summary>Words before a block.</summary>
    /// <param name="first">Its first number.</param>
    public static nint Start(int first) => first / 2 + first / Block;

    /// <summary>A block of a row: a left factor's.</summary>
    /// <param name="from">[count].</param>
    /// <param name="count">A multiple of 8, at most <see cref="Block"/>.</param>
    /// <param name="to">[count/2 + 1], written.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Row(float* from, int count, int* to)
    {
        Vector256<float> even = default, odd = default;
        int i = 0;
        for (; i <= count - 2 * N; i += 2 * N)
        {
            Vector256<float> a = Vector256.Load(from + i), b = Vector256.Load(from + i + N);
            even = Vector256.FusedMultiplyAdd(a, a, even);
            odd = Vector256.FusedMultiplyAdd(b, b, odd);
        }
        if (i < count)
            even = Vector256.FusedMultiplyAdd(Vector256.Load(from + i), Vector256.Load(from + i), even);
        // The sum in all lanes.
        Vector256<float> sum = even + odd;
        sum += Avx.Permute2x128(sum, sum, 1);
        sum += Avx.Permute(sum, 0b01_00_11_10);
        sum += Avx.Permute(sum, 0b10_11_00_01);
        var (scale, power) = PowersFor(sum);
        *(float*)(to + count / 2) = power.ToScalar();
        for (i = 0; i <= count - 2 * N; i += 2 * N, to += N)
        {
            Vector256<int> a = Avx.ConvertToVector256Int32(Vector256.Load(from + i) * scale), b = Avx.ConvertToVector256Int32(Vector256.Load(from + i + N) * scale);
            Avx2.Permute4x64(Avx2.PackSignedSaturate(a, b).AsInt64(), 0b11_01_10_00).AsInt32().Store(to);
        }
        if (i < count)
        {
            Vector256<int> a = Avx.ConvertToVector256Int32(Vector256.Load(from + i) * scale);
            Sse2.PackSignedSaturate(a.GetLower(), a.GetUpper()).AsInt32().Store(to);
        }
    }

    /// <summary>A block of eight columns: a right factor's.</summary>
    /// <param name="from">The first row.</param>
    /// <param name="stride">From a row to the next.</param>
    /// <param name="count">Rows, an even number of at most <see cref="Block"/>.</param>
    /// <param name="to">The first row of pairs, written: [count/2 + 1] rows, the last of powers. May be where the numbers lie, if the rows of both are equally far apart.</param>
    /// <param name="width">From a row of pairs to the next.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Columns(float* from, nint stride, int count, int* to, nint width)
    {
        Vector256<float> even = default, odd = default;
        float* row = from;
        for (int i = 0; i < count; i += 2, row += 2 * stride)
        {
            Vector256<float> a = Vector256.Load(row), b = Vector256.Load(row + stride);
            even = Vector256.FusedMultiplyAdd(a, a, even);
            odd = Vector256.FusedMultiplyAdd(b, b, odd);
        }
        var (scale, power) = PowersFor(even + odd);
        for (int i = 0; i < count; i += 2, from += 2 * stride, to += width)
        {
            Vector256<int> a = Avx.ConvertToVector256Int32(Vector256.Load(from) * scale), b = Avx.ConvertToVector256Int32(Vector256.Load(from + stride) * scale);
            Vector256<short> both = Avx2.PackSignedSaturate(a, b);
            Avx2.UnpackLow(both, Avx2.Shuffle(both.AsInt32(), 0b11_10_11_10).AsInt16()).AsInt32().Store(to);
        }
        power.Store((float*)to);
    }

    /// <summary>The powers of two that bring numbers below 2¹⁵, and back, from the sums of their squares.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static (Vector256<float> Scale, Vector256<float> Power) PowersFor(Vector256<float> squares)
    {
        // Below 2ᵉ, e counted from −126; the root below 2 to the half of it, rounded up.
        Vector256<int> half = Vector256.ShiftRightArithmetic(Vector256.ShiftRightArithmetic(squares.AsInt32(), 23) - Vector256.Create(125), 1);
        Vector256<float> scale = ((Vector256.Create(127 + 15) - half) << 23).AsSingle(), power = ((Vector256.Create(127 - 15) + half) << 23).AsSingle();
        return (scale, power + (squares - squares));
    }
}
