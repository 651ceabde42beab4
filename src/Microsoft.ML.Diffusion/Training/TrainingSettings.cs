using System.Text.Json.Serialization;

namespace Microsoft.ML.Diffusion;

/// <summary>A training, decided in full: nothing is left to a default.</summary>
internal sealed record TrainingSettings
{
    /// <summary>The network.</summary>
    public required UNetOptions Network { get; init; }

    /// <summary>What it is built for.</summary>
    public required UNetShape Shape { get; init; }

    /// <summary>The noise schedule.</summary>
    public required NoiseScheduleOptions Schedule { get; init; }

    /// <summary>What the network predicts.</summary>
    public required PredictionType Prediction { get; init; }

    /// <summary>The variance of the reverse steps.</summary>
    public required VarianceType Variance { get; init; }

    /// <summary>What is minimised.</summary>
    public required DiffusionLossOptions Loss { get; init; }

    /// <summary>Whether timesteps with larger losses are drawn more often.</summary>
    public bool ImportanceSampling { get; init; }

    /// <summary>What the network computes in.</summary>
    public ComputePrecision Precision { get; init; }

    /// <summary>Images in a step.</summary>
    public required int BatchSize { get; init; }

    /// <summary>Steps at the most.</summary>
    public required int MaximumSteps { get; init; }

    /// <summary>Time at the most; null for no limit.</summary>
    public TimeSpan? MaximumDuration { get; init; }

    /// <summary>The learning rate after warm-up.</summary>
    public required double LearningRate { get; init; }

    /// <summary>Steps of warm-up.</summary>
    public required int WarmupSteps { get; init; }

    /// <summary>What the learning rate does then.</summary>
    public LearningRateDecay Decay { get; init; }

    /// <summary>The optimizer's constants.</summary>
    public required AdamOptions Adam { get; init; }

    /// <summary>The share of images learned without their class.</summary>
    public double LabelDropout { get; init; }

    /// <summary>The checkpoint to write and to go on from; null for none.</summary>
    [JsonIgnore]
    public string? CheckpointPath { get; init; }

    /// <summary>Steps between checkpoints.</summary>
    [JsonIgnore]
    public int CheckpointSteps { get; init; } = 500;

    /// <summary>Decides weights, timesteps and noise.</summary>
    public required int Seed { get; init; }

    /// <summary>The learning rate of a step.</summary>
    /// <param name="step">From 1.</param>
    /// <param name="done">The share of the training that is done, in [0, 1].</param>
    public double LearningRateAt(int step, double done)
    {
        double warmup = WarmupSteps > 0 ? Math.Min(1, (double)step / WarmupSteps) : 1;
        return LearningRate * warmup * Decay switch
        {
            LearningRateDecay.Linear => 1 - done,
            LearningRateDecay.Cosine => (1 + Math.Cos(Math.PI * done)) / 2,
            _ => 1,
        };
    }
}
