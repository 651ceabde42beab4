using Microsoft.ML.Diffusion;
using Spectre.Console;

namespace Garments;

/// <summary>The live line while training, and the losses for the chart afterwards.</summary>
internal sealed class TrainingProgress : IProgress<DdpmTrainingProgress>
{
    private static readonly TimeSpan PlainInterval = TimeSpan.FromSeconds(10);

    private ProgressTask? _line;
    private TimeSpan _nextPlainLine;
    private double _smoothLoss = double.NaN;

    public List<(int Step, double Loss)> Losses { get; } = [];

    /// <summary>Runs the training under the live line; where output goes to a file, under a plain line now and then.</summary>
    public T Show<T>(Func<T> train)
    {
        if (!AnsiConsole.Profile.Capabilities.Interactive || Console.IsOutputRedirected)
        {
            return train();
        }

        T result = default!;
        AnsiConsole.Progress()
            .Columns(new TaskDescriptionColumn { Alignment = Justify.Left }, new ProgressBarColumn { Width = 24 }, new PercentageColumn())
            .Start(context =>
            {
                _line = context.AddTask("starting", maxValue: 1);
                result = train();
                _line.Value = 1;
            });
        return result;
    }

    public void Report(DdpmTrainingProgress value)
    {
        Losses.Add((value.Step, value.Loss));
        _smoothLoss = double.IsNaN(_smoothLoss) ? value.Loss : 0.98 * _smoothLoss + 0.02 * value.Loss;
        string line = $"step {value.Step:N0}  loss {_smoothLoss:F4}  {value.ImagesPerSecond:F0} images/s  {Left(value.TimeLeft)} left";
        if (_line is not null)
        {
            _line.Description = line;
            _line.Value = value.Elapsed / (value.Elapsed + value.TimeLeft);
        }
        else if (value.Elapsed >= _nextPlainLine)
        {
            Console.WriteLine(line);
            _nextPlainLine = value.Elapsed + PlainInterval;
        }
    }

    private static string Left(TimeSpan time) => time.TotalHours >= 1 ? $"{(int)time.TotalHours}:{time:mm\\:ss}" : $"{time:m\\:ss}";
}
