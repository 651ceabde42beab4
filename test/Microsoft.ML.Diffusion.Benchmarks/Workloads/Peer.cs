using System.ComponentModel;
using System.Diagnostics;

namespace Microsoft.ML.Diffusion.Benchmarks;

/// <summary>The plain PyTorch script of the folder reference, and the Python that can run it.</summary>
/// <param name="Python">The interpreter.</param>
/// <param name="Version">Its PyTorch.</param>
internal sealed record Peer(string Python, string Version)
{
    private const string Question = "import sys, torch; assert sys.argv[1] == 'cpu' or torch.cuda.is_available(); print(torch.__version__)";

    /// <summary>Looks for a Python whose PyTorch runs on a device; null where none is found.</summary>
    /// <param name="python">The one to take; null for the first that fits.</param>
    /// <param name="device">cpu or cuda.</param>
    public static Peer? Find(string? python, string device)
    {
        // Debian's python3-torch belongs to Debian's Python, which another may hide.
        string[] candidates = python is null ? ["python3", "/usr/bin/python3"] : [python];
        return candidates.Select(candidate => Ask(candidate, device)).FirstOrDefault(found => found is not null);
    }

    /// <summary>Runs the script.</summary>
    public Measurement Run(IReadOnlyList<string> arguments, Action<string>? told = null)
    {
        string script = Path.Combine(AppContext.BaseDirectory, "reference", "peer.py");
        return ChildProcess.Run(Python, ["-B", script, .. arguments], told) ?? throw new InvalidOperationException("The peer measured nothing.");
    }

    private static Peer? Ask(string python, string device)
    {
        try
        {
            using Process process = Process.Start(new ProcessStartInfo(python, ["-c", Question, device])
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
