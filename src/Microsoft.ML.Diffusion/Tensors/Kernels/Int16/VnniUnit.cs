using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// AVX512_VNNI: an instruction on registers of 512 bits that multiplies pairs of 16-bit integers and adds them to sums of 32 bits, at twice the rate of float32
/// (Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, VPDPWSSD). Intel's servers have it since 2019, its laptops from 2019 to 2021, AMD's processors since Zen 4.
/// .NET 10 has no intrinsics for it, so that <see cref="VnniCode"/> writes the loops. Linux on x64.
/// </summary>
internal sealed unsafe class VnniUnit
{
    // CPUID leaf 7, subleaf 0, ECX.
    private const int Bit = 1 << 11;

    // A microsecond each: so long the garbage collector may wait.
    private readonly delegate* unmanaged[SuppressGCTransition]<Int16Block*, void> _six2;
    private readonly delegate* unmanaged[SuppressGCTransition]<Int16Block*, void> _six1;
    private readonly delegate* unmanaged[SuppressGCTransition]<Int16Block*, void> _four2;
    private readonly delegate* unmanaged[SuppressGCTransition]<Int16Block*, void> _four1;

    private VnniUnit(byte* code, (int Six2, int Six1, int Four2, int Four1) entries, bool addsFactors)
    {
        AddsFactors = addsFactors;
        _six2 = (delegate* unmanaged[SuppressGCTransition]<Int16Block*, void>)(code + entries.Six2);
        _six1 = (delegate* unmanaged[SuppressGCTransition]<Int16Block*, void>)(code + entries.Six1);
        _four2 = (delegate* unmanaged[SuppressGCTransition]<Int16Block*, void>)(code + entries.Four2);
        _four1 = (delegate* unmanaged[SuppressGCTransition]<Int16Block*, void>)(code + entries.Four1);
    }

    /// <summary>The processor's unit; null where it has none, or the system does not let this process write code.</summary>
    public static VnniUnit? OfThisProcessor { get; } = TryCreate(IsOfAmd());

    /// <summary>Whether it adds factors to multiply less (<see cref="VnniCode"/>): half as quick again as a product of bfloat16.</summary>
    public bool AddsFactors { get; }

    /// <summary>What the blocks of some columns have in common: all but what <see cref="Multiply"/> is told.</summary>
    /// <param name="factors">How both lie.</param>
    /// <param name="b">The first row of pairs.</param>
    /// <param name="strideC">From a row of sums to the next.</param>
    /// <param name="adds">Whether they are added to what is there.</param>
    public static Int16Block BlockOf(in PairStrides factors, int* b, int strideC, bool adds) => new()
    {
        AStride = factors.Row * sizeof(int),
        AStep = factors.Step * sizeof(int),
        B = b,
        BStride = factors.Right * sizeof(int),
        Twos = factors.Pairs / 2,
        Odd = factors.Pairs % 2,
        BOwn = b + (factors.Pairs + 1) * factors.Right,
        CStride = strideC * sizeof(float),
        Adds = adds ? 1 : 0,
    };

    /// <summary>C = A·B or C += A·B of one block.</summary>
    /// <param name="block">From <see cref="BlockOf"/>; written to.</param>
    /// <param name="six">Whether of six rows; otherwise of four.</param>
    /// <param name="two">Whether of two registers of columns; otherwise of one.</param>
    /// <param name="a">The first row's first pair.</param>
    /// <param name="own">From there to the row's own sum.</param>
    /// <param name="c">The first sum.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Multiply(Int16Block* block, bool six, bool two, int* a, nint own, float* c)
    {
        block->A = a;
        block->AOwn = a + own;
        block->C = c;
        if (six && two)
            _six2(block);
        else if (six)
            _six1(block);
        else if (two)
            _four2(block);
        else
            _four1(block);
    }

    /// <summary>The same, as one that adds factors to multiply less, or as one that does not; the sums are the same.</summary>
    /// <param name="addsFactors">Whether it does: <see cref="VnniCode"/>.</param>
    public static VnniUnit? TryCreate(bool addsFactors)
    {
        if (!MachineCode.Runs || (X86Base.CpuId(7, 0).Ecx & Bit) == 0)
            return null;
        var (routines, entries) = VnniCode.Write(addsFactors);
        byte* code = ExecutableMemory.Holding(routines.Bytes);
        return code is null ? null : new(code, entries, addsFactors);
    }

    /// <summary>Whether the processor has units that add beside those that multiply. Intel's multiply in all that they have for registers of 512 bits.</summary>
    private static bool IsOfAmd() => X86Base.IsSupported && X86Base.CpuId(0, 0) is (_, 0x6874_7541, 0x444D_4163, 0x6974_6E65);   // "AuthenticAMD"
}

/// <summary>One block of a product of integers. Strides count bytes. Machine code reads it as it lies here.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct Int16Block
{
    /// <summary>The first row's first pair.</summary>
    public int* A;

    /// <summary>From a row of A to the next.</summary>
    public nint AStride;

    /// <summary>From a pair of a row to the next, behind the last of which comes its power.</summary>
    public nint AStep;

    /// <summary>The first row of pairs; behind the last come the powers.</summary>
    public int* B;

    /// <summary>From a row of pairs to the next.</summary>
    public nint BStride;

    /// <summary>How many twos of them.</summary>
    public nint Twos;

    /// <summary>Not 0: and one more.</summary>
    public nint Odd;

    /// <summary>The first row's own sum.</summary>
    public int* AOwn;

    /// <summary>The columns' own sums.</summary>
    public int* BOwn;

    /// <summary>The sums, float32.</summary>
    public float* C;

    /// <summary>From a row of C to the next.</summary>
    public nint CStride;

    /// <summary>Not 0: added to what C holds.</summary>
    public nint Adds;
}
