namespace Microsoft.ML.Diffusion.Benchmarks;

/// <summary>What ./build.sh bench is asked for.</summary>
/// <param name="Quick">Few iterations: does it run, not how fast.</param>
/// <param name="Filter">The operator benchmarks to run, alone; null for everything.</param>
/// <param name="Peer">Null where none is to be compared with, or none was found.</param>
/// <param name="Device">cpu or cuda.</param>
/// <param name="Threads">Threads of libtorch on both sides; 0: every core.</param>
/// <param name="Output">The folder to write to.</param>
/// <param name="Parts">operators, paired, curves.</param>
/// <param name="Publish">The document to write the table into; null for none.</param>
internal sealed record SuiteOptions(bool Quick, string? Filter, Peer? Peer, string Device, int Threads, string Output, IReadOnlySet<string> Parts, string? Publish)
{
    /// <summary>The parts that a device is measured by. Operators are those of the CPU.</summary>
    public static IReadOnlyList<string> PartsFor(string device) => device == "cuda" ? ["paired", "curves"] : ["operators", "paired", "curves"];

    /// <summary>Whether it is a GPU that is measured.</summary>
    public bool OnGpu => Device == "cuda";

    /// <summary>Whether all of them are asked for.</summary>
    public bool IsWhole => PartsFor(Device).All(Parts.Contains);

    /// <summary>Images in a step: what the machine is bought for.</summary>
    public int Batch => OnGpu ? 128 : 16;

    /// <summary>Which of several tables in a document, and pictures beside it, this machine's are.</summary>
    public string Name => OnGpu ? "bench-cuda" : "bench";

    /// <summary>Channels of the first resolution.</summary>
    public int BaseChannels => OnGpu ? 128 : 64;

    /// <summary>Arguments that every process gets.</summary>
    public string[] Common => ["--device", Device, "--base", $"{BaseChannels}", .. Threads > 0 ? new[] { "--threads", $"{Threads}" } : []];

    /// <summary>The file of an untrained model, for the workloads that generate.</summary>
    public string ModelFile(int size) => Path.Combine(Output, $"untrained-{size}.zip");

    /// <summary>Makes that file.</summary>
    public void PrepareModel(int size)
    {
        Directory.CreateDirectory(Output);
        ChildProcess.Ours(["prepare", "--size", $"{size}", "--model", ModelFile(size), .. Common]);
    }
}
