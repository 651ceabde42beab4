using System.ComponentModel;
using System.Diagnostics;

namespace Microsoft.ML.Diffusion.Benchmarks;

/// <summary>The plain PyTorch script of the folder reference, and the Python that can run it.</summary>
/// <param name="Python">The interpreter.</param>
/// <param name="Version">Its PyTorch.</param>
internal sealed record Peer(string Python, string Version)
{
    /// <summary>Looks for a Python that has PyTorch; null where none is found.</summary>
    /// <param name="python">The one to take; null for the first that fits.</param>
    public static Peer? Find(string? python)
    {
        // Debian's python3-torch belongs to Debian's Python, which another may hide.
        string[] candidates = python is null ? ["python3", "/usr/bin/python3"] : [python];
        return candidates.Select(Ask).FirstOrDefault(found => found is not null);
    }

    /// <summary>Runs the script.</summary>
    public Measurement Run(IReadOnlyList<string> arguments, Action<string>? told = null)
    {
        string script = Path.Combine(AppContext.BaseDirectory, "reference", "peer.py");
        return ChildProcess.Run(Python, ["-B", script, .. arguments], told) ?? throw new InvalidOperationException("The peer measured nothing.");
    }

    private static Peer? Ask(string python)
    {
        try
        {
            using Process process = Process.Start(new ProcessStartInfo(python, ["-c", "import torch; print(torch.__version__)"])
            {
                RedirectStandardOutput = true,
                RedirectStandardError = true,
            })!;
            _ = process.StandardError.ReadToEndAsync();
            string version = process.StandardOutput.ReadToEnd().Trim();
            process.WaitForExit();
            return process.ExitCode == 0 ? new Peer(python, version) : null;
        }
        catch (Win32Exception)
        {
            return null;
        }
    }
}
