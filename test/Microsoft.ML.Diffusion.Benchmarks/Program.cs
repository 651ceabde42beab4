using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Engines;
using BenchmarkDotNet.Jobs;
using BenchmarkDotNet.Running;
using BenchmarkDotNet.Toolchains.InProcess.Emit;

// In this process, because the toolchain that builds a project a benchmark knows no package source but its own;
// steps take tenths of seconds, so a few runs say enough.
Job job = Job.Default
    .WithToolchain(new InProcessEmitToolchain(timeout: TimeSpan.FromHours(1), logOutput: true))
    .WithStrategy(RunStrategy.Monitoring)
    .WithWarmupCount(3)
    .WithIterationCount(10);

BenchmarkSwitcher.FromAssembly(typeof(Program).Assembly).Run(args, DefaultConfig.Instance.AddJob(job));
