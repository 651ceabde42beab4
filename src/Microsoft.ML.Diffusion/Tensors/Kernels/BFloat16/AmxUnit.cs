using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// Intel's Advanced Matrix Extensions: eight tiles of 16 rows of 64 bytes, and an instruction that multiplies two tiles of bfloat16 and adds to one of float32
/// (Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, chapter 18). .NET 10 has no intrinsics for it, so that <see cref="AmxCode"/> writes the few instructions.
/// Linux on x64.
/// </summary>
internal sealed unsafe partial class AmxUnit : MatrixUnit
{
    // CPUID leaf 7, EDX.
    private const int BFloat16Bit = 1 << 22;
    private const int TileBit = 1 << 24;

    // asm/prctl.h and the number of the system call on x64: the kernel saves tiles for a process that has asked.
    private const nint ArchPrctl = 158;
    private const nint RequestPermission = 0x1023;
    private const nint TileData = 18;

    private const int TileRows = 16;
    private const int TileRowBytes = 64;

    // A few microseconds each: so long the garbage collector may wait.
    private readonly delegate* unmanaged[SuppressGCTransition]<byte*, void> _configure;
    private readonly delegate* unmanaged[SuppressGCTransition]<BlockProduct*, void> _multiply;
    private readonly delegate* unmanaged[SuppressGCTransition]<void> _release;
    private readonly byte* _configuration;

    private AmxUnit(byte* code, AmxCode entries, byte* configuration)
    {
        _configure = (delegate* unmanaged[SuppressGCTransition]<byte*, void>)(code + entries.Configure);
        _multiply = (delegate* unmanaged[SuppressGCTransition]<BlockProduct*, void>)(code + entries.Multiply);
        _release = (delegate* unmanaged[SuppressGCTransition]<void>)(code + entries.Release);
        _configuration = configuration;
    }

    /// <summary>The processor's unit; null where it has none, or the system does not let this process use it.</summary>
    public static AmxUnit? TryCreate()
    {
        if (!MachineCode.Runs || !IsThere())
            return null;
        try
        {
            if (syscall(ArchPrctl, RequestPermission, TileData) != 0)
                return null;
            var code = AmxCode.Write();
            byte* memory = ExecutableMemory.Holding(code.Bytes);
            return memory is null ? null : new(memory, code, Configuration());
        }
        catch (Exception e) when (e is EntryPointNotFoundException or DllNotFoundException)
        {
            return null;
        }
    }

    /// <inheritdoc/>
    public override void Begin() => _configure(_configuration);

    /// <inheritdoc/>
    public override void Multiply(BlockProduct* product) => _multiply(product);

    /// <inheritdoc/>
    public override void End() => _release();

    private static bool IsThere()
    {
        const int Both = BFloat16Bit | TileBit;
        return (X86Base.CpuId(7, 0).Edx & Both) == Both;
    }

    /// <summary>All eight tiles at their full size; lives as long as the process.</summary>
    private static byte* Configuration()
    {
        byte* configuration = (byte*)NativeMemory.AlignedAlloc(64, 64);
        new Span<byte>(configuration, 64).Clear();
        configuration[0] = 1;
        for (int tile = 0; tile < 8; tile++)
        {
            ((ushort*)(configuration + 16))[tile] = TileRowBytes;
            configuration[48 + tile] = TileRows;
        }
        return configuration;
    }

    [LibraryImport("libc")]
    private static partial nint syscall(nint number, nint first, nint second);
}
