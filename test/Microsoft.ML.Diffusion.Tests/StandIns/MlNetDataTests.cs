using Microsoft.ML.Data;

namespace Microsoft.ML.Diffusion.Tests.StandIns;

/// <summary>What the library relies on in ML.NET's data views; holds for the real package and for the stand-in.</summary>
[TestClass]
public class MlNetDataTests
{
    private sealed class Row
    {
        public float Value { get; set; }

        public string Name { get; set; } = "";

        [VectorType(2, 3)]
        public float[] Pixels { get; set; } = new float[6];

        [KeyType(3)]
        public uint Label { get; set; }

        [NoColumn]
        public int Ignored { get; set; }
    }

    private sealed class Number
    {
        public int Value { get; set; }
    }

    private sealed class Weighed
    {
        public float Value { get; set; }
    }

    private sealed class Named
    {
        public string Name { get; set; } = "";
    }

    private sealed class RawLabel
    {
        public uint Label { get; set; }
    }

    private static IEnumerable<Number> Numbers(int count) => Enumerable.Range(0, count).Select(value => new Number { Value = value });

    private static List<int> Values(MLContext ml, IDataView data)
        => [.. ml.Data.CreateEnumerable<Number>(data, reuseRowObject: false).Select(row => row.Value)];

    [TestMethod]
    public void LoadFromEnumerable_TakesTypesFromMembers()
    {
        IDataView data = new MLContext().Data.LoadFromEnumerable(new List<Row> { new(), new() });

        CollectionAssert.AreEquivalent(new[] { "Value", "Name", "Pixels", "Label" }, data.Schema.Select(column => column.Name).ToArray());
        Assert.AreEqual(NumberDataViewType.Single, data.Schema["Value"].Type);
        Assert.AreEqual(TextDataViewType.Instance, data.Schema["Name"].Type);
        Assert.AreEqual(new VectorDataViewType(NumberDataViewType.Single, 2, 3), data.Schema["Pixels"].Type);
        Assert.AreEqual(new KeyDataViewType(typeof(uint), 3), data.Schema["Label"].Type);
        Assert.AreEqual(2, data.GetRowCount());
        Assert.IsFalse(data.CanShuffle);
    }

    [TestMethod]
    public void Keys_CountFromZeroInObjectsAndFromOneInColumns()
    {
        var ml = new MLContext();
        IDataView data = ml.Data.LoadFromEnumerable(new uint[] { 0, 2, 3 }.Select(label => new Row { Label = label }));

        CollectionAssert.AreEqual(new uint[] { 1, 3, 0 }, data.GetColumn<uint>("Label").ToArray());
        CollectionAssert.AreEqual(new uint[] { 1, 3, 0 }, ml.Data.CreateEnumerable<RawLabel>(data, reuseRowObject: false).Select(row => row.Label).ToArray());
    }

    [TestMethod]
    public void Cursor_IsLazyAndOutOfRowsBeforeAndAfter()
    {
        int read = 0;
        IDataView data = new MLContext().Data.LoadFromEnumerable(Numbers(3).Select(row =>
        {
            read++;
            return row;
        }));
        DataViewSchema.Column column = data.Schema["Value"];
        using DataViewRowCursor cursor = data.GetRowCursor([column]);
        Assert.AreEqual(0, read);
        Assert.AreEqual(-1, cursor.Position);
        ValueGetter<int> getter = cursor.GetGetter<int>(column);
        ValueGetter<DataViewRowId> idGetter = cursor.GetIdGetter();

        Assert.IsTrue(cursor.MoveNext());
        Assert.IsTrue(cursor.MoveNext());
        int value = 0;
        DataViewRowId id = default;
        getter(ref value);
        idGetter(ref id);

        Assert.AreEqual(2, read);
        Assert.AreEqual(1, value);
        Assert.AreEqual(1, cursor.Position);
        Assert.AreEqual(new DataViewRowId(1, 0), id);
        Assert.IsTrue(cursor.MoveNext());
        Assert.IsFalse(cursor.MoveNext());
        Assert.IsFalse(cursor.MoveNext());
        Assert.AreEqual(-1, cursor.Position);
    }

    [TestMethod]
    public void Cursor_RefusesColumnsThatWereNotAskedForAndOtherTypes()
    {
        IDataView data = new MLContext().Data.LoadFromEnumerable(new[] { new Row() });
        using DataViewRowCursor cursor = data.GetRowCursor([data.Schema["Value"]]);

        Assert.IsTrue(cursor.IsColumnActive(data.Schema["Value"]));
        Assert.IsFalse(cursor.IsColumnActive(data.Schema["Name"]));
        Assert.ThrowsExactly<ArgumentOutOfRangeException>(() => cursor.GetGetter<ReadOnlyMemory<char>>(data.Schema["Name"]));
        Assert.ThrowsExactly<InvalidOperationException>(() => cursor.GetGetter<double>(data.Schema["Value"]));
    }

    [TestMethod]
    public void CreateEnumerable_ChecksColumnsBeforeTheFirstRow()
    {
        var ml = new MLContext();
        IDataView data = ml.Data.LoadFromEnumerable(Numbers(1));

        Assert.ThrowsExactly<ArgumentOutOfRangeException>(() => ml.Data.CreateEnumerable<Named>(data, reuseRowObject: false));
        Assert.AreEqual("", ml.Data.CreateEnumerable<Named>(data, reuseRowObject: false, ignoreMissingColumns: true).Single().Name);
        Assert.ThrowsExactly<InvalidOperationException>(() => ml.Data.CreateEnumerable<Row>(data, reuseRowObject: false, ignoreMissingColumns: true));
    }

    [TestMethod]
    public void CreateEnumerable_ReusesTheObjectWhenAsked()
    {
        var ml = new MLContext();
        IDataView data = ml.Data.LoadFromEnumerable(Numbers(3));

        Assert.HasCount(1, ml.Data.CreateEnumerable<Number>(data, reuseRowObject: true).Distinct().ToArray());
        Assert.HasCount(3, ml.Data.CreateEnumerable<Number>(data, reuseRowObject: false).Distinct().ToArray());
    }

    [TestMethod]
    public void NullRow_IsAnError()
    {
        var ml = new MLContext();
        IDataView data = ml.Data.LoadFromEnumerable(new Number[] { new(), null! });
        Assert.ThrowsExactly<InvalidOperationException>(() => Values(ml, data));
    }

    [TestMethod]
    public void Slices_KeepOrder()
    {
        var ml = new MLContext();
        IDataView data = ml.Data.LoadFromEnumerable(Numbers(10));

        CollectionAssert.AreEqual(new[] { 0, 1, 2 }, Values(ml, ml.Data.TakeRows(data, 3)));
        CollectionAssert.AreEqual(new[] { 8, 9 }, Values(ml, ml.Data.SkipRows(data, 8)));
        Assert.ThrowsExactly<ArgumentOutOfRangeException>(() => ml.Data.FilterRowsByColumn(data, "Value", 4, 6), "Whole numbers are not for filtering.");
        IDataView weighed = ml.Data.LoadFromEnumerable(Enumerable.Range(0, 10).Select(value => new Weighed { Value = value }));
        CollectionAssert.AreEqual(new[] { 4f, 5f }, ml.Data.FilterRowsByColumn(weighed, "Value", 4, 6).GetColumn<float>("Value").ToArray());
        Assert.ThrowsExactly<ArgumentOutOfRangeException>(() => ml.Data.TakeRows(data, 0));
    }

    [TestMethod]
    public void ShuffleRows_IsAPermutationThatItsSeedFixes()
    {
        var ml = new MLContext(seed: 1);
        IDataView data = ml.Data.LoadFromEnumerable(Numbers(200));
        List<int> first = Values(ml, ml.Data.ShuffleRows(data, seed: 7));
        List<int> again = Values(ml, ml.Data.ShuffleRows(data, seed: 7));
        List<int> other = Values(ml, ml.Data.ShuffleRows(data, seed: 8));

        CollectionAssert.AreEqual(first, again);
        CollectionAssert.AreNotEqual(first, other);
        CollectionAssert.AreEquivalent(Enumerable.Range(0, 200).ToArray(), first);
    }

    [TestMethod]
    public void TrainTestSplit_IsDisjointCompleteAndRepeatable()
    {
        var ml = new MLContext(seed: 3);
        IDataView data = ml.Data.LoadFromEnumerable(Numbers(1000));
        DataOperationsCatalog.TrainTestData split = ml.Data.TrainTestSplit(data, testFraction: 0.2);
        List<int> train = Values(ml, split.TrainSet), test = Values(ml, split.TestSet);

        CollectionAssert.AreEqual(Enumerable.Range(0, 1000).ToArray(), train.Concat(test).Order().ToArray());
        Assert.IsTrue(test.Count is > 140 and < 260, $"{test.Count} of 1000 rows at a fraction of 0.2");
        CollectionAssert.AreEqual(test, Values(ml, new MLContext(seed: 3).Data.TrainTestSplit(data, testFraction: 0.2).TestSet));
        Assert.HasCount(1, split.TrainSet.Schema);
    }

    [TestMethod]
    public void CrossValidationSplit_TestsEveryRowOnce()
    {
        var ml = new MLContext();
        IDataView data = ml.Data.LoadFromEnumerable(Numbers(300));
        List<int> tested = [.. ml.Data.CrossValidationSplit(data, numberOfFolds: 3, seed: 1).SelectMany(fold => Values(ml, fold.TestSet))];

        CollectionAssert.AreEqual(Enumerable.Range(0, 300).ToArray(), tested.Order().ToArray());
    }

    [TestMethod]
    public void Cache_ReadsItsSourceOnceAndCanShuffle()
    {
        int read = 0;
        var ml = new MLContext();
        IDataView cached = ml.Data.Cache(ml.Data.LoadFromEnumerable(Numbers(5).Select(row =>
        {
            read++;
            return row;
        })));

        CollectionAssert.AreEqual(new[] { 0, 1, 2, 3, 4 }, Values(ml, cached));
        CollectionAssert.AreEqual(new[] { 0, 1, 2, 3, 4 }, Values(ml, cached));
        Assert.AreEqual(5, read);
        Assert.IsTrue(cached.CanShuffle);
        using DataViewRowCursor shuffled = cached.GetRowCursor(cached.Schema, new Random(1));
        ValueGetter<DataViewRowId> idGetter = shuffled.GetIdGetter();
        ValueGetter<int> getter = shuffled.GetGetter<int>(cached.Schema[0]);
        while (shuffled.MoveNext())
        {
            DataViewRowId id = default;
            int value = 0;
            idGetter(ref id);
            getter(ref value);
            Assert.AreEqual((ulong)value, id.Low, "A row keeps its id in any order.");
        }
    }

    [TestMethod]
    public void Binary_RoundTripsRowsAndAnnotations()
    {
        var ml = new MLContext();
        IDataView data = ml.Data.LoadFromEnumerable(Enumerable.Range(0, 4).Select(i => new Row { Value = i, Name = $"n{i % 2}", Pixels = [i, 1, 2, 3, 4, 5] }));
        IDataView keyed = ml.Transforms.Conversion.MapValueToKey("Key", "Name").Fit(data).Transform(data);
        string path = Path.GetTempFileName();
        try
        {
            using (FileStream stream = File.Create(path))
            {
                ml.Data.SaveAsBinary(keyed, stream);
            }

            IDataView loaded = ml.Data.LoadFromBinary(path);
            Assert.AreEqual(4, loaded.GetRowCount());
            Assert.AreEqual(keyed.Schema["Pixels"].Type, loaded.Schema["Pixels"].Type);
            CollectionAssert.AreEqual(keyed.GetColumn<uint>("Key").ToArray(), loaded.GetColumn<uint>("Key").ToArray());
            CollectionAssert.AreEqual(keyed.GetColumn<float[]>("Pixels").Last(), loaded.GetColumn<float[]>("Pixels").Last());
            VBuffer<ReadOnlyMemory<char>> names = default;
            loaded.Schema["Key"].GetKeyValues(ref names);
            CollectionAssert.AreEqual(new[] { "n0", "n1" }, names.DenseValues().Select(name => name.ToString()).ToArray());
        }
        finally
        {
            File.Delete(path);
        }
    }
}
