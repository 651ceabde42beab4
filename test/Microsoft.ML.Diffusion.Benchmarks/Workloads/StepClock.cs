using System.Diagnostics;

namespace Microsoft.ML.Diffusion.Benchmarks;

/// <summary>The moments at which a training or a sampler reports its steps, as a user's callback sees them.</summary>
internal sealed class StepClock : IProgress<DdpmTrainingProgress>
{
    private readonly List<long> _moments = [];
    private readonly List<double> _losses = [];

    /// <summary>The mean loss of the last fifty steps.</summary>
    public double Loss => _losses.TakeLast(50).DefaultIfEmpty(double.NaN).Average();

    /// <summary>Called after a training step.</summary>
    public void Report(DdpmTrainingProgress value)
    {
        _losses.Add(value.Loss);
        Tick();
    }

    /// <summary>Notes a moment.</summary>
    public void Tick() => _moments.Add(Stopwatch.GetTimestamp());

    /// <summary>Seconds from one moment to the next, without the first few.</summary>
    public double[] Intervals(int discard) => [.. _moments.Zip(_moments.Skip(1), (from, to) => Stopwatch.GetElapsedTime(from, to).TotalSeconds).Skip(discard)];
}
