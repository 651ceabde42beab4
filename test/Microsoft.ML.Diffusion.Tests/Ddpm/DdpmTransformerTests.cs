using Microsoft.ML.Data;

namespace Microsoft.ML.Diffusion.Tests;

[TestClass]
public sealed class DdpmTransformerTests
{
    private static MLContext s_context = null!;
    private static TransformerChain<DdpmTransformer> s_model = null!;

    [ClassInitialize]
    public static void Train(TestContext _)
    {
        s_context = new MLContext(seed: 1);
        s_model = TinyData.Fit(s_context, TinyData.Options(steps: 20));
    }

    [ClassCleanup]
    public static void Free() => s_model.Dispose();

    [TestMethod]
    public void TheSameRowGivesTheSameImageWhateverTheBatchSizeAndOrder()
    {
        var requests = TinyData.Requests(7);
        var keyed = Keyed(requests);
        var expected = TinyData.Images(s_model.LastTransformer.Transform(keyed));
        foreach (int batchSize in new[] { 1, 2, 3, 50 })
        {
            using var other = s_model.LastTransformer.WithBatchSize(batchSize);
            AssertClose(expected, TinyData.Images(other.Transform(keyed)));
        }
        var reversed = TinyData.Images(s_model.LastTransformer.Transform(Keyed([.. Enumerable.Reverse(requests)])));
        AssertClose(expected, [.. Enumerable.Reverse(reversed)]);
    }

    [TestMethod]
    public void CursorsOnSeveralThreadsGiveTheSameImages()
    {
        var view = s_model.LastTransformer.Transform(Keyed(TinyData.Requests(6)));
        var expected = TinyData.Images(view);
        Parallel.For(0, 4, _ => AssertClose(expected, TinyData.Images(view)));
        var set = view.GetRowCursorSet([view.Schema["Image"]], 4);
        Assert.AreEqual(6, set.Sum(Count));

        static int Count(DataViewRowCursor cursor)
        {
            int rows = 0;
            using (cursor)
            {
                while (cursor.MoveNext())
                    rows++;
            }
            return rows;
        }
    }

    [TestMethod]
    public void SamplersGuidanceAndSeedsChangeTheImagesAndNothingElse()
    {
        var keyed = Keyed(TinyData.Requests(2));
        var ddpm = s_model.LastTransformer;
        var plain = TinyData.Images(ddpm.Transform(keyed));
        using var solver = ddpm.WithSampler(DiffusionSampler.Ddpm(10));
        using var guided = ddpm.WithGuidance(3);
        using var seeded = ddpm.WithSeedColumn(null);
        using var reseeded = seeded.WithSeed(1);
        Assert.AreEqual(DiffusionSampler.Ddpm(10), solver.Sampler);
        Assert.AreEqual(3, guided.GuidanceScale);
        foreach (var other in new[] { solver, guided, seeded, reseeded })
            Assert.IsFalse(plain[0].SequenceEqual(TinyData.Images(other.Transform(keyed))[0]));
        AssertClose(plain, TinyData.Images(ddpm.Transform(keyed)));
    }

    [TestMethod]
    public void OtherColumnsPassThroughAndSchemasAreStable()
    {
        var keyed = Keyed(TinyData.Requests(3));
        var ddpm = s_model.LastTransformer;
        Assert.AreSame(ddpm.GetOutputSchema(keyed.Schema), ddpm.GetOutputSchema(keyed.Schema));
        var view = ddpm.Transform(keyed);
        Assert.AreSame(ddpm.GetOutputSchema(keyed.Schema), view.Schema);
        CollectionAssert.AreEqual(new long[] { 100, 101, 102 }, view.GetColumn<long>("Seed").ToArray());
        Assert.AreEqual(new VectorDataViewType(NumberDataViewType.Single, 1, TinyData.Side, TinyData.Side), view.Schema["Image"].Type);

        VBuffer<ReadOnlyMemory<char>> names = default;
        view.Schema["Label"].GetKeyValues(ref names);
        CollectionAssert.AreEqual(new[] { "top", "bottom" }, names.DenseValues().Select(n => n.ToString()).ToArray());
        Assert.AreEqual(keyed.CanShuffle, view.CanShuffle);
        Assert.AreEqual(keyed.GetRowCount(), view.GetRowCount());
    }

    [TestMethod]
    public void AMissingClassIsAnImageOfNoClassAndAnUnknownOneToo()
    {
        var images = TinyData.Images(s_context, s_model,
        [
            new TinyData.Request { Label = "sideways", Seed = 1 }, new TinyData.Request { Label = "top", Seed = 1 },
        ]);
        Assert.IsFalse(images[0].SequenceEqual(images[1]));

        var other = s_context.Data.LoadFromEnumerable(new[] { new TinyData.Request { Label = "a" }, new TinyData.Request { Label = "b" }, new TinyData.Request { Label = "c" } });
        var three = s_context.Transforms.Conversion.MapValueToKey("Label").Fit(other).Transform(other);
        StringAssert.Contains(Assert.ThrowsExactly<ArgumentOutOfRangeException>(() => s_model.LastTransformer.Transform(three)).Message, "3 classes");
    }

    [TestMethod]
    public void APredictionEngineGivesTheImageOfTheBatch()
    {
        var expected = TinyData.Images(s_context, s_model, TinyData.Requests(3));
        using var engine = s_context.Model.CreatePredictionEngine<TinyData.Request, TinyData.Generated>(s_model, new PredictionEngineOptions { OwnsTransformer = false });
        var actual = TinyData.Requests(3).Select(r => engine.Predict(r).Image).ToArray();
        AssertClose(expected, actual);
    }

    [TestMethod]
    public void WeightsLiveUntilTheLastTransformerIsDisposed()
    {
        var context = new MLContext(seed: 1);
        var chain = TinyData.Fit(context, TinyData.Options());
        var keyed = Keyed(TinyData.Requests(2));
        var other = chain.LastTransformer.WithBatchSize(1);
        var view = other.Transform(keyed);
        var expected = TinyData.Images(view);
        chain.Dispose();
        chain.LastTransformer.Dispose();
        AssertClose(expected, TinyData.Images(view));

        using (var cursor = view.GetRowCursor([view.Schema["Image"]]))
        {
            var getter = cursor.GetGetter<VBuffer<float>>(view.Schema["Image"]);
            other.Dispose();
            VBuffer<float> image = default;
            cursor.MoveNext();
            getter(ref image);
            AssertClose([expected[0]], [image.DenseValues().ToArray()]);
        }
        Assert.ThrowsExactly<ObjectDisposedException>(() => other.Transform(keyed));
        Assert.ThrowsExactly<ObjectDisposedException>(() => TinyData.Images(view));
        Assert.ThrowsExactly<ObjectDisposedException>(() => other.WithBatchSize(3));
    }

    [TestMethod]
    public void GeneratingCanBeWatchedAndCancelled()
    {
        using var cancel = new CancellationTokenSource();
        var seen = new List<int>();
        using var watched = s_model.LastTransformer.WithStepCallback(step =>
        {
            seen.Add(step.Index);
            Assert.AreEqual(4, step.Total);
            CollectionAssert.AreEqual(new long[] { 2, 1, TinyData.Side, TinyData.Side }, step.X0.shape);
            if (step.Index == 1)
                cancel.Cancel();
        });
        using var stoppable = watched.WithCancellation(cancel.Token);
        Assert.ThrowsExactly<OperationCanceledException>(() => TinyData.Images(stoppable.Transform(Keyed(TinyData.Requests(2)))));
        CollectionAssert.AreEqual(new[] { 0, 1 }, seen);
    }

    [TestMethod]
    public void ASavedChainLoadsWithItsTypeAndGivesTheSameImages()
    {
        string path = Path.Combine(Path.GetTempPath(), $"{Guid.NewGuid():N}.zip");
        try
        {
            var data = s_context.Data.LoadFromEnumerable(TinyData.Requests(4));
            s_context.Model.Save(s_model, data.Schema, path);
            var elsewhere = new MLContext();
            var loaded = elsewhere.Model.Load(path, out var schema);
            Assert.AreEqual("Label", schema["Label"].Name);
            var ddpm = (DdpmTransformer)((IEnumerable<ITransformer>)loaded).Last();
            Assert.AreEqual(s_model.LastTransformer.Sampler, ddpm.Sampler);
            Assert.AreEqual(s_model.LastTransformer.Network, ddpm.Network);
            Assert.AreEqual(20, ddpm.TrainedSteps);
            DdpmTrainerTests.AssertEqual(TinyData.Images(s_context, s_model, TinyData.Requests(4)), TinyData.Images(elsewhere, loaded, TinyData.Requests(4)));
            (loaded as IDisposable)?.Dispose();
        }
        finally
        {
            File.Delete(path);
        }
    }

    [TestMethod]
    public void GeneratingLeavesNoTensorBehind()
    {
        var keyed = Keyed(TinyData.Requests(3));
        TinyData.Images(s_model.LastTransformer.Transform(keyed));
        long before = Live();
        for (int i = 0; i < 3; i++)
            TinyData.Images(s_model.LastTransformer.Transform(keyed));
        Assert.AreEqual(before, Live());

        static long Live() => TorchSharp.DisposeScopeManager.Statistics.TensorStatistics.ThreadTotalLiveCount;
    }

    private static IDataView Keyed(IEnumerable<TinyData.Request> requests) =>
        ((IEnumerable<ITransformer>)s_model).First().Transform(s_context.Data.LoadFromEnumerable(requests));

    private static void AssertClose(float[][] expected, float[][] actual)
    {
        Assert.HasCount(expected.Length, actual);
        for (int i = 0; i < expected.Length; i++)
        {
            // Convolutions over other batch sizes may add in another order: a hundredth of a grey level of 255.
            for (int j = 0; j < expected[i].Length; j++)
                Assert.AreEqual(expected[i][j], actual[i][j], 0.01f, $"row {i}, pixel {j}");
        }
    }
}
