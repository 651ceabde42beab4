namespace Microsoft.ML.Diffusion;

/// <summary>The hyper-parameters with which a paper trained its network.</summary>
public sealed record TrainingRecipe
{
    /// <summary>Side of the paper's square images, in pixels.</summary>
    public int ImageSize { get; init; } = 32;

    /// <summary>Images a step.</summary>
    public int BatchSize { get; init; } = 128;

    /// <summary>The learning rate of Adam after warm-up.</summary>
    public double LearningRate { get; init; } = 2e-4;

    /// <summary>Steps over which the learning rate rises linearly from zero; 0: none.</summary>
    public int WarmupSteps { get; init; }

    /// <summary>Steps of the paper's full run.</summary>
    public int TotalSteps { get; init; } = 500_000;

    /// <summary>Decay of the exponential moving average of the weights, once a step.</summary>
    public double EmaDecay { get; init; } = 0.9999;

    /// <summary>The gradient's norm is scaled down to this; null: not clipped.</summary>
    public double? GradientClipNorm { get; init; } = 1.0;

    /// <summary>Dropout inside the residual blocks while training, a share in [0, 1): what <see cref="UNetOptions.Dropout"/> of the preset says too.</summary>
    public double Dropout { get; init; }

    /// <summary>Whether images are mirrored left to right at random.</summary>
    public bool HorizontalFlip { get; init; }

    /// <summary>The noise schedule.</summary>
    public NoiseScheduleOptions Schedule { get; init; } = NoiseScheduleOptions.Linear;

    /// <summary>What the network predicts.</summary>
    public PredictionType Prediction { get; init; } = PredictionType.Epsilon;

    /// <summary>The variance of the reverse steps.</summary>
    public VarianceType Variance { get; init; } = VarianceType.FixedLarge;

    /// <summary>What is minimised.</summary>
    public DiffusionLossOptions Loss { get; init; } = new();

    /// <summary>Whether timesteps with larger losses are drawn more often (Nichol and Dhariwal 2021, section 3.3).</summary>
    public bool ImportanceSampling { get; init; }
}
