using System.Diagnostics;

namespace Microsoft.ML.Diffusion.Benchmarks;

/// <summary>Workloads run in processes of their own: nothing that one leaves behind in memory or caches helps or hurts the next.</summary>
internal static class ChildProcess
{
    /// <summary>Runs our worker.</summary>
    public static Measurement? Ours(IReadOnlyList<string> arguments, Action<string>? told = null)
    {
        string host = Environment.ProcessPath ?? "dotnet";
        // Started as 'dotnet x.dll', the host has to be told which.
        string[] itself = Path.GetFileNameWithoutExtension(host) == "dotnet" ? [typeof(ChildProcess).Assembly.Location] : [];
        return Run(host, [.. itself, "worker", .. arguments], told);
    }

    /// <summary>Runs a program to its end.</summary>
    /// <returns>The last measurement that it printed.</returns>
    /// <exception cref="InvalidOperationException">It failed.</exception>
    public static Measurement? Run(string program, IReadOnlyList<string> arguments, Action<string>? told = null)
    {
        using Process process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true })!;
        Measurement? result = null;
        while (process.StandardOutput.ReadLine() is { } line)
        {
            if (Measurement.Parse(line) is { } measurement)
                result = measurement;
            else
                told?.Invoke(line);
        }
        process.WaitForExit();
        return process.ExitCode == 0
            ? result
            : throw new InvalidOperationException($"'{program} {string.Join(' ', arguments)}' ended with {process.ExitCode}; what it said stands above.");
    }
}
