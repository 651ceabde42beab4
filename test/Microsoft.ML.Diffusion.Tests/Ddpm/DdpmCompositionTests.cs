using Microsoft.ML.Data;

namespace Microsoft.ML.Diffusion.Tests;

/// <summary>A generated column in the hands of ML.NET's own operations.</summary>
[TestClass]
public sealed class DdpmCompositionTests
{
    private const int Steps = 2;
    private static readonly MLContext s_context = new(seed: 1);
    private static readonly TemporaryFolder s_folder = new();
    private static TransformerChain<DdpmTransformer> s_model = null!;
    private static IDataView s_requests = null!;
    private static float[][] s_images = null!;

    private sealed class Request
    {
        public string Label { get; set; } = "";

        public long Seed { get; set; }

        public float Score { get; set; }
    }

    private sealed class Answer
    {
        public long Seed { get; set; }

        [VectorType(1, TinyData.Side, TinyData.Side)]
        public float[] Image { get; set; } = [];
    }

    [ClassInitialize]
    public static void Train(TestContext _)
    {
        var options = TinyData.Options();
        options.Sampler = DiffusionSampler.Ddim(Steps);
        options.GenerationBatchSize = 3;
        s_model = TinyData.Fit(s_context, options);
        s_requests = s_context.Data.LoadFromEnumerable(Enumerable.Range(0, 7).Select(i => new Request { Label = i % 2 == 0 ? "top" : "bottom", Seed = i, Score = i }).ToList());
        s_images = TinyData.Images(s_model.Transform(s_requests));
    }

    [ClassCleanup]
    public static void Free()
    {
        s_model.Dispose();
        s_folder.Dispose();
    }

    [TestMethod]
    public void PreviewGeneratesTheRowsThatItShows()
    {
        var preview = s_model.Transform(s_requests).Preview(maxRows: 4);
        Assert.HasCount(4, preview.RowView);
        var shown = preview.ColumnView.Single(c => c.Column.Name == "Image" && !c.Column.IsHidden).Values;
        DdpmTrainerTests.AssertEqual(s_images[..4], [.. shown.Select(v => ((VBuffer<float>)v).DenseValues().ToArray())]);
    }

    [TestMethod]
    public void ACachedImageIsGeneratedOnce()
    {
        using var counted = new Counted(s_model.LastTransformer);
        var cached = s_context.Data.Cache(counted.Transform(Keyed()), "Image");
        DdpmTrainerTests.AssertEqual(s_images, TinyData.Images(cached));
        int once = counted.SampledSteps;
        DdpmTrainerTests.AssertEqual(s_images, TinyData.Images(cached));
        Assert.AreEqual(3 * Steps, once, "seven rows in batches of three");
        Assert.AreEqual(once, counted.SampledSteps);
    }

    [TestMethod]
    public void ShuffledFilteredSkippedAndTakenRowsKeepTheirImages()
    {
        var view = s_model.Transform(s_requests);
        var operations = s_context.Data;
        AssertRows(operations.TakeRows(view, 2), 0, 1);
        AssertRows(operations.SkipRows(view, 5), 5, 6);
        AssertRows(operations.FilterRowsByColumn(view, "Score", 2, 5), 2, 3, 4);
        AssertRows(s_model.Transform(operations.FilterRowsByColumn(s_requests, "Score", 2, 5)), 2, 3, 4);
        var shuffled = Answers(operations.ShuffleRows(view, seed: 3));
        CollectionAssert.AreNotEqual(Enumerable.Range(0, 7).Select(i => (long)i).ToArray(), shuffled.Select(a => a.Seed).ToArray());
        CollectionAssert.AreEquivalent(Enumerable.Range(0, 7).Select(i => (long)i).ToArray(), shuffled.Select(a => a.Seed).ToArray());
        AssertOwnImages(shuffled);

        static void AssertRows(IDataView rows, params int[] expected)
        {
            var answers = Answers(rows);
            CollectionAssert.AreEqual(expected.Select(i => (long)i).ToArray(), answers.Select(a => a.Seed).ToArray());
            AssertOwnImages(answers);
        }
    }

    [TestMethod]
    public void ABinaryFileHoldsTheImagesAndTheClassNames()
    {
        string path = s_folder["generated.idv"];
        using (var file = File.Create(path))
            s_context.Data.SaveAsBinary(s_model.Transform(s_requests), file);
        var read = s_context.Data.LoadFromBinary(path);
        DdpmTrainerTests.AssertEqual(s_images, TinyData.Images(read));
        CollectionAssert.AreEqual(new[] { "top", "bottom" }, ClassNames(read));
    }

    [TestMethod]
    public void ABuiltInEstimatorLearnsFromGeneratedImages()
    {
        var view = s_model.Transform(s_requests);
        var normalized = s_context.Transforms.NormalizeMeanVariance("Features", "Image", fixZero: false).Fit(view).Transform(view);
        var features = normalized.GetColumn<VBuffer<float>>("Features").Select(v => v.DenseValues().ToArray()).ToArray();
        for (int pixel = 0; pixel < 4; pixel++)
        {
            double[] values = [.. s_images.Select(image => (double)image[pixel])];
            double mean = values.Average(), deviation = Math.Sqrt(values.Select(v => (v - mean) * (v - mean)).Average());
            for (int row = 0; row < features.Length && deviation > 1; row++)
                Assert.AreEqual((values[row] - mean) / deviation, features[row][pixel], 1e-3, $"row {row}, pixel {pixel}");
        }
    }

    [TestMethod]
    public void InTheMiddleOfAChainItIsFittedSavedLoadedAndAskedForSingleRows()
    {
        var pipeline = s_context.Transforms.Conversion.MapValueToKey("Label")
            .Append(s_context.Generative.Ddpm(TinyData.Options()))
            .Append(s_context.Transforms.NormalizeMinMax("Scaled", "Image"))
            .Append(s_context.Transforms.Conversion.MapKeyToValue("Label"))
            .Append(s_context.Transforms.CopyColumns("Picture", "Image"));
        var pictures = s_context.Data.LoadFromEnumerable(TinyData.Pictures());
        using var model = pipeline.Fit(pictures);
        var generated = model.Transform(s_requests);
        CollectionAssert.AreEqual(new[] { "top", "bottom" }, generated.GetColumn<string>("Label").Take(2).ToArray());

        string path = s_folder["middle.zip"];
        s_context.Model.Save(model, s_requests.Schema, path);
        var elsewhere = new MLContext();
        var loaded = elsewhere.Model.Load(path, out _);
        using var owned = loaded as IDisposable;
        Assert.IsInstanceOfType<DdpmTransformer>(((IEnumerable<ITransformer>)loaded).ElementAt(1));
        var pictureOf = Column(generated, "Picture");
        DdpmTrainerTests.AssertEqual(pictureOf, Column(loaded.Transform(s_requests), "Picture"));

        using var engine = elsewhere.Model.CreatePredictionEngine<Request, Row>(loaded, new PredictionEngineOptions { OwnsTransformer = false });
        var row = engine.Predict(new Request { Label = "top", Seed = 0 });
        Assert.AreEqual("top", row.Label);
        for (int i = 0; i < row.Picture.Length; i++)
            Assert.AreEqual(pictureOf[0][i], row.Picture[i], 0.01f);
    }

    [TestMethod]
    public void FoldsAreFittedOneAfterAnother()
    {
        var pictures = s_context.Data.LoadFromEnumerable(TinyData.Pictures(12));
        var pipeline = TinyData.Pipeline(s_context, TinyData.Options(steps: 1));
        int rows = 0;
        foreach (var fold in s_context.Data.CrossValidationSplit(pictures, numberOfFolds: 2, seed: 1))
        {
            using var model = (IDisposable)pipeline.Fit(fold.TrainSet);
            rows += TinyData.Images(((ITransformer)model).Transform(fold.TestSet)).Length;
        }
        Assert.AreEqual(12, rows);
    }

    [TestMethod]
    public void NothingIsSampledForOtherColumnsSchemasCountsOrUnreadRows()
    {
        using var counted = new Counted(s_model.LastTransformer);
        var view = counted.Transform(Keyed());
        Assert.HasCount(7, view.GetColumn<long>("Seed").ToArray());
        Assert.AreEqual(7, view.GetRowCount());
        _ = s_context.Transforms.CopyColumns("Copy", "Image").Fit(view).Transform(view).Schema;
        using (var cursor = view.GetRowCursor(view.Schema))
        {
            cursor.GetGetter<VBuffer<float>>(view.Schema["Image"]);
            while (cursor.MoveNext())
            {
            }
        }
        Assert.AreEqual(0, counted.SampledSteps);
        view.GetColumn<VBuffer<float>>("Image").First();
        Assert.AreEqual(Steps, counted.SampledSteps, "one batch for the first row");
    }

    private static IDataView Keyed() => ((IEnumerable<ITransformer>)s_model).First().Transform(s_requests);

    private static List<Answer> Answers(IDataView view) => [.. s_context.Data.CreateEnumerable<Answer>(view, reuseRowObject: false)];

    private static void AssertOwnImages(List<Answer> answers)
    {
        foreach (var answer in answers)
        {
            for (int i = 0; i < answer.Image.Length; i++)
                Assert.AreEqual(s_images[answer.Seed][i], answer.Image[i], 0.01f, $"row {answer.Seed}");
        }
    }

    private static float[][] Column(IDataView view, string name) => [.. view.GetColumn<VBuffer<float>>(name).Select(v => v.DenseValues().ToArray())];

    private static string[] ClassNames(IDataView view)
    {
        VBuffer<ReadOnlyMemory<char>> names = default;
        view.Schema["Label"].GetKeyValues(ref names);
        return [.. names.DenseValues().Select(n => n.ToString())];
    }

    private sealed class Row
    {
        public string Label { get; set; } = "";

        [VectorType(1, TinyData.Side, TinyData.Side)]
        public float[] Picture { get; set; } = [];
    }

    /// <summary>A transformer over the same weights that counts the sampler's steps.</summary>
    internal sealed class Counted : IDisposable
    {
        private readonly DdpmTransformer _transformer;
        private int _steps;

        public Counted(DdpmTransformer model) => _transformer = model.WithStepCallback(_ => Interlocked.Increment(ref _steps));

        public int SampledSteps => _steps;

        public DdpmTransformer Transformer => _transformer;

        public IDataView Transform(IDataView input) => _transformer.Transform(input);

        public void Dispose() => _transformer.Dispose();
    }
}
