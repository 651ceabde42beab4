using System.Diagnostics;

namespace Microsoft.ML.Diffusion.Tests;

/// <summary>Runs commands as on a machine that knows nothing of this test run.</summary>
internal static class CleanProcess
{
    /// <summary>Runs a command to its end.</summary>
    /// <returns>Its exit code, and all that it said.</returns>
    public static (int ExitCode, string Output) Run(string folder, string program, string[] arguments, params (string Name, string Value)[] environment)
    {
        var start = new ProcessStartInfo(program, arguments) { WorkingDirectory = folder, RedirectStandardOutput = true, RedirectStandardError = true };
        // What the running test host was told about its own build would reach into this one.
        foreach (string name in start.Environment.Keys.Where(n => n.StartsWith("MSBUILD", StringComparison.OrdinalIgnoreCase) || n is "RestoreAdditionalProjectSources" or "DiffusionPackageSource").ToArray())
        {
            start.Environment.Remove(name);
        }

        start.Environment["MSBUILDDISABLENODEREUSE"] = "1";
        foreach ((string name, string value) in environment)
        {
            start.Environment[name] = value;
        }

        using Process process = Process.Start(start)!;
        Task<string> errors = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd() + errors.Result;
        process.WaitForExit();
        return (process.ExitCode, output);
    }
}
