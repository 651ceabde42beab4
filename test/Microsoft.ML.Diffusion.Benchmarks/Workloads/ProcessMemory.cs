using System.Runtime.InteropServices;

namespace Microsoft.ML.Diffusion.Benchmarks;

/// <summary>What the kernel says of this process, and the driver of the GPU that it used.</summary>
internal static partial class ProcessMemory
{
    /// <summary>Memory of the calling thread's GPU that is taken, in bytes, by this process or another; 0 where the driver does not say.</summary>
    public static long OfGpu()
    {
        try
        {
            return cuMemGetInfo_v2(out nuint free, out nuint total) == 0 ? (long)(total - free) : 0;
        }
        catch (DllNotFoundException)
        {
            return 0;
        }
    }

    [LibraryImport("libcuda.so.1")]
    private static partial int cuMemGetInfo_v2(out nuint free, out nuint total);

    /// <summary>The largest resident set so far in bytes; 0 where there is no /proc.</summary>
    public static long Peak()
    {
        const string status = "/proc/self/status";
        string? line = File.Exists(status) ? File.ReadLines(status).FirstOrDefault(l => l.StartsWith("VmHWM:", StringComparison.Ordinal)) : null;
        return line is null ? 0 : long.Parse(line.Split([' ', '\t'], StringSplitOptions.RemoveEmptyEntries)[1]) * 1024;
    }
}
