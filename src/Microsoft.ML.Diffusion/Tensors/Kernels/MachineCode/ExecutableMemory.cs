using System.Runtime.InteropServices;

namespace Microsoft.ML.Diffusion;

/// <summary>Memory that the processor may run, on Linux. Never writable and executable at once.</summary>
internal static unsafe partial class ExecutableMemory
{
    // sys/mman.h.
    private const int Read = 1;
    private const int Write = 2;
    private const int Execute = 4;
    private const int PrivateAnonymous = 0x22;

    /// <summary>Memory that holds code; lives as long as the process.</summary>
    /// <returns>Where it begins; null where the system does not allow it, or its C library lacks what this takes.</returns>
    public static byte* Holding(ReadOnlySpan<byte> code)
    {
        try
        {
            return Map(code);
        }
        catch (Exception e) when (e is EntryPointNotFoundException or DllNotFoundException)
        {
            return null;
        }
    }

    private static byte* Map(ReadOnlySpan<byte> code)
    {
        nint page = Environment.SystemPageSize, length = (code.Length + page - 1) / page * page;
        nint memory = mmap(0, length, Read | Write, PrivateAnonymous, -1, 0);
        if (memory == -1)
            return null;
        code.CopyTo(new Span<byte>((void*)memory, (int)length));
        if (mprotect(memory, length, Read | Execute) == 0)
            return (byte*)memory;
        _ = munmap(memory, length);
        return null;
    }

    [LibraryImport("libc")]
    private static partial nint mmap(nint address, nint length, int protection, int flags, int file, nint offset);

    [LibraryImport("libc")]
    private static partial int mprotect(nint address, nint length, int protection);

    [LibraryImport("libc")]
    private static partial int munmap(nint address, nint length);
}
