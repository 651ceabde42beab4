using Microsoft.ML.Data;

namespace Microsoft.ML.Diffusion.Tests;

/// <summary>Two classes of 8x8 pictures, one bright at the top, one at the bottom, and a network small enough to learn them in a second.</summary>
internal static class TinyData
{
    public const int Side = 8;

    public sealed class Picture
    {
        [VectorType(1, Side, Side)]
        public float[] Image { get; set; } = [];

        public string Label { get; set; } = "";
    }

    public sealed class Request
    {
        public string Label { get; set; } = "";

        public long Seed { get; set; }
    }

    public sealed class Generated
    {
        [VectorType(1, Side, Side)]
        public float[] Image { get; set; } = [];
    }

    public static UNetOptions Network { get; } = UNetOptions.Compact with
    {
        BaseChannels = 16,
        ChannelMultipliers = [1, 1],
        BlocksPerResolution = 1,
        AttentionResolutions = [4],
        AttentionHeads = 2,
        NormGroups = 4,
    };

    public static List<Picture> Pictures(int count = 32)
    {
        var random = new Random(3);
        return [.. Enumerable.Range(0, count).Select(i => Make(i % 2 == 0, random))];
    }

    public static List<Request> Requests(int count) =>
        [.. Enumerable.Range(0, count).Select(i => new Request { Label = i % 2 == 0 ? "top" : "bottom", Seed = 100 + i })];

    public static DdpmTrainer.Options Options(int steps = 2) => new()
    {
        LabelColumnName = "Label",
        Network = Network,
        Schedule = NoiseScheduleOptions.Cosine with { Timesteps = 50 },
        Prediction = PredictionType.V,
        MaximumSteps = steps,
        BatchSize = 8,
        LearningRate = 2e-3,
        WarmupSteps = 0,
        EmaDecay = 0.95,
        Sampler = DiffusionSampler.Ddim(4),
        Seed = 5,
    };

    public static IEstimator<ITransformer> Pipeline(MLContext context, DdpmTrainer.Options options) =>
        context.Transforms.Conversion.MapValueToKey("Label").Append(context.Generative.Ddpm(options));

    /// <summary>Fits the pipeline on the pictures; the caller disposes the chain.</summary>
    public static TransformerChain<DdpmTransformer> Fit(MLContext context, DdpmTrainer.Options options, IEnumerable<Picture>? pictures = null) =>
        context.Transforms.Conversion.MapValueToKey("Label").Append(context.Generative.Ddpm(options))
            .Fit(context.Data.LoadFromEnumerable(pictures ?? Pictures()));

    public static float[][] Images(MLContext context, ITransformer model, IEnumerable<Request> requests) =>
        Images(model.Transform(context.Data.LoadFromEnumerable(requests)));

    public static float[][] Images(IDataView view) =>
        [.. view.GetColumn<VBuffer<float>>("Image").Select(v => v.DenseValues().ToArray())];

    private static Picture Make(bool top, Random random)
    {
        var image = new float[Side * Side];
        for (int y = 0; y < Side; y++)
        {
            for (int x = 0; x < Side; x++)
                image[y * Side + x] = (top == y < Side / 2 ? 230 : 25) + random.Next(-20, 21);
        }
        return new Picture { Image = image, Label = top ? "top" : "bottom" };
    }
}
