namespace Microsoft.ML.Diffusion.Benchmarks;

/// <summary>What the kernel says of this process.</summary>
internal static class ProcessMemory
{
    /// <summary>The largest resident set so far in bytes; 0 where there is no /proc.</summary>
    public static long Peak()
    {
        const string status = "/proc/self/status";
        string? line = File.Exists(status) ? File.ReadLines(status).FirstOrDefault(l => l.StartsWith("VmHWM:", StringComparison.Ordinal)) : null;
        return line is null ? 0 : long.Parse(line.Split([' ', '\t'], StringSplitOptions.RemoveEmptyEntries)[1]) * 1024;
    }
}
