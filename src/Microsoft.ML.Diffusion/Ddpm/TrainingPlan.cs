namespace Microsoft.ML.Diffusion;

/// <summary>What the options mean for the training data at hand: every default filled in, every contradiction refused.</summary>
/// <param name="Info">The model to be.</param>
/// <param name="Settings">The training.</param>
/// <param name="LabelColumnName">The label column; null for none.</param>
/// <param name="HorizontalFlip">Whether images are mirrored by chance.</param>
/// <param name="DataSeed">Decides the order of the rows.</param>
internal sealed record TrainingPlan(DdpmModelInfo Info, TrainingSettings Settings, string? LabelColumnName, bool HorizontalFlip, int DataSeed)
{
    /// <summary>Makes the plan.</summary>
    /// <param name="options">Valid options.</param>
    /// <param name="schema">The training data's schema.</param>
    /// <param name="seed">Decides all that is random.</param>
    /// <exception cref="ArgumentOutOfRangeException">A column is missing or has the wrong type.</exception>
    /// <exception cref="ArgumentException">The options do not fit one another or the images.</exception>
    public static TrainingPlan Create(DdpmTrainer.Options options, DataViewSchema schema, int seed)
    {
        var image = Column(schema, "image", options.ImageColumnName);
        var format = ImageFormat.FromColumn(image, options.ImageChannels, options.PixelLayout, options.PixelMinimum, options.PixelMaximum);
        int classes = options.LabelColumnName is { } label ? IntegerColumn.CheckLabel(Column(schema, "label", label)) : 0;

        var recipe = options.Network.Recipe;
        var schedule = options.Schedule ?? recipe.Schedule;
        var prediction = options.Prediction ?? recipe.Prediction;
        var variance = options.Variance ?? recipe.Variance;
        var shape = new UNetShape(format.Channels, format.Height, format.Width, classes, variance is VarianceType.LearnedRange or VarianceType.Learned);
        // Refuses before the first row is read what the network or the process would refuse later.
        options.Network.CountParameters(shape);
        schedule.Build().EnsureSupports(prediction);

        var seeds = new Random(seed);
        var info = new DdpmModelInfo
        {
            Network = options.Network,
            Shape = shape,
            Schedule = schedule,
            Prediction = prediction,
            Variance = variance,
            Image = format,
            ImageColumnName = options.ImageColumnName,
            LabelColumnName = options.LabelColumnName,
            Generation = new GenerationSettings
            {
                OutputColumnName = options.OutputColumnName ?? options.ImageColumnName,
                SeedColumnName = options.SeedColumnName,
                BatchSize = options.GenerationBatchSize,
                Sampler = options.Sampler ?? DefaultSampler(schedule.Timesteps, prediction, variance),
                GuidanceScale = options.GuidanceScale,
                Precision = options.Precision,
            },
        };
        var settings = new TrainingSettings
        {
            Network = options.Network,
            Shape = shape,
            Schedule = schedule,
            Prediction = prediction,
            Variance = variance,
            Loss = options.Loss ?? recipe.Loss,
            ImportanceSampling = options.ImportanceSampling ?? recipe.ImportanceSampling,
            Precision = options.Precision,
            BatchSize = options.BatchSize ?? recipe.BatchSize,
            MaximumSteps = options.MaximumSteps,
            MaximumDuration = options.MaximumDuration,
            LearningRate = options.LearningRate ?? recipe.LearningRate,
            WarmupSteps = options.WarmupSteps ?? recipe.WarmupSteps,
            Decay = options.LearningRateDecay,
            Adam = new AdamOptions
            {
                WeightDecay = options.WeightDecay,
                ClipNorm = (options.GradientClipNorm ?? recipe.GradientClipNorm) is { } norm and > 0 ? norm : null,
                EmaDecay = options.EmaDecay ?? recipe.EmaDecay,
            },
            LabelDropout = classes > 0 ? options.LabelDropout : 0,
            CheckpointPath = options.CheckpointPath,
            CheckpointSteps = options.CheckpointSteps,
            Seed = seeds.Next(),
        };
        return new TrainingPlan(info, settings, options.LabelColumnName, options.HorizontalFlip ?? recipe.HorizontalFlip, seeds.Next());
    }

    /// <summary>What to read from the training data.</summary>
    public TrainingRowsOptions Rows(IDataView data) =>
        new(data, Info.ImageColumnName, Info.Image, LabelColumnName, Info.Shape.Classes, HorizontalFlip, DataSeed);

    /// <summary>The exception for a column that is not there.</summary>
    public static ArgumentOutOfRangeException Missing(string role, string name, IEnumerable<string> columns) =>
        new(name, $"There is no column '{name}' to be the {role} column; the data has {string.Join(", ", columns.Select(c => $"'{c}'"))}. "
            + $"Name the {role} column in the trainer's options.");

    private static DataViewSchema.Column Column(DataViewSchema schema, string role, string name) =>
        schema.GetColumnOrNull(name) ?? throw Missing(role, name, schema.Where(c => !c.IsHidden).Select(c => c.Name));

    // A learned variance is made for ancestral steps; otherwise the solver that needs the fewest, where it applies.
    private static DiffusionSampler DefaultSampler(int timesteps, PredictionType prediction, VarianceType variance)
    {
        if (variance is VarianceType.LearnedRange or VarianceType.Learned)
            return DiffusionSampler.Ddpm(Math.Min(100, timesteps));
        return prediction == PredictionType.PreviousX || timesteps < 100
            ? DiffusionSampler.Ddim(Math.Min(50, timesteps))
            : DiffusionSampler.DpmSolverPlusPlus(steps: 20);
    }
}
