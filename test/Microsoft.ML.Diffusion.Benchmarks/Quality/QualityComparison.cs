using System.Globalization;
using Garments;

namespace Microsoft.ML.Diffusion.Benchmarks;

/// <summary>What the quality comparison is asked for.</summary>
/// <param name="Peer">Null where there is none.</param>
/// <param name="Device">cpu or cuda.</param>
/// <param name="Threads">0: every core.</param>
/// <param name="Output">The folder to write to.</param>
/// <param name="Minutes">Of training, each side.</param>
/// <param name="Batch">Images a training step, both sides.</param>
/// <param name="Network">Our network, compact or mini; the peer's is the compact one.</param>
/// <param name="Model">A model of ours that is trained already, such as the sample's; null to train one.</param>
/// <param name="Images">Generated on each side.</param>
/// <param name="SamplerSteps">DDIM steps on both sides.</param>
/// <param name="Reuse">Takes image files that are there instead of training again.</param>
internal sealed record QualityOptions(Peer? Peer, string Device, int Threads, string Output, double Minutes, int Batch, string Network, string? Model, int Images, int SamplerSteps, bool Reuse);

/// <summary>
/// Unless told otherwise the same network, recipe and sampler on both sides, class-conditional on Fashion-MNIST, trained for the same time; then the distance of the generated
/// images from the test set.
/// </summary>
internal static class QualityComparison
{
    /// <summary>Runs it and writes quality.md, quality.csv and a picture of each side's first images.</summary>
    public static int Run(QualityOptions options)
    {
        Directory.CreateDirectory(options.Output);
        var context = new MLContext(seed: 1);
        using var fidelity = new FashionFidelity(context);
        var table = new Table("images", "training", "steps", "images seen", "generated in", "Fréchet distance", "kernel distance", "precision", "recall", "ours is smaller by");

        string name = options.Model is null ? $"ours, {options.Network}" : $"ours, {Path.GetFileName(options.Model)}";
        string[] ourArguments = options.Model is null ? ["--network", options.Network] : ["--model", options.Model];
        double? ours = Side(name, "ours", (arguments, told) => ChildProcess.Ours([options.Model is null ? "train" : "generate", .. arguments, .. ourArguments], told)!, null);
        if (options.Peer is { } peer)
            Side($"PyTorch {peer.Version}, float32", "peer", (arguments, told) => peer.Run(["train", .. arguments], told), ours);
        FidelityMetrics floor = fidelity.Floor(options.Images);
        table.Add("real training images", "", "", "", "", Number(floor.FrechetDistance), Kernel(floor), Number(floor.Precision), Number(floor.Recall), "");

        string note = $"{Machine.Describe(options.Device, options.Peer, options.Threads)}\n\n"
            + $"{options.Minutes.ToString(CultureInfo.InvariantCulture)} minutes of training each, batch {options.Batch}; {options.Images:N0} images by DDIM in {options.SamplerSteps} steps without guidance against the 10,000 of the test set; "
            + $"{FashionFeatures.Length} whitened features of a fixed random network. The last row is the floor: as many real images.\n\n";
        ReportFile.Write(Path.Combine(options.Output, "quality.md"), $"# Quality at equal time\n\n{note}{table.ToMarkdown()}");
        ReportFile.Write(Path.Combine(options.Output, "quality.csv"), table.ToCsv());
        Console.Write($"\n{note}{table.ToMarkdown()}");
        return 0;

        double Side(string name, string file, Func<IReadOnlyList<string>, Action<string>?, Measurement> run, double? against)
        {
            string path = Path.Combine(options.Output, $"quality-{file}.bytes");
            Measurement? measured = null;
            if (!options.Reuse || !File.Exists(path))
            {
                Console.WriteLine($"{name}: training, where it is not trained yet, for {options.Minutes.ToString(CultureInfo.InvariantCulture)} minutes");
                measured = run(Arguments(options, path), line => Console.WriteLine($"  {line}"));
            }
            byte[][] images = [.. FashionFidelity.Read(path)];
            Grid(images).Save(Path.Combine(options.Output, $"quality-{file}.png"));
            FidelityMetrics metrics = fidelity.Evaluate(images);
            Console.WriteLine($"{name}: {metrics}");
            table.Add(
                name,
                measured?.TrainSeconds is { } trained ? Text.Time(trained) : "earlier",
                $"{measured?.Steps}",
                measured is { Steps: { } steps, TrainSeconds: not null } ? $"{(long)steps * options.Batch:N0}" : "",
                measured?.GenerateSeconds is { } generated ? Text.Time(generated) : "",
                Number(metrics.FrechetDistance), Kernel(metrics), Number(metrics.Precision), Number(metrics.Recall),
                against is { } distance ? Text.Ratio(metrics.FrechetDistance / distance) : "");
            return metrics.FrechetDistance;
        }
    }

    private static string[] Arguments(QualityOptions options, string path) =>
    [
        "--minutes", options.Minutes.ToString(CultureInfo.InvariantCulture), "--batch", $"{options.Batch}", "--images", $"{options.Images}",
        "--sampler", "ddim", "--sampler-steps", $"{options.SamplerSteps}", "--device", options.Device, "--output", path,
        .. options.Threads > 0 ? new[] { "--threads", $"{options.Threads}" } : [],
    ];

    private static Canvas Grid(byte[][] images)
    {
        const int columns = 10, scale = 2, gap = 2, side = 32 * scale + gap;
        int shown = Math.Min(images.Length, columns * 10);
        var grid = new Canvas(columns * side + gap, (shown + columns - 1) / columns * side + gap);
        for (int i = 0; i < shown; i++)
            grid.Draw(Canvas.FromGrey(images[i], 32, 32), gap + i % columns * side, gap + i / columns * side, scale);
        return grid;
    }

    private static string Number(double value) => Text.Figures(value);

    private static string Kernel(FidelityMetrics metrics) =>
        $"{Text.Figures(metrics.KernelDistance)} ± {Text.Figures(metrics.KernelDistanceStandardError)}";
}
