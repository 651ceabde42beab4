namespace Microsoft.ML.Diffusion;

public sealed partial class DdpmTrainer
{
    /// <summary>
    /// Options of the <see cref="DdpmTrainer"/>. What is left null follows the recipe of <see cref="Network"/>, the hyper-parameters of the cited paper.
    /// </summary>
    public sealed class Options
    {
        /// <summary>The column with the images to learn from: MLImage of one size, or a vector of Single, Double or Byte with known dimensions.</summary>
        public string ImageColumnName = DefaultImageColumnName;

        /// <summary>A key column with each image's class, which makes the model class-conditional; null leaves it unconditional. A missing key counts as no class.</summary>
        public string? LabelColumnName;

        /// <summary>The column that the trained transformer writes; null for <see cref="ImageColumnName"/>.</summary>
        public string? OutputColumnName;

        /// <summary>A column of whole numbers from which, where the input has it, the trained transformer takes each row's seed; null to take the row's id always.</summary>
        public string? SeedColumnName = "Seed";

        /// <summary>The value of a vector column that means black. ML.NET's <c>ExtractPixels</c> gives 0 … 255.</summary>
        public double PixelMinimum;

        /// <summary>The value of a vector column that means white.</summary>
        public double PixelMaximum = 255;

        /// <summary>How a vector column orders its pixels.</summary>
        public PixelLayout PixelLayout = PixelLayout.Auto;

        /// <summary>Channels taken from an MLImage column: 1 (grey), 3 (colour) or 4 (colour and alpha).</summary>
        public int ImageChannels = 3;

        /// <summary>The network; a preset, or one changed with <c>with</c>.</summary>
        public UNetOptions Network = UNetOptions.Compact;

        /// <summary>Optimizer steps at the most.</summary>
        public int MaximumSteps = 5_000;

        /// <summary>Time to train at the most; null for no limit. What is learned then depends on the machine's speed.</summary>
        public TimeSpan? MaximumDuration;

        /// <summary>What the network computes in, learning and then generating; weights and their averages are float32 always.</summary>
        public ComputePrecision Precision = ComputePrecision.Automatic;

        /// <summary>Images in each step.</summary>
        public int? BatchSize;

        /// <summary>Adam's learning rate after its warm-up.</summary>
        public double? LearningRate;

        /// <summary>Steps over which the learning rate rises evenly from zero.</summary>
        public int? WarmupSteps;

        /// <summary>What the learning rate does after the warm-up.</summary>
        public LearningRateDecay LearningRateDecay = LearningRateDecay.None;

        /// <summary>Decoupled weight decay (AdamW).</summary>
        public double WeightDecay;

        /// <summary>Decay of the weights' exponential moving average, in [0, 1); the average is what the model keeps. It warms up over the first steps.</summary>
        public double? EmaDecay;

        /// <summary>The largest norm of a step's gradient; 0 for no limit.</summary>
        public double? GradientClipNorm;

        /// <summary>The noise schedule.</summary>
        public NoiseScheduleOptions? Schedule;

        /// <summary>What the network predicts.</summary>
        public PredictionType? Prediction;

        /// <summary>The variance of the reverse steps.</summary>
        public VarianceType? Variance;

        /// <summary>What is minimised.</summary>
        public DiffusionLossOptions? Loss;

        /// <summary>Whether timesteps with larger losses are drawn more often (Nichol and Dhariwal 2021, section 3.3); for losses that are the bound.</summary>
        public bool? ImportanceSampling;

        /// <summary>The share of images that are learned without their class, for classifier-free guidance (Ho and Salimans 2022). Only with a label column.</summary>
        public double LabelDropout = 0.1;

        /// <summary>Whether every second image, by chance, is mirrored left to right.</summary>
        public bool? HorizontalFlip;

        /// <summary>The seed of weights, data order and noise; null to draw one from the MLContext, whose own seed then decides.</summary>
        public int? Seed;

        /// <summary>
        /// A file to which the training's state is written every <see cref="CheckpointSteps"/> steps, and from which a <c>Fit</c> with the same options goes on
        /// where it exists: to the numbers that an uninterrupted training would have given. Null for none. Delete it to begin anew.
        /// </summary>
        public string? CheckpointPath;

        /// <summary>Steps between two checkpoints.</summary>
        public int CheckpointSteps = 500;

        /// <summary>
        /// The sampler that the trained transformer starts with; <c>WithSampler</c> changes it. Null for DPM-Solver++ in 20 steps, or ancestral sampling in 100 where
        /// the variance is learned, or DDIM where the process is short.
        /// </summary>
        public DiffusionSampler? Sampler;

        /// <summary>
        /// The guidance scale that the trained transformer starts with: 1 follows the class as learned, more exaggerates it, 0 ignores it. Only with a label column.
        /// </summary>
        public double GuidanceScale = 1;

        /// <summary>Images that the trained transformer generates together.</summary>
        public int GenerationBatchSize = 16;

        /// <summary>Told of every step, on the thread that trains.</summary>
        public IProgress<DdpmTrainingProgress>? Progress;

        /// <summary>Stops the training within a step; <c>Fit</c> then throws <see cref="OperationCanceledException"/>.</summary>
        public CancellationToken CancellationToken;

        /// <summary>Checks each option by itself.</summary>
        /// <exception cref="ArgumentException">An option is missing or nonsensical; the message names it.</exception>
        internal void Validate()
        {
            Require(!string.IsNullOrEmpty(ImageColumnName), nameof(ImageColumnName), ImageColumnName, "name the image column");
            Require(LabelColumnName != "", nameof(LabelColumnName), LabelColumnName, "name a key column, or null for none");
            Require(OutputColumnName != "", nameof(OutputColumnName), OutputColumnName, "name a column, or null for the image column's name");
            Require(PixelMinimum < PixelMaximum && double.IsFinite(PixelMinimum) && double.IsFinite(PixelMaximum),
                nameof(PixelMinimum), PixelMinimum, $"it has to be below {nameof(PixelMaximum)}, which is {PixelMaximum}");
            Require(Enum.IsDefined(PixelLayout), nameof(PixelLayout), PixelLayout, "no such layout");
            Require(ImageChannels is 1 or 3 or 4, nameof(ImageChannels), ImageChannels, "1 (grey), 3 (colour) or 4 (colour and alpha)");
            Require(Network is not null, nameof(Network), null, "choose a preset, such as UNetOptions.Compact");
            Require(MaximumSteps > 0, nameof(MaximumSteps), MaximumSteps, "at least 1");
            Require(MaximumDuration is null || MaximumDuration > TimeSpan.Zero, nameof(MaximumDuration), MaximumDuration, "above zero, or null for no limit");
            Require(Enum.IsDefined(Precision), nameof(Precision), Precision, "no such precision");
            Require(BatchSize is null or > 0, nameof(BatchSize), BatchSize, "at least 1");
            Require(LearningRate is null or (> 0 and < 1), nameof(LearningRate), LearningRate, "above 0 and below 1; 2e-4 is usual");
            Require(WarmupSteps is null or >= 0, nameof(WarmupSteps), WarmupSteps, "0 or more");
            Require(Enum.IsDefined(LearningRateDecay), nameof(LearningRateDecay), LearningRateDecay, "no such decay");
            Require(WeightDecay is >= 0 and < 1, nameof(WeightDecay), WeightDecay, "in [0, 1)");
            Require(EmaDecay is null or (>= 0 and < 1), nameof(EmaDecay), EmaDecay, "in [0, 1); 0.999 or 0.9999 are usual");
            Require(GradientClipNorm is null or (>= 0 and < double.PositiveInfinity), nameof(GradientClipNorm), GradientClipNorm, "0 for no limit, or above; 1 is usual");
            Require(LabelDropout is >= 0 and < 1, nameof(LabelDropout), LabelDropout, "in [0, 1); 0.1 is usual");
            Require(double.IsFinite(GuidanceScale) && GuidanceScale >= 0, nameof(GuidanceScale), GuidanceScale, "0 or more");
            Require(CheckpointPath != "", nameof(CheckpointPath), CheckpointPath, "name a file, or null for none");
            Require(CheckpointSteps > 0, nameof(CheckpointSteps), CheckpointSteps, "at least 1");
            Require(GenerationBatchSize > 0, nameof(GenerationBatchSize), GenerationBatchSize, "at least 1");
            if (LabelColumnName is null && GuidanceScale != 1)
                throw new ArgumentException($"Options.{nameof(GuidanceScale)} is {GuidanceScale}, but there is no {nameof(LabelColumnName)}: only a class-conditional model can be guided.");
        }

        /// <summary>A copy, so that what the caller changes later changes no trainer.</summary>
        internal Options Clone() => (Options)MemberwiseClone();

        private static void Require(bool holds, string option, object? value, string advice)
        {
            if (!holds)
                throw new ArgumentException($"{nameof(DdpmTrainer)}.Options.{option} is {value ?? "null"}: {advice}.", option);
        }
    }
}
