using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// Rounds float32 to bfloat16 (to the nearest, ties to even; numbers too large become infinite) and lays it out as <see cref="MatrixUnit"/> reads it.
/// </summary>
internal static unsafe class BFloat16Layout
{
    /// <summary>32-bit numbers of a register.</summary>
    private const int Lanes = 16;

    /// <summary>The second of each two numbers of 16 bits; written out, for it to be a constant of the code.</summary>
    private static Vector512<ushort> Odd
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => Vector512.Create((ushort)1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31, 33, 35, 37, 39, 41, 43, 45, 47, 49, 51, 53, 55, 57, 59, 61, 63);
    }

    /// <summary>A row as it is.</summary>
    /// <param name="from">[count].</param>
    /// <param name="count">A multiple of 32.</param>
    /// <param name="to">[count], written.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Row(float* from, nint count, ushort* to)
    {
        for (nint i = 0; i < count; i += 2 * Lanes)
            Store(Lanes512.Load(from + i), Lanes512.Load(from + i + Lanes), to + i);
    }

    /// <summary>Numbers as they are; a multiple of 16.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Widen(ushort* from, nint count, float* to)
    {
        for (nint i = 0; i < count; i += Lanes)
            Lanes512.Store(NarrowElement.Load((NarrowElement*)(from + i)), to + i);
    }

    /// <summary>Numbers as they are; a multiple of 16.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Round(float* from, nint count, ushort* to)
    {
        for (nint i = 0; i < count; i += Lanes)
            NarrowElement.Store(Lanes512.Load(from + i), (NarrowElement*)(to + i));
    }

    /// <summary>32 numbers.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(Lanes512 first, Lanes512 second, ushort* to) => StoreUpper(Rounded(first.Value), Rounded(second.Value), to);

    /// <summary>32 numbers, ties away from zero: less work, where the numbers are not seen.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreNear(Vector512<float> first, Vector512<float> second, ushort* to) => StoreUpper(RoundedNear(first), RoundedNear(second), to);

    /// <summary>The same, number by number in pairs.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StorePairsNear(Vector512<float> first, Vector512<float> second, ushort* to) =>
        (RoundedNear(first) >>> 16 | RoundedNear(second) & Vector512.Create(0xFFFF0000u)).Store((uint*)to);

    /// <summary>32 numbers in pairs: those of the first are the lower halves.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<uint> Pair(Vector512<float> first, Vector512<float> second) => Rounded(first) >>> 16 | Rounded(second) & Vector512.Create(0xFFFF0000u);

    /// <summary>16 numbers.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<ushort> Narrow(Vector512<float> value)
    {
        Vector512<uint> bits = Rounded(value) >>> 16;
        return Avx512F.IsSupported ? Avx512F.ConvertToVector256UInt16(bits) : Vector256.Narrow(bits.GetLower(), bits.GetUpper());
    }

    /// <summary>16 numbers.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Widen(Vector256<ushort> numbers)
    {
        Vector512<uint> bits = Avx512F.IsSupported
            ? Avx512F.ConvertToVector512UInt32(numbers)
            : Vector512.Create(Vector256.WidenLower(numbers), Vector256.WidenUpper(numbers));
        return (bits << 16).AsSingle();
    }

    /// <summary>Two rows, number by number in pairs, 32 columns together.</summary>
    /// <param name="first">[count]: the first of each pair.</param>
    /// <param name="second">[count].</param>
    /// <param name="count">A multiple of 32.</param>
    /// <param name="to">[32, 2] for each 32 columns, written.</param>
    /// <param name="block">From there to where the next 32 columns go.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void PairBlocks(ushort* first, ushort* second, int count, ushort* to, nint block)
    {
        for (int i = 0; i < count; i += 2 * Lanes, to += block)
        {
            var (a, b) = (Vector512.Load(first + i), Vector512.Load(second + i));
            (Vector512.WidenLower(a) | Vector512.WidenLower(b) << 16).Store((uint*)to);
            (Vector512.WidenUpper(a) | Vector512.WidenUpper(b) << 16).Store((uint*)(to + 2 * Lanes));
        }
    }

    /// <summary>Rows of pairs by their transpose, as a left factor: for each 16 columns a step after the other, in each the columns with 32 rows' numbers side by side.</summary>
    /// <param name="pairs">[rows / 2, columns, 2].</param>
    /// <param name="rows">A multiple of 32.</param>
    /// <param name="columns">A multiple of 16.</param>
    /// <param name="to">[columns / 16, rows / 32, 16, 32], written.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Columns(ushort* pairs, int rows, int columns, ushort* to)
    {
        for (int column = 0; column < columns; column += Lanes)
        {
            for (int row = 0; row < rows; row += 2 * Lanes, to += MatrixUnit.StepNumbers / 2)
                Lanes512.Transpose((float*)(pairs + (nint)row * columns + 2 * column), columns, (float*)to, Lanes);
        }
    }

    /// <summary>32 outputs of a weight as columns of a right factor: a step after the other, in each two halves of 16 rows of pairs.</summary>
    /// <param name="weight">[outputs, taps, inputs]; turned: [inputs, taps, outputs], the taps in reverse.</param>
    /// <param name="size">The sizes.</param>
    /// <param name="turned">Whether it lies the other way.</param>
    /// <param name="output">The first of them; a multiple of 32.</param>
    /// <param name="to">[32 · taps · inputs], written.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Weight(float* weight, WeightSize size, bool turned, int output, ushort* to)
    {
        for (int tap = 0; tap < size.Taps; tap++, to += (nint)size.Inputs * MatrixUnit.Side)
        {
            // The next tap's numbers lie beside these; on pages of its own each, so that a processor does not see them coming.
            bool last = tap + 1 == size.Taps;
            if (turned)
                TurnedBlock(weight + (nint)(size.Taps - 1 - tap) * size.Outputs + output, (nint)size.Taps * size.Outputs, size.Inputs, to, last ? 0 : -size.Outputs);
            else
                Block(weight + ((nint)output * size.Taps + tap) * size.Inputs, (nint)size.Taps * size.Inputs, size.Inputs, to, last ? 0 : size.Inputs);
        }
    }

    /// <summary>32 columns of a right factor that lie a column in a row of memory.</summary>
    /// <param name="from">[32, inputs].</param>
    /// <param name="stride">From a column to the next.</param>
    /// <param name="inputs">Rows of the factor, a multiple of 32.</param>
    /// <param name="to">[inputs / 32, 2, 16, 16, 2], written.</param>
    /// <param name="next">From each number to one that is called from memory meanwhile.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Block(float* from, nint stride, int inputs, ushort* to, nint next)
    {
        uint* square = stackalloc uint[Lanes * Lanes];
        for (int input = 0; input < inputs; input += MatrixUnit.Depth)
        {
            for (int half = 0; half < MatrixUnit.Side; half += Lanes, to += MatrixUnit.StepNumbers / 2)
            {
                for (int column = 0; column < Lanes; column++)
                {
                    float* numbers = from + (half + column) * stride + input;
                    Diffusion.Lanes.Prefetch(numbers + next);
                    Diffusion.Lanes.Prefetch(numbers + next + Lanes);
                    Row(numbers, MatrixUnit.Depth, (ushort*)(square + column * Lanes));
                }
                Lanes512.Transpose((float*)square, Lanes, (float*)to, Lanes);
            }
        }
    }

    /// <summary>32 columns of a right factor that lie side by side in memory.</summary>
    /// <param name="from">[inputs, 32].</param>
    /// <param name="stride">From a row to the next.</param>
    /// <param name="inputs">Rows of the factor, a multiple of 32.</param>
    /// <param name="to">[inputs / 32, 2, 16, 16, 2], written.</param>
    /// <param name="next">From each number to one that is called from memory meanwhile.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void TurnedBlock(float* from, nint stride, int inputs, ushort* to, nint next)
    {
        for (int input = 0; input < inputs; input += MatrixUnit.Depth)
        {
            for (int half = 0; half < MatrixUnit.Side; half += Lanes, to += MatrixUnit.StepNumbers / 2)
            {
                float* row = from + input * stride + half;
                for (int pair = 0; pair < Lanes; pair++, row += 2 * stride)
                {
                    Diffusion.Lanes.Prefetch(row + next);
                    Diffusion.Lanes.Prefetch(row + stride + next);
                    Pair(Vector512.Load(row), Vector512.Load(row + stride)).Store((uint*)(to + pair * 2 * Lanes));
                }
            }
        }
    }

    /// <summary>The same of bfloat16.</summary>
    /// <param name="from">[32, inputs].</param>
    /// <param name="stride">From a column to the next.</param>
    /// <param name="inputs">Rows of the factor, a multiple of 32.</param>
    /// <param name="to">[inputs / 32, 2, 16, 16, 2], written.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Block(ushort* from, nint stride, int inputs, ushort* to)
    {
        for (int input = 0; input < inputs; input += MatrixUnit.Depth)
        {
            for (int half = 0; half < MatrixUnit.Side; half += Lanes, to += MatrixUnit.StepNumbers / 2)
                Lanes512.Transpose((float*)(from + half * stride + input), stride / 2, (float*)to, Lanes);
        }
    }

    /// <summary>The same of bfloat16.</summary>
    /// <param name="from">[inputs, 32].</param>
    /// <param name="stride">From a row to the next.</param>
    /// <param name="inputs">Rows of the factor, a multiple of 32.</param>
    /// <param name="to">[inputs / 32, 2, 16, 16, 2], written.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void TurnedBlock(ushort* from, nint stride, int inputs, ushort* to)
    {
        for (int input = 0; input < inputs; input += MatrixUnit.Depth, to += MatrixUnit.StepNumbers)
        {
            ushort* row = from + input * stride;
            for (int pair = 0; pair < Lanes; pair++, row += 2 * stride)
            {
                var (a, b) = (Vector512.Load(row), Vector512.Load(row + stride));
                (Vector512.WidenLower(a) | Vector512.WidenLower(b) << 16).Store((uint*)(to + pair * 2 * Lanes));
                (Vector512.WidenUpper(a) | Vector512.WidenUpper(b) << 16).Store((uint*)(to + MatrixUnit.StepNumbers / 2 + pair * 2 * Lanes));
            }
        }
    }

    /// <summary>Writes the upper halves.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void StoreUpper(Vector512<uint> first, Vector512<uint> second, ushort* to)
    {
        if (Avx512BW.IsSupported)
            Avx512BW.PermuteVar32x16x2(first.AsUInt16(), Odd, second.AsUInt16()).Store(to);
        else
            Vector512.Narrow(first >>> 16, second >>> 16).Store(to);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<uint> RoundedNear(Vector512<float> value) => value.AsUInt32() + Vector512.Create(0x8000u);

    /// <summary>The upper half of each is the bfloat16.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<uint> Rounded(Vector512<float> value)
    {
        Vector512<uint> bits = value.AsUInt32();
        return bits + Vector512.Create(0x7FFFu) + (bits >>> 16 & Vector512<uint>.One);
    }
}

/// <summary>The sizes of a weight.</summary>
/// <param name="Outputs">Columns of the product.</param>
/// <param name="Taps">Pixels that an output sees.</param>
/// <param name="Inputs">Channels of each of them.</param>
internal readonly record struct WeightSize(int Outputs, int Taps, int Inputs)
{
    /// <summary>Steps that the unit takes for a block.</summary>
    public int Steps => Taps * (Inputs / MatrixUnit.Depth);
}
