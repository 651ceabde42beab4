namespace Microsoft.ML.Diffusion;

public sealed partial record UNetOptions
{
    /// <summary>
    /// Ho, Jain and Abbeel, "Denoising Diffusion Probabilistic Models", 2020, appendix B: 32x32 images (CIFAR-10).
    /// Four resolutions from 32 to 4, single-head attention at 16x16, the timestep added; 35,746,307 parameters at 3x32x32.
    /// </summary>
    public static UNetOptions Ho2020 { get; } = new()
    {
        BaseChannels = 128,
        ChannelMultipliers = [1, 2, 2, 2],
        BlocksPerResolution = 2,
        AttentionResolutions = [16],
        AttentionHeads = 1,
        Conditioning = TimestepConditioning.Add,
        Dropout = 0.1,
        NormEpsilon = 1e-6,
        CosineFirst = false,
        FrequencyShift = 1,
        AsymmetricDownsampling = true,
        Initialization = WeightInitialization.VarianceScaling,
        Recipe = new()
        {
            ImageSize = 32,
            BatchSize = 128,
            LearningRate = 2e-4,
            WarmupSteps = 5_000,
            TotalSteps = 800_000,
            EmaDecay = 0.9999,
            GradientClipNorm = 1,
            Dropout = 0.1,
            HorizontalFlip = true,
        },
    };

    /// <summary>
    /// The same paper's network for 256x256 images (CelebA-HQ, LSUN): six resolutions from 256 to 8, no dropout, batches of 64 and a learning rate of 2e-5;
    /// 113,673,219 parameters at 3x256x256.
    /// </summary>
    public static UNetOptions Ho2020Large { get; } = Ho2020 with
    {
        ChannelMultipliers = [1, 1, 2, 2, 4, 4],
        Dropout = 0,
        Recipe = Ho2020.Recipe with
        {
            ImageSize = 256,
            BatchSize = 64,
            LearningRate = 2e-5,
            TotalSteps = 500_000,
            Dropout = 0,
        },
    };

    /// <summary>
    /// Nichol and Dhariwal, "Improved Denoising Diffusion Probabilistic Models", 2021: 32x32 images (CIFAR-10).
    /// Three blocks a resolution, FiLM, four heads at 16x16 and 8x8, dropout 0.3, cosine schedule over 4,000 steps, a learned range of variances, the hybrid objective.
    /// </summary>
    public static UNetOptions ImprovedDdpm2021 { get; } = new()
    {
        BaseChannels = 128,
        ChannelMultipliers = [1, 2, 2, 2],
        BlocksPerResolution = 3,
        AttentionResolutions = [16, 8],
        AttentionHeads = 4,
        Conditioning = TimestepConditioning.ScaleShift,
        Dropout = 0.3,
        Recipe = new()
        {
            ImageSize = 32,
            BatchSize = 128,
            LearningRate = 1e-4,
            WarmupSteps = 0,
            TotalSteps = 500_000,
            EmaDecay = 0.9999,
            GradientClipNorm = null,
            Dropout = 0.3,
            HorizontalFlip = true,
            Schedule = NoiseScheduleOptions.Cosine with { Timesteps = 4_000 },
            Variance = VarianceType.LearnedRange,
            Loss = new() { Type = LossType.Hybrid },
        },
    };

    /// <summary>
    /// Rogge and Rasul, "The Annotated Diffusion Model", 2022: weight-standardised convolutions, linear attention with a one-group norm at every level,
    /// pre-norm residual attention in the bottleneck, Huber loss, 300 steps. The article trains 28x28 grey images at base 28; here base 64, sides that 4 divides.
    /// </summary>
    public static UNetOptions Annotated2022 { get; } = new()
    {
        Architecture = UNetArchitecture.Annotated,
        BaseChannels = 64,
        ChannelMultipliers = [1, 2, 4],
        AttentionResolutions = [],
        AttentionHeads = 4,
        AttentionHeadChannels = 32,
        NormGroups = 4,
        CosineFirst = false,
        FrequencyShift = 1,
        Recipe = new()
        {
            ImageSize = 32,
            BatchSize = 128,
            LearningRate = 1e-3,
            WarmupSteps = 0,
            TotalSteps = 2_800,
            EmaDecay = 0,
            GradientClipNorm = null,
            HorizontalFlip = true,
            Schedule = NoiseScheduleOptions.UnscaledLinear with { Timesteps = 300 },
            Variance = VarianceType.FixedSmall,
            Loss = new() { Type = LossType.Huber },
        },
    };

    /// <summary>
    /// A small network for a processor, with the improved paper's blocks: base 64, two blocks a resolution, FiLM, four heads at 16x16; 9.6 million parameters.
    /// The benchmarks use it.
    /// </summary>
    public static UNetOptions Compact { get; } = new()
    {
        BaseChannels = 64,
        ChannelMultipliers = [1, 2, 2, 2],
        BlocksPerResolution = 2,
        AttentionResolutions = [16],
        AttentionHeads = 4,
        Conditioning = TimestepConditioning.ScaleShift,
        Recipe = new()
        {
            ImageSize = 32,
            BatchSize = 64,
            LearningRate = 4e-4,
            WarmupSteps = 100,
            TotalSteps = 5_000,
            EmaDecay = 0.999,
            GradientClipNorm = 1,
        },
    };

    /// <summary>
    /// A network that learns small pictures on a laptop's processor in minutes: base 32, multipliers 1-2-4, one block a resolution, attention at 8x8;
    /// 2.9 million parameters. It predicts v over the cosine schedule, which stays well conditioned at every noise level and so learns in fewer steps
    /// (Salimans and Ho 2022). The sample uses it.
    /// </summary>
    public static UNetOptions Mini { get; } = new()
    {
        BaseChannels = 32,
        ChannelMultipliers = [1, 2, 4],
        BlocksPerResolution = 1,
        AttentionResolutions = [8],
        AttentionHeads = 4,
        NormGroups = 8,
        Conditioning = TimestepConditioning.ScaleShift,
        Recipe = new()
        {
            ImageSize = 32,
            BatchSize = 32,
            LearningRate = 1e-3,
            WarmupSteps = 100,
            TotalSteps = 2_000,
            EmaDecay = 0.998,
            GradientClipNorm = 1,
            Schedule = NoiseScheduleOptions.Cosine,
            Prediction = PredictionType.V,
        },
    };
}
