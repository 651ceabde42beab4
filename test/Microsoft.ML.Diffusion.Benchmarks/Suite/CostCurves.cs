namespace Microsoft.ML.Diffusion.Benchmarks;

/// <summary>How a cost grows.</summary>
/// <param name="Name">What was measured.</param>
/// <param name="Axis">What was varied.</param>
/// <param name="Points">Value and seconds, ascending.</param>
internal sealed record CostCurve(string Name, string Axis, IReadOnlyList<(double X, double Seconds)> Points)
{
    /// <summary>b of seconds = a·x^b: 1 is linear; less, where a fixed cost is spread over more.</summary>
    public double Exponent => Statistics.PowerLaw(Points).Exponent;
}

/// <summary>The cost over batch, pixels and sampler steps, each point a process of its own.</summary>
internal static class CostCurves
{
    /// <summary>Measures them.</summary>
    public static IReadOnlyList<CostCurve> Run(SuiteOptions options)
    {
        int[] sizes = options.Quick ? [16, 32] : [16, 32, 64];
        foreach (int size in sizes)
            options.PrepareModel(size);
        int[] batches = options.Quick ? [2, 4] : options.OnGpu ? [32, 64, 128, 256] : [4, 8, 16, 32];
        int[] samplerSteps = options.Quick ? [2, 4] : [5, 10, 20, 40];
        string[] iterations = ["--discard", options.Quick ? "1" : PairedComparison.Discarded, "--iterations", options.Quick ? "1" : "7"];
        string[] shortIterations = ["--discard", options.Quick ? "1" : PairedComparison.DiscardedOfShort, "--iterations", options.Quick ? "1" : "15"];
        string batch = options.Quick ? "2" : $"{options.Batch / 2}";

        return
        [
            Measure("training step", "images a batch", batches, b => b, b => ["step", "--batch", $"{b}", .. iterations]),
            Measure("denoising step", "images a batch", batches, b => b, b => ["denoise", "--batch", $"{b}", "--model", options.ModelFile(32), .. shortIterations]),
            Measure($"training step, batch {batch}", "pixels an image", sizes, s => s * s, s => ["step", "--size", $"{s}", "--batch", batch, .. iterations]),
            Measure($"denoising step, batch {batch}", "pixels an image", sizes, s => s * s, s => ["denoise", "--size", $"{s}", "--batch", batch, "--model", options.ModelFile(s), .. shortIterations]),
            Measure($"{batch} images, DPM-Solver++", "sampler steps", samplerSteps, n => n, n =>
                ["sample", "--images", batch, "--batch", batch, "--sampler-steps", $"{n}", "--iterations", options.Quick ? "1" : "9", "--model", options.ModelFile(32)]),
        ];

        CostCurve Measure(string name, string axis, int[] values, Func<int, double> x, Func<int, string[]> arguments)
        {
            var points = new List<(double, double)>();
            foreach (int value in values)
            {
                Measurement run = ChildProcess.Ours([.. arguments(value), .. options.Common])!;
                points.Add((x(value), run.MedianSeconds));
                Console.WriteLine($"{name}, {x(value):0} {axis}: {Text.Time(run.MedianSeconds)}");
            }
            return new CostCurve(name, axis, points);
        }
    }

    /// <summary>The table: each point, with the cost of one unit, and the exponent of the curve.</summary>
    public static Table Report(IEnumerable<CostCurve> curves)
    {
        var table = new Table("cost", "over", "value", "median", "for one", "exponent (1: linear)");
        foreach (CostCurve curve in curves)
        {
            foreach ((double x, double seconds) in curve.Points)
                table.Add(curve.Name, curve.Axis, FormattableString.Invariant($"{x:0}"), Text.Time(seconds), Text.Time(seconds / x), FormattableString.Invariant($"{curve.Exponent:F2}"));
        }
        return table;
    }
}
