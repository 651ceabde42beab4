using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// AVX512_BF16: an instruction on vector registers that multiplies pairs of bfloat16 and adds them to sums of float32, at twice the rate of float32 on AMD's processors
/// (Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, VDPBF16PS). .NET 10 has no intrinsics for it, so that <see cref="DotCode"/> writes the loops. Linux on x64.
/// </summary>
internal sealed unsafe class DotUnit : PairUnit
{
    // CPUID leaf 7, subleaf 1, EAX.
    private const int BFloat16Bit = 1 << 5;

    // A microsecond each: so long the garbage collector may wait.
    private readonly delegate* unmanaged[SuppressGCTransition]<BlockProduct*, ushort*, float*, void> _multiply;
    private readonly delegate* unmanaged[SuppressGCTransition]<BlockProduct*, ushort*, float*, void> _multiplyPairs;

    private DotUnit(byte* code, (int Rows, int Pairs) entries)
    {
        _multiply = (delegate* unmanaged[SuppressGCTransition]<BlockProduct*, ushort*, float*, void>)(code + entries.Rows);
        _multiplyPairs = (delegate* unmanaged[SuppressGCTransition]<BlockProduct*, ushort*, float*, void>)(code + entries.Pairs);
    }

    /// <summary>The processor's unit; null where it has none, or the system does not let this process write code.</summary>
    public static DotUnit? TryCreate()
    {
        if (!MachineCode.Runs || !IsThere())
            return null;
        var (routines, entries) = DotCode.Write();
        byte* code = ExecutableMemory.Holding(routines.Bytes);
        return code is null ? null : new(code, entries);
    }

    /// <inheritdoc/>
    public override bool ConvolvesInIntegers { get; } = VnniUnit.OfThisProcessor is not null;

    /// <inheritdoc/>
    public override bool MultipliesInIntegers { get; } = VnniUnit.OfThisProcessor is { AddsFactors: true };

    /// <inheritdoc/>
    public override void Begin()
    {
    }

    /// <inheritdoc/>
    public override void Multiply(BlockProduct* product)
    {
        for (int row = 0; row < Side; row += RowMultiple)
        {
            byte* a = (byte*)product->A + row / 16 * product->ASecond + row % 16 * product->AStride;
            _multiply(product, (ushort*)a, (float*)((byte*)product->C + row * product->CStride));
        }
    }

    /// <inheritdoc/>
    public override void MultiplyRows(BlockProduct* product, int rows)
    {
        byte* a = (byte*)product->A, c = (byte*)product->C;
        for (int row = 0; row < rows; row += RowMultiple, a += RowMultiple * product->AStride, c += RowMultiple * product->CStride)
            _multiply(product, (ushort*)a, (float*)c);
    }

    /// <inheritdoc/>
    public override void MultiplyPairs(BlockProduct* product, int rows)
    {
        byte* c = (byte*)product->C;
        for (int row = 0; row < rows; row += RowMultiple, c += RowMultiple * product->CStride)
            _multiplyPairs(product, product->A + 2 * row, (float*)c);
    }

    /// <inheritdoc/>
    public override void End()
    {
    }

    private static bool IsThere() => X86Base.CpuId(7, 0).Eax >= 1 && (X86Base.CpuId(7, 1).Eax & BFloat16Bit) != 0;
}
