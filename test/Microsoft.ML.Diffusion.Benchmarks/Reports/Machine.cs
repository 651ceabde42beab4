using System.ComponentModel;
using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;

namespace Microsoft.ML.Diffusion.Benchmarks;

/// <summary>The machine in words: a number without it says nothing.</summary>
internal static class Machine
{
    // What decides how fast a network runs, not all of the hundred that a processor lists.
    private static readonly string[] Telling = ["avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_bf16", "amx_int8", "asimd", "sve", "bf16"];

    /// <summary>One paragraph.</summary>
    /// <param name="device">cpu or cuda.</param>
    /// <param name="peer">The PyTorch that was compared with; null for none.</param>
    /// <param name="threads">Threads that were asked for; 0 where each side takes every core.</param>
    public static string Describe(string device, Peer? peer, int threads)
    {
        string cores = $"{Environment.ProcessorCount} core{(Environment.ProcessorCount == 1 ? "" : "s")}";
        string flags = string.Join(' ', CpuField("flags", "Features").Split(' ').Intersect(Telling));
        string gpu = device == "cuda" ? $"{Run("nvidia-smi", "--query-gpu=name", "--format=csv,noheader") ?? "a CUDA device"}, " : "";
        string asked = threads > 0 ? $"{threads} thread{(threads == 1 ? "" : "s")}" : "a thread for each core";
        return string.Create(CultureInfo.InvariantCulture,
            $"{gpu}{CpuField("model name", "Model")}, {cores}, {(flags.Length > 0 ? flags : "no vector extensions listed")}, {MemoryGiB():F0} GiB of memory; ")
            + $"{OperatingSystemName()}, .NET {Environment.Version}, libtorch {__version__}, {asked}"
            + $"{(peer is null ? "; no PyTorch to compare with" : $"; compared with PyTorch {peer.Version}")}.";
    }

    private static string CpuField(params string[] names)
    {
        const string path = "/proc/cpuinfo";
        string? line = File.Exists(path)
            ? File.ReadLines(path).FirstOrDefault(l => names.Any(name => l.StartsWith(name, StringComparison.Ordinal)))
            : null;
        return line is null ? RuntimeInformation.ProcessArchitecture.ToString() : line[(line.IndexOf(':') + 1)..].Trim();
    }

    private static double MemoryGiB() => GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / (double)(1 << 30);

    private static string OperatingSystemName()
    {
        const string path = "/etc/os-release";
        string? line = File.Exists(path) ? File.ReadLines(path).FirstOrDefault(l => l.StartsWith("PRETTY_NAME=", StringComparison.Ordinal)) : null;
        return line is null ? RuntimeInformation.OSDescription : line["PRETTY_NAME=".Length..].Trim('"');
    }

    private static string? Run(string program, params string[] arguments)
    {
        try
        {
            using Process process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true })!;
            string text = process.StandardOutput.ReadToEnd().Trim();
            process.WaitForExit();
            return process.ExitCode == 0 && text.Length > 0 ? text.Split('\n')[0] : null;
        }
        catch (Win32Exception)
        {
            return null;
        }
    }
}
