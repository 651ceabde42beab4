using Microsoft.ML.Data;

namespace Microsoft.ML.Diffusion.Tests;

/// <summary>The generated column with a generator that only writes down what it was asked for.</summary>
[TestClass]
public sealed class GeneratedDataViewTests
{
    private sealed class Request
    {
        [KeyType(9)]
        public uint Label { get; set; }

        public long Seed { get; set; }

        public string Note { get; set; } = "";
    }

    private sealed class Answer
    {
        public uint Label { get; set; }

        public string Note { get; set; } = "";

        [VectorType(1, 1, 2)]
        public float[] Image { get; set; } = [];
    }

    private sealed class Scribe : IImageGenerator
    {
        public List<(long Label, long Seed)[]> Batches { get; } = [];

        public int Open { get; private set; }

        public IImageGenerator Lease()
        {
            Open++;
            return this;
        }

        public void Generate(ReadOnlySpan<long> labels, ReadOnlySpan<long> seeds, Span<float> images)
        {
            var batch = new (long, long)[seeds.Length];
            for (int i = 0; i < batch.Length; i++)
            {
                batch[i] = (labels[i], seeds[i]);
                images[2 * i] = labels[i] / 10f;
                images[2 * i + 1] = seeds[i] % 100 / 100f;
            }
            Batches.Add(batch);
        }

        public void Dispose() => Open--;
    }

    private static readonly MLContext Context = new(1);

    [TestMethod]
    public void EachRowGetsTheImageOfItsOwnLabelAndSeed()
    {
        foreach (int batchSize in new[] { 1, 3, 4, 100 })
        {
            var (view, scribe) = View(10, batchSize);
            var answers = Context.Data.CreateEnumerable<Answer>(view, reuseRowObject: false).ToList();
            Assert.HasCount(10, answers);
            for (int i = 0; i < answers.Count; i++)
            {
                Assert.AreEqual($"row {i}", answers[i].Note);
                // Objects give keys from 0 and get them from 1.
                Assert.AreEqual((answers[i].Label - 1) / 10f, answers[i].Image[0], 1e-6f);
                Assert.AreEqual(i / 100f, answers[i].Image[1], 1e-6f);
            }
            Assert.HasCount((10 + batchSize - 1) / batchSize, scribe.Batches);
            Assert.AreEqual(0, scribe.Open, "cursors give the generator back");
        }
    }

    [TestMethod]
    public void NothingIsGeneratedForColumnsAndRowsThatNobodyAsksFor()
    {
        var (view, scribe) = View(20, 4);
        using (var cursor = view.GetRowCursor([view.Schema["Note"]]))
        {
            while (cursor.MoveNext())
            {
            }
            Assert.IsFalse(cursor.IsColumnActive(view.Schema["Image"]));
        }
        Assert.IsEmpty(scribe.Batches);

        using (var cursor = view.GetRowCursor([view.Schema["Image"]]))
        {
            var getter = cursor.GetGetter<VBuffer<float>>(view.Schema["Image"]);
            VBuffer<float> image = default;
            for (int row = 0; row < 10; row++)
                cursor.MoveNext();
            getter(ref image);
            getter(ref image);
            Assert.AreEqual(0.09f, image.GetItemOrDefault(1), 1e-6f);
        }
        Assert.HasCount(1, scribe.Batches, "one batch, from the row that was asked for");
        CollectionAssert.AreEqual(new long[] { 9, 10, 11, 12 }, scribe.Batches[0].Select(r => r.Seed).ToArray());
    }

    [TestMethod]
    public void AShuffledCursorGivesEachRowTheSameImage()
    {
        var (view, _) = View(Context.Data.Cache(Context.Data.LoadFromEnumerable(Requests(30))), Column(), new Scribe());
        Assert.IsTrue(view.CanShuffle);
        using var cursor = view.GetRowCursor(view.Schema, new Random(5));
        var note = cursor.GetGetter<ReadOnlyMemory<char>>(view.Schema["Note"]);
        var getter = cursor.GetGetter<VBuffer<float>>(view.Schema["Image"]);
        ReadOnlyMemory<char> text = default;
        VBuffer<float> image = default;
        var order = new List<int>();
        while (cursor.MoveNext())
        {
            note(ref text);
            getter(ref image);
            int row = int.Parse(text.ToString()[4..]);
            order.Add(row);
            Assert.AreEqual(row / 100f, image.GetItemOrDefault(1), 1e-6f);
        }
        CollectionAssert.AreEquivalent(Enumerable.Range(0, 30).ToArray(), order);
        CollectionAssert.AreNotEqual(Enumerable.Range(0, 30).ToArray(), order);
    }

    [TestMethod]
    public void WithoutASeedColumnTheRowIdDecides()
    {
        var (plain, first) = View(6, 4, seedColumn: null);
        var (other, second) = View(6, 4, seedColumn: null, seed: 99);
        Drain(plain);
        Drain(Context.Data.SkipRows(plain, 2));
        Drain(other);
        var seeds = first.Batches.Take(2).SelectMany(b => b.Select(r => r.Seed)).ToArray();
        Assert.AreEqual(6, seeds.Distinct().Count());
        CollectionAssert.IsSubsetOf(first.Batches.Skip(2).SelectMany(b => b.Select(r => r.Seed)).ToArray(), seeds, "skipping rows changes no seed");
        CollectionAssert.AreNotEqual(seeds, second.Batches.SelectMany(b => b.Select(r => r.Seed)).ToArray());
    }

    [TestMethod]
    public void ColumnsAreCheckedWhenTheSchemaIsMade()
    {
        var data = Context.Data.LoadFromEnumerable(Requests(1));
        StringAssert.Contains(Refusal(data, Column() with { LabelColumnName = "Class" }), "no column 'Class'");
        StringAssert.Contains(Refusal(data, Column() with { LabelColumnName = "Note" }), "MapValueToKey(\"Note\")");
        StringAssert.Contains(Refusal(data, Column() with { Classes = 5 }), "has 9 classes; the model was trained on 5");
        StringAssert.Contains(Refusal(data, Column() with { SeedColumnName = "Note" }), "Seed column 'Note'");

        static string Refusal(IDataView data, GeneratedColumn column) =>
            Assert.ThrowsExactly<ArgumentOutOfRangeException>(() => column.AddTo(data.Schema)).Message;
    }

    [TestMethod]
    public void AnInputThatCannotBeReadTwiceIsNoticed()
    {
        int order = 0;
        IEnumerable<Request> Unsteady() => order++ == 0 ? Requests(4) : Requests(2);
        var (view, _) = View(Context.Data.LoadFromEnumerable(Again(Unsteady)), Column() with { BatchSize = 2 }, new Scribe());
        var error = Assert.ThrowsExactly<InvalidOperationException>(() => Drain(view));
        StringAssert.Contains(error.Message, "Cache");

        static IEnumerable<Request> Again(Func<IEnumerable<Request>> source)
        {
            foreach (var request in source())
                yield return request;
        }
    }

    private static GeneratedColumn Column() => new(
        "Image", new ImageFormat(ImageItem.Single, 1, 1, 2, false, false, -1, 1), "Label", 9, "Seed", 0, 4);

    private static List<Request> Requests(int count) =>
        [.. Enumerable.Range(0, count).Select(i => new Request { Label = (uint)(i % 9), Seed = i, Note = $"row {i}" })];

    private static (IDataView View, Scribe Scribe) View(int rows, int batchSize, string? seedColumn = "Seed", int seed = 0) =>
        View(Context.Data.LoadFromEnumerable(Requests(rows)), Column() with { BatchSize = batchSize, SeedColumnName = seedColumn, Seed = seed }, new Scribe());

    private static (IDataView View, Scribe Scribe) View(IDataView input, GeneratedColumn column, Scribe scribe) =>
        (new GeneratedDataView(input, column.AddTo(input.Schema), column, scribe.Lease), scribe);

    private static void Drain(IDataView view)
    {
        using var cursor = view.GetRowCursor([view.Schema["Image"]]);
        var getter = cursor.GetGetter<VBuffer<float>>(view.Schema["Image"]);
        VBuffer<float> image = default;
        while (cursor.MoveNext())
            getter(ref image);
    }
}
