using Microsoft.ML.Data;

namespace Microsoft.ML.Diffusion.Tests;

[TestClass]
public sealed class DdpmTrainerTests
{
    [TestMethod]
    public void LearnsToDrawTheClassThatIsAskedFor()
    {
        var context = new MLContext(seed: 1);
        var options = TinyData.Options(steps: 200);
        options.LabelDropout = 0;
        using var model = TinyData.Fit(context, options);
        var images = TinyData.Images(context, model, TinyData.Requests(8));
        for (int i = 0; i < images.Length; i++)
        {
            double above = images[i].Take(TinyData.Side * TinyData.Side / 2).Average(), below = images[i].Skip(TinyData.Side * TinyData.Side / 2).Average();
            double bright = i % 2 == 0 ? above : below, dark = i % 2 == 0 ? below : above;
            Assert.AreEqual(230, bright, 40, $"row {i}");
            Assert.AreEqual(25, dark, 40, $"row {i}");
        }
    }

    [TestMethod]
    public void TheSeedDecidesEverything()
    {
        float[][] first = Trained(new MLContext(seed: 1), null), same = Trained(new MLContext(seed: 1), null), other = Trained(new MLContext(seed: 2), null);
        AssertEqual(first, same);
        Assert.IsFalse(first[0].SequenceEqual(other[0]), "Without a seed of its own a trainer follows the context's.");
        AssertEqual(Trained(new MLContext(seed: 1), 9), Trained(new MLContext(seed: 2), 9));

        static float[][] Trained(MLContext context, int? seed)
        {
            var options = TinyData.Options(steps: 3);
            options.Seed = seed;
            using var model = TinyData.Fit(context, options);
            return TinyData.Images(context, model, TinyData.Requests(2));
        }
    }

    [TestMethod]
    public void ACheckpointGoesOnToTheSameNumbers()
    {
        string path = Path.Combine(Path.GetTempPath(), $"{Guid.NewGuid():N}.safetensors");
        try
        {
            var context = new MLContext(seed: 1);
            var whole = TinyData.Options(steps: 12);
            using var expected = TinyData.Fit(context, whole);

            var begun = TinyData.Options(steps: 8);
            (begun.CheckpointPath, begun.CheckpointSteps) = (path, 4);
            TinyData.Fit(context, begun).Dispose();
            var seen = new List<int>();
            var resumed = TinyData.Options(steps: 12);
            (resumed.CheckpointPath, resumed.CheckpointSteps) = (path, 4);
            resumed.Progress = new Listener(p => seen.Add(p.Step));
            using var actual = TinyData.Fit(context, resumed);

            CollectionAssert.AreEqual(new[] { 9, 10, 11, 12 }, seen);
            AssertEqual(TinyData.Images(context, expected, TinyData.Requests(2)), TinyData.Images(context, actual, TinyData.Requests(2)));

            resumed.LearningRate = 1e-4;
            var error = Assert.ThrowsExactly<InvalidDataException>(() => TinyData.Fit(context, resumed));
            StringAssert.Contains(error.Message, path);
        }
        finally
        {
            File.Delete(path);
        }
    }

    [TestMethod]
    public void ReportsEveryStepAndWritesToTheLog()
    {
        var context = new MLContext(seed: 1);
        var log = new List<LoggingEventArgs>();
        context.Log += (_, e) => log.Add(e);
        var steps = new List<DdpmTrainingProgress>();
        var options = TinyData.Options(steps: 5);
        options.Progress = new Listener(steps.Add);
        TinyData.Fit(context, options).Dispose();

        CollectionAssert.AreEqual(new[] { 1, 2, 3, 4, 5 }, steps.Select(s => s.Step).ToArray());
        Assert.IsTrue(steps.All(s => s.TotalSteps == 5 && s.Loss > 0 && s.GradientNorm > 0 && s.ImagesPerSecond > 0 && s.LearningRate == 2e-3 && s.SkippedSteps == 0));
        Assert.IsTrue(steps[^1].Epoch >= 1 && steps[^1].TimeLeft == TimeSpan.Zero);
        Assert.IsTrue(log.Exists(e => e.Source.Contains("DdpmTrainer", StringComparison.Ordinal) && e.Message.Contains("loss", StringComparison.Ordinal)));
    }

    [TestMethod]
    public void WarnsOfImagesThatUseHardlyAnyOfTheRange()
    {
        Assert.IsEmpty(Warnings(255));
        var warning = Warnings(1).Single();
        StringAssert.Contains(warning, "[0, 255]");
        StringAssert.Contains(warning, "PixelMaximum");

        static List<string> Warnings(float white)
        {
            var context = new MLContext(seed: 1);
            var warnings = new List<string>();
            context.Log += (_, e) =>
            {
                if (e.Kind == Microsoft.ML.Runtime.ChannelMessageKind.Warning)
                    warnings.Add(e.Message);
            };
            var pictures = TinyData.Pictures();
            foreach (var picture in pictures)
                picture.Image = [.. picture.Image.Select(v => v / 255 * white)];
            TinyData.Fit(context, TinyData.Options(steps: 1), pictures).Dispose();
            return warnings;
        }
    }

    [TestMethod]
    public void CancellingStopsWithinAStepAndLeavesNothing()
    {
        using var cancel = new CancellationTokenSource();
        var options = TinyData.Options(steps: 1000);
        options.CancellationToken = cancel.Token;
        int last = 0;
        options.Progress = new Listener(p =>
        {
            last = p.Step;
            if (p.Step == 3)
                cancel.Cancel();
        });
        Assert.ThrowsExactly<OperationCanceledException>(() => TinyData.Fit(new MLContext(1), options));
        Assert.AreEqual(3, last);
    }

    [TestMethod]
    public void StopsAtTheTimeLimit()
    {
        var options = TinyData.Options(steps: 1_000_000);
        options.MaximumDuration = TimeSpan.FromSeconds(0.5);
        using var model = TinyData.Fit(new MLContext(1), options);
        Assert.IsTrue(model.LastTransformer.TrainedSteps is > 0 and < 1_000_000);
    }

    [TestMethod]
    public void ADivergedTrainingSkipsStepsAndThenSaysSo()
    {
        string path = Path.Combine(Path.GetTempPath(), $"{Guid.NewGuid():N}.safetensors");
        try
        {
            var options = TinyData.Options(steps: 1);
            (options.CheckpointPath, options.CheckpointSteps) = (path, 1);
            TinyData.Fit(new MLContext(1), options).Dispose();
            SpoilWeights(path);

            var steps = new List<DdpmTrainingProgress>();
            options.MaximumSteps = 100;
            options.Progress = new Listener(steps.Add);
            var error = Assert.ThrowsExactly<InvalidOperationException>(() => TinyData.Fit(new MLContext(1), options));
            StringAssert.Contains(error.Message, "LearningRate");
            Assert.AreEqual(19, steps[^1].SkippedSteps);
            Assert.IsFalse(double.IsFinite(steps[^1].GradientNorm));
        }
        finally
        {
            File.Delete(path);
        }
    }

    private static void SpoilWeights(string path)
    {
        using var scope = NewDisposeScope();
        Dictionary<string, Tensor> state;
        Dictionary<string, string> metadata;
        using (var file = SafetensorsFile.Open(path))
            (state, metadata) = (file.ReadAll(), new Dictionary<string, string>(file.Metadata));
        state["weights"].fill_(float.NaN);
        SafetensorsFile.Write(path, [.. state.Select(s => (s.Key, s.Value))], metadata);
    }

    [TestMethod]
    public void UnconditionalModelsNeedNoLabel()
    {
        var context = new MLContext(seed: 1);
        var options = TinyData.Options();
        options.LabelColumnName = null;
        using var model = context.Generative.Ddpm(options).Fit(context.Data.LoadFromEnumerable(TinyData.Pictures()));
        Assert.AreEqual(0, model.Shape.Classes);
        Assert.HasCount(3, TinyData.Images(context, model, TinyData.Requests(3)));
        Assert.ThrowsExactly<InvalidOperationException>(() => model.WithGuidance(2));
    }

    [TestMethod]
    [DataRow(VarianceType.LearnedRange, LossType.Hybrid, PredictionType.Epsilon)]
    [DataRow(VarianceType.FixedSmall, LossType.Bound, PredictionType.Epsilon)]
    [DataRow(VarianceType.FixedSmall, LossType.Huber, PredictionType.V)]
    [DataRow(VarianceType.FixedLarge, LossType.L1, PredictionType.X0)]
    public void TrainsEveryKindOfObjective(VarianceType variance, LossType loss, PredictionType prediction)
    {
        var context = new MLContext(seed: 1);
        var options = TinyData.Options(steps: 3);
        (options.Variance, options.Prediction, options.Loss) = (variance, prediction, new DiffusionLossOptions { Type = loss });
        options.ImportanceSampling = loss == LossType.Bound;
        options.Sampler = null;
        using var model = TinyData.Fit(context, options);
        var image = TinyData.Images(context, model, TinyData.Requests(1))[0];
        Assert.IsTrue(image.All(v => v is >= 0 and <= 255));
    }

    public static IEnumerable<object[]> BadOptions =>
    [
        [(DdpmTrainer.Options o) => { o.MaximumSteps = 0; }, "MaximumSteps"],
        [(DdpmTrainer.Options o) => { o.BatchSize = 0; }, "BatchSize"],
        [(DdpmTrainer.Options o) => { o.LearningRate = -1; }, "LearningRate"],
        [(DdpmTrainer.Options o) => { o.LearningRate = double.NaN; }, "LearningRate"],
        [(DdpmTrainer.Options o) => { o.EmaDecay = 1; }, "EmaDecay"],
        [(DdpmTrainer.Options o) => { o.LabelDropout = 1; }, "LabelDropout"],
        [(DdpmTrainer.Options o) => { o.PixelMinimum = 300; }, "PixelMinimum"],
        [(DdpmTrainer.Options o) => { o.ImageChannels = 2; }, "ImageChannels"],
        [(DdpmTrainer.Options o) => { o.ImageColumnName = ""; }, "ImageColumnName"],
        [(DdpmTrainer.Options o) => { o.MaximumDuration = TimeSpan.Zero; }, "MaximumDuration"],
        [(DdpmTrainer.Options o) => { o.LabelColumnName = null; o.GuidanceScale = 3; }, "GuidanceScale"],
    ];

    [TestMethod]
    [DynamicData(nameof(BadOptions))]
    public void NonsensicalOptionsAreRefusedByName(Action<DdpmTrainer.Options> spoil, string option)
    {
        var options = TinyData.Options();
        spoil(options);
        StringAssert.Contains(Assert.Throws<ArgumentException>(() => new MLContext(1).Generative.Ddpm(options)).Message, option);
    }

    [TestMethod]
    public void ColumnsAreCheckedBeforeTraining()
    {
        var context = new MLContext(1);
        var data = context.Data.LoadFromEnumerable(TinyData.Pictures());
        var options = TinyData.Options();
        options.ImageColumnName = "Picture";
        var missing = Assert.ThrowsExactly<ArgumentOutOfRangeException>(() => context.Generative.Ddpm(options).Fit(data));
        StringAssert.Contains(missing.Message, "'Picture'");
        StringAssert.Contains(missing.Message, "'Image'");
        StringAssert.Contains(Assert.ThrowsExactly<ArgumentOutOfRangeException>(() => context.Generative.Ddpm(options).GetOutputSchema(new SchemaShape([]))).Message, "'Picture'");

        var unmapped = Assert.ThrowsExactly<ArgumentOutOfRangeException>(() => context.Generative.Ddpm(TinyData.Options()).Fit(data));
        StringAssert.Contains(unmapped.Message, "MapValueToKey(\"Label\")");
    }

    [TestMethod]
    public void AnImageSizeThatTheNetworkCannotHalveNamesTheNextOnes()
    {
        var context = new MLContext(1);
        var builder = new DataViewSchema.Builder();
        builder.AddColumn("Image", new VectorDataViewType(NumberDataViewType.Single, 1, 30, 8));
        var options = TinyData.Options();
        (options.LabelColumnName, options.Network) = (null, TinyData.Network with { ChannelMultipliers = [1, 1, 1] });
        var error = Assert.Throws<ArgumentException>(() => TrainingPlan.Create(options, builder.ToSchema(), 1));
        StringAssert.Contains(error.Message, "28");
        StringAssert.Contains(error.Message, "32");
    }

    internal static void AssertEqual(float[][] expected, float[][] actual)
    {
        Assert.HasCount(expected.Length, actual);
        for (int i = 0; i < expected.Length; i++)
            CollectionAssert.AreEqual(expected[i], actual[i], $"row {i}");
    }

    internal sealed class Listener(Action<DdpmTrainingProgress> action) : IProgress<DdpmTrainingProgress>
    {
        public void Report(DdpmTrainingProgress value) => action(value);
    }
}
