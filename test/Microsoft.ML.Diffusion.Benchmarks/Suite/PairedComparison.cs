namespace Microsoft.ML.Diffusion.Benchmarks;

/// <summary>One side of a comparison.</summary>
/// <param name="Name">For the table.</param>
/// <param name="Arguments">For its process.</param>
/// <param name="Runs">What came out, a round each.</param>
internal sealed record Contender(string Name, string[] Arguments, List<Measurement> Runs);

/// <summary>A workload, our process and those of the peer.</summary>
/// <param name="Name">For the table.</param>
/// <param name="Goal">The least ratio to the first peer that is aimed at; 0 for none.</param>
/// <param name="Ours">Our side.</param>
/// <param name="Peers">The others.</param>
internal sealed record PairedCase(string Name, double Goal, Contender Ours, Contender[] Peers);

/// <summary>
/// Whole processes in turn, ours and the peer's, round after round: what drifts on a machine (clock, neighbours, page cache) drifts for both,
/// and each ratio is taken within a round.
/// </summary>
internal static class PairedComparison
{
    /// <summary>Steps that are not measured: the JIT takes about fifteen to settle.</summary>
    public const string Discarded = "16";

    /// <summary>The same of short steps: the JIT settles by time as well as by calls.</summary>
    public const string DiscardedOfShort = "80";

    /// <summary>Runs all cases.</summary>
    public static IReadOnlyList<PairedCase> Run(SuiteOptions options)
    {
        options.PrepareModel(32);
        PairedCase[] cases = Cases(options);
        // A shared processor has better and worse minutes: enough rounds for a median to mean something. A GPU is its user's own.
        int rounds = options.Quick ? 1 : options.OnGpu ? 3 : 5;
        foreach (PairedCase pair in cases)
        {
            for (int round = 1; round <= rounds; round++)
            {
                pair.Ours.Runs.Add(ChildProcess.Ours([.. pair.Ours.Arguments, .. options.Common])!);
                Console.WriteLine($"{pair.Name}, round {round} of {rounds}: {pair.Ours.Name} {Text.Time(pair.Ours.Runs[^1].MedianSeconds)}");
                foreach (Contender peer in options.Peer is null ? [] : pair.Peers)
                {
                    peer.Runs.Add(options.Peer!.Run([.. peer.Arguments, .. options.Common]));
                    Console.WriteLine($"{pair.Name}, round {round} of {rounds}: {peer.Name} {Text.Time(peer.Runs[^1].MedianSeconds)}");
                }
            }
        }
        return cases;
    }

    /// <summary>The table of times, ratios and memory.</summary>
    public static Table Report(IEnumerable<PairedCase> cases)
    {
        var table = new Table("workload", "who", "median (least–largest)", "images/s", "peak memory", "we are faster by", "goal", "our memory", "threads", "computes in");
        foreach (PairedCase pair in cases)
        {
            Row(pair, pair.Ours, "", "", "");
            for (int i = 0; i < pair.Peers.Length; i++)
            {
                Contender peer = pair.Peers[i];
                if (peer.Runs.Count == 0)
                    continue;
                double[] speed = [.. peer.Runs.Zip(pair.Ours.Runs, (theirs, ours) => theirs.MedianSeconds / ours.MedianSeconds)];
                double[] memory = [.. peer.Runs.Zip(pair.Ours.Runs, (theirs, ours) => (double)ours.PeakMemory / theirs.PeakMemory)];
                Row(pair, peer, Text.Spread(speed, Text.Ratio), i == 0 && pair.Goal > 0 ? Text.Ratio(pair.Goal) : "", Text.Spread(memory, Text.Ratio));
            }
        }
        return table;

        void Row(PairedCase pair, Contender contender, string speed, string goal, string memory) => table.Add(
            pair.Name,
            contender.Name + (contender.Runs.Any(run => run.Extrapolated) ? " (extrapolated)" : ""),
            Text.Spread([.. contender.Runs.Select(run => run.MedianSeconds)], Text.Time),
            Text.Figures(contender.Runs.Select(run => run.ImagesPerSecond).Median()),
            Text.Memory(contender.Runs.Select(run => (double)run.PeakMemory).Median()),
            speed, goal, memory, $"{contender.Runs[0].Threads}", contender.Runs[0].Type.Length > 0 ? contender.Runs[0].Type : "default");
    }

    private static PairedCase[] Cases(SuiteOptions options)
    {
        string[] steps = ["--discard", options.Quick ? "1" : Discarded, "--iterations", options.Quick ? "2" : "10", "--batch", $"{options.Batch}"];
        string[] shortSteps = ["--discard", options.Quick ? "1" : DiscardedOfShort, "--iterations", options.Quick ? "2" : "30", "--batch", $"{options.Batch}"];
        // The goals are those of a CPU.
        (double training, double denoising) = options.OnGpu ? (0, 0) : (5, 7);
        (string plain, string[] tf32) = options.OnGpu ? ("TF32", ["--tf32"]) : ("float32", (string[])[]);
        string model = options.ModelFile(32);
        // Images drawn together: as many as are wanted, or what the small machine's memory takes.
        string together = options.OnGpu ? "64" : "16";
        (string images, string drawn) = options.Quick ? ("2", "2") : ("64", "20");
        string[] draw = ["sample", "--images", images, "--batch", together, "--sampler-steps", drawn];
        string[] few = ["--measure", options.Quick ? "1" : "10"];
        // Where the default computes in fewer bits, float32 is measured too.
        string[] full = ["--precision", "full"];
        PairedCase[] inFloat32 = options.OnGpu || !PrecisionPolicy.MultipliesFewerBits(ComputePrecision.Automatic) ? [] :
        [
            new($"training step, batch {options.Batch}, Precision = Full", 1.3, Ours("step", [.. steps, .. full]), [Peer("float32", ["step", .. steps])]),
            new($"denoising step, batch {options.Batch}, Precision = Full", 1.5, Ours("denoise", [.. shortSteps, .. full, "--model", model]), [Peer("float32", ["denoise", .. shortSteps])]),
        ];
        return
        [
            new($"training step, batch {options.Batch}", training, Ours("step", [.. steps]),
                [Peer(plain, ["step", .. steps, .. tf32]), Peer("bfloat16, channels-last", ["step", .. steps, "--bfloat16", .. tf32])]),
            new($"denoising step, batch {options.Batch}", denoising, Ours("denoise", [.. shortSteps, "--model", model]),
                [Peer(plain, ["denoise", .. shortSteps, .. tf32]), Peer("bfloat16, channels-last", ["denoise", .. shortSteps, "--bfloat16", .. tf32])]),
            .. inFloat32,
            new($"{images} images: ours DPM-Solver++ {drawn}, theirs 1,000 ancestral steps", 0, Ours("sample", [.. draw[1..], "--sampler", "dpm", "--iterations", "1", "--model", model]),
                [Peer(plain, [.. draw, "--sampler", "ddpm", .. few, .. tf32])]),
            new($"{images} images: DDIM {drawn} on both sides", 0, Ours("sample", [.. draw[1..], "--sampler", "ddim", "--iterations", "1", "--model", model]),
                [Peer(plain, [.. draw, "--sampler", "ddim", .. tf32])]),
        ];

        static Contender Ours(string mode, string[] arguments) => new("ours", [mode, .. arguments], []);
        static Contender Peer(string name, string[] arguments) => new($"PyTorch, {name}", arguments, []);
    }
}
