using System.Globalization;
using System.Text;
using BenchmarkDotNet.Reports;

namespace Microsoft.ML.Diffusion.Benchmarks;

/// <summary>Everything, and the report of it.</summary>
internal static class BenchmarkSuite
{
    /// <summary>Runs the parts that are asked for and writes bench.md, a CSV file a table, and the picture of the curves.</summary>
    public static int Run(SuiteOptions options)
    {
        Directory.CreateDirectory(options.Output);
        string machine = Machine.Describe(options.Device, options.Peer, options.Threads);
        Console.WriteLine(machine);

        var report = new StringBuilder($"{machine}\nMeasured {DateTime.UtcNow.ToString("yyyy-MM-dd", CultureInfo.InvariantCulture)} by `./build.sh bench{(options.Quick ? " --quick`: it runs; the numbers say nothing" : "`")}.\n\n");
        IReadOnlyList<PairedCase> cases = options.Parts.Contains("paired") ? PairedComparison.Run(options) : [];
        if (cases.Count > 0)
            Add("Whole processes", $"{options.BaseChannels} base channels, {cases[0].Ours.Runs[0].Parameters:N0} parameters, 3x32x32; runs in turn, each ratio within a round: its median (least–largest).", "paired", PairedComparison.Report(cases));

        IReadOnlyList<CostCurve> curves = options.Parts.Contains("curves") ? CostCurves.Run(options) : [];
        if (curves.Count > 0)
        {
            Add("Growth of the cost", "An exponent of 1 is linear growth. Sizes also move the level at which attention stands (16x16 always).", "curves", CostCurves.Report(curves));
            string picture = Path.Combine(options.Output, "curves.png");
            CurveChart.Draw(curves).Save(picture);
            Console.WriteLine($"Wrote {picture}");
            report.Append("![Cost curves](curves.png)\n\n");
        }

        IReadOnlyList<Summary> summaries = options.Parts.Contains("operators") ? OperatorRun.Run(options) : [];
        if (summaries.Count > 0)
            Add("Operators and steps", "BenchmarkDotNet, in one process on the CPU.", "operators", OperatorRun.Report(summaries));
        if (OperatorRun.LoaderImagesPerSecond(summaries) is { } loader)
        {
            double? training = cases.FirstOrDefault()?.Ours.Runs.Select(run => run.ImagesPerSecond).Median();
            report.Append($"The loader alone delivers {loader:N0} images/s");
            report.Append(training is { } taken ? $", {Text.Ratio(loader / taken)} of what training takes (goal: 10x).\n" : ".\n");
        }

        // A part alone never overwrites the report of the whole.
        string name = options.IsWhole ? $"{options.Name}.md" : $"{options.Name}-{string.Join('-', options.Parts.Order())}.md";
        ReportFile.Write(Path.Combine(options.Output, name), $"# Benchmarks\n\n{report}");
        if (options.Publish is { } document)
        {
            string published = options.OnGpu ? "docs/images/cost-curves-cuda.png" : "docs/images/cost-curves.png";
            if (curves.Count > 0)
                File.Copy(Path.Combine(options.Output, "curves.png"), Path.Combine(Path.GetDirectoryName(Path.GetFullPath(document))!, published), overwrite: true);
            ReportFile.WriteBetweenMarkers(document, options.Name, report.ToString().Replace("(curves.png)", $"({published})"));
        }
        Console.WriteLine();
        Console.Write(report);
        return 0;

        void Add(string title, string note, string file, Table table)
        {
            if (table.IsEmpty)
                return;
            report.Append(CultureInfo.InvariantCulture, $"**{title}.** {note}\n\n{table.ToMarkdown()}\n");
            ReportFile.Write(Path.Combine(options.Output, $"{file}.csv"), table.ToCsv());
        }
    }
}
