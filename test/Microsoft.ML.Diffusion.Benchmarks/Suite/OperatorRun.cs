using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Engines;
using BenchmarkDotNet.Jobs;
using BenchmarkDotNet.Reports;
using BenchmarkDotNet.Running;
using BenchmarkDotNet.Toolchains.InProcess.Emit;

namespace Microsoft.ML.Diffusion.Benchmarks;

/// <summary>The benchmarks of the folder Operators, under BenchmarkDotNet.</summary>
internal static class OperatorRun
{
    /// <summary>Runs those that match.</summary>
    public static IReadOnlyList<Summary> Run(SuiteOptions options)
    {
        DeviceSelection.UseAllCores();
        // For all of them, as a training or a generation does: given back after each one, memory would have to be asked for, page by page, within the next.
        using var memory = HostAllocator.Keep();
        Worker.LimitThreads(options.Threads);
        // In this process, because the toolchain that builds a project a benchmark knows no package source but its own;
        // steps take tenths of seconds, so a few runs say enough.
        Job job = Job.Default
            .WithToolchain(new InProcessEmitToolchain(timeout: TimeSpan.FromHours(1), logOutput: true))
            .WithStrategy(RunStrategy.Monitoring)
            .WithWarmupCount(options.Quick ? 1 : 3)
            .WithIterationCount(options.Quick ? 2 : 15);
        // Without an optimizing build the numbers mean nothing: the default validators refuse it.
        IConfig config = DefaultConfig.Instance.AddJob(job).WithArtifactsPath(Path.Combine(options.Output, "operators"));
        return [.. BenchmarkSwitcher.FromAssembly(typeof(OperatorRun).Assembly).Run(["--filter", options.Filter ?? "*"], config)];
    }

    /// <summary>The table: each benchmark, and how it stands to the baseline of its group.</summary>
    public static Table Report(IEnumerable<Summary> summaries)
    {
        var table = new Table("benchmark", "parameters", "median", "spread (quartiles)", "against the plain one");
        foreach (Summary summary in summaries)
        {
            BenchmarkReport[] reports = [.. summary.Reports.Where(report => report.ResultStatistics is not null)];
            foreach (BenchmarkReport report in reports)
            {
                var statistics = report.ResultStatistics!;
                BenchmarkReport? plain = Array.Find(reports, other => other.BenchmarkCase.Descriptor.Baseline && other.BenchmarkCase.Parameters.DisplayInfo == report.BenchmarkCase.Parameters.DisplayInfo);
                table.Add(
                    $"{report.BenchmarkCase.Descriptor.Type.Name.Replace("Benchmarks", "")}.{report.BenchmarkCase.Descriptor.WorkloadMethod.Name}",
                    report.BenchmarkCase.Parameters.PrintInfo,
                    Text.Time(statistics.Median / 1e9),
                    $"{Text.Time(statistics.Q1 / 1e9)}–{Text.Time(statistics.Q3 / 1e9)}",
                    plain is null || plain == report ? "" : $"{Text.Ratio(plain.ResultStatistics!.Median / statistics.Median)} as fast");
            }
        }
        return table;
    }

    /// <summary>Images a second that the loader alone delivers; null where it was not measured.</summary>
    public static double? LoaderImagesPerSecond(IEnumerable<Summary> summaries) => summaries
        .SelectMany(summary => summary.Reports)
        .Where(report => report.BenchmarkCase.Descriptor.WorkloadMethod.Name == nameof(LoaderBenchmarks.ReadImages) && report.ResultStatistics is not null)
        .Select(report => (double?)(1e9 / report.ResultStatistics!.Median))
        .FirstOrDefault();
}
