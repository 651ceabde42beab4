using Microsoft.ML.Runtime;

namespace Microsoft.ML.Diffusion;

/// <summary>Tells of a training wherever ML.NET's users look: the log, the progress channel, their own callback.</summary>
/// <param name="host">Opens the progress channel.</param>
/// <param name="channel">The log.</param>
/// <param name="progress">The user's callback; null for none.</param>
internal sealed class TrainingReport(IHost host, IChannel channel, IProgress<DdpmTrainingProgress>? progress) : IDisposable
{
    private const double LeastShareOfRange = 0.02;
    private static readonly TimeSpan LogEvery = TimeSpan.FromSeconds(10);

    private readonly IProgressChannel _progressChannel = host.StartProgressChannel("Training");
    private TimeSpan _nextLog = TimeSpan.Zero;
    private DdpmTrainingProgress? _last;

    /// <summary>Tells what is about to be trained.</summary>
    public void Begin(TrainingSettings settings, long parameters, Device device)
    {
        Info($"Training {parameters:N0} parameters on {settings.Shape.Channels}x{settings.Shape.Height}x{settings.Shape.Width} images"
            + $"{(settings.Shape.Classes > 0 ? $" of {settings.Shape.Classes} classes" : "")}, batch {settings.BatchSize}, up to {settings.MaximumSteps} steps, device {device}.");
        _progressChannel.SetHeader(new ProgressHeader(["Loss", "Gradient norm", "Images/s"], ["steps"]), entry =>
        {
            if (_last is not { } last)
                return;
            entry.SetProgress(0, last.Step, last.TotalSteps);
            entry.SetMetric(0, last.Loss);
            entry.SetMetric(1, last.GradientNorm);
            entry.SetMetric(2, last.ImagesPerSecond);
        });
    }

    /// <summary>Tells that an earlier training goes on.</summary>
    public void Resumed(string path, int step) => Info($"Going on after step {step} from the checkpoint '{path}'.");

    /// <summary>Tells of a step.</summary>
    public void Step(DdpmTrainingProgress step)
    {
        _last = step;
        progress?.Report(step);
        if (step.Elapsed < _nextLog)
            return;
        _nextLog = step.Elapsed + LogEvery;
        _progressChannel.Checkpoint(step.Loss, step.GradientNorm, step.ImagesPerSecond, step.Step);
        Info($"Step {step.Step} of about {step.TotalSteps}, loss {step.Loss:F4}, {step.ImagesPerSecond:F0} images/s, {step.TimeLeft:hh\\:mm\\:ss} left.");
    }

    /// <summary>Warns where the first images use hardly any of the stated range: values in [0, 1] under a range of [0, 255] would be learned as black.</summary>
    /// <param name="images">A batch, in [−1, 1].</param>
    /// <param name="format">Its column's format.</param>
    public void FirstBatch(ReadOnlySpan<float> images, ImageFormat format)
    {
        float least = 1, largest = -1;
        foreach (float value in images)
            (least, largest) = (Math.Min(least, value), Math.Max(largest, value));
        if (largest - least > 2 * LeastShareOfRange)
            return;
        double Pixel(double value) => format.Minimum + (value + 1) / 2 * (format.Maximum - format.Minimum);
        channel.Warning(MessageSensitivity.None, $"The first images have values from {Pixel(least):G4} to {Pixel(largest):G4} in a stated range of [{format.Minimum}, {format.Maximum}]: "
            + "if black and white are other values, set Options.PixelMinimum and Options.PixelMaximum to them.");
    }

    /// <summary>Warns of a step whose gradient was not finite.</summary>
    public void Skipped(int step, double loss) =>
        channel.Warning(MessageSensitivity.None, $"Step {step} was skipped: its gradient is not finite (loss {loss}).");

    /// <summary>Tells that the training is over.</summary>
    public void End()
    {
        if (_last is { } last)
            Info($"Trained {last.Step} steps in {last.Elapsed:hh\\:mm\\:ss}, last loss {last.Loss:F4}, {last.SkippedSteps} steps skipped.");
    }

    /// <inheritdoc/>
    public void Dispose() => _progressChannel.Dispose();

    private void Info(string message) => channel.Info(MessageSensitivity.None, message);
}
