using System.Diagnostics;

namespace Microsoft.ML.Diffusion;

/// <summary>How far a training is between its start and whichever of its limits, steps or time, comes first.</summary>
/// <param name="maximumSteps">The limit in steps.</param>
/// <param name="maximumDuration">The limit in time; null for none.</param>
/// <param name="step">Steps taken before, by a run that this one goes on from.</param>
/// <param name="elapsed">Time used before.</param>
internal sealed class TrainingClock(int maximumSteps, TimeSpan? maximumDuration, int step = 0, TimeSpan elapsed = default)
{
    private const int Window = 20;

    private readonly Stopwatch _watch = Stopwatch.StartNew();
    private readonly Queue<(TimeSpan Time, int Step)> _recent = new([(elapsed, step)]);

    /// <summary>Time since the start, earlier runs included.</summary>
    public TimeSpan Elapsed => elapsed + _watch.Elapsed;

    /// <summary>The share of the training that is done, in [0, 1].</summary>
    /// <param name="step">Steps taken.</param>
    public double Fraction(int step) =>
        Math.Min(1, Math.Max((double)step / maximumSteps, maximumDuration is { } limit ? Elapsed / limit : 0));

    /// <summary>Notes a step; gives the speed over the last ones, and what is left at that speed.</summary>
    public (double StepsPerSecond, int TotalSteps, TimeSpan TimeLeft) Tick(int step)
    {
        var now = Elapsed;
        _recent.Enqueue((now, step));
        if (_recent.Count > Window)
            _recent.Dequeue();
        var (since, first) = _recent.Peek();
        double speed = (step - first) / Math.Max((now - since).TotalSeconds, 1e-9);
        var left = TimeSpan.FromSeconds(Math.Min((maximumSteps - step) / speed, TimeSpan.MaxValue.TotalSeconds / 2));
        if (maximumDuration is { } limit && limit - now < left)
            left = limit > now ? limit - now : TimeSpan.Zero;
        return (speed, (int)Math.Min(maximumSteps, step + Math.Ceiling(left.TotalSeconds * speed)), left);
    }
}
