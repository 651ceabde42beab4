using Microsoft.ML.Data;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Diffusion.Tests.StandIns;

/// <summary>Chains, prediction engines and the log, as the library meets them.</summary>
[TestClass]
public class MlNetChainTests
{
    private sealed class Input
    {
        public float A { get; set; }

        public float B { get; set; }

        public string Name { get; set; } = "";
    }

    private sealed class Output
    {
        public float[] Features { get; set; } = [];

        public string Name { get; set; } = "";
    }

    private sealed class OnlyA
    {
        public float A { get; set; }
    }

    /// <summary>A transformer from outside: it copies nothing, counts its disposals, and maps no single rows.</summary>
    private sealed class Outsider : ITransformer, IDisposable
    {
        public int Disposals { get; private set; }

        public bool IsRowToRowMapper => false;

        public DataViewSchema GetOutputSchema(DataViewSchema inputSchema) => inputSchema;

        public IRowToRowMapper GetRowToRowMapper(DataViewSchema inputSchema) => throw new NotSupportedException();

        public IDataView Transform(IDataView input) => input;

        void ICanSaveModel.Save(ModelSaveContext ctx) => throw new NotSupportedException("not saved");

        public void Dispose() => Disposals++;
    }

    private sealed class OutsideEstimator(Outsider transformer) : IEstimator<Outsider>
    {
        public Outsider Fit(IDataView input) => transformer;

        public SchemaShape GetOutputSchema(SchemaShape inputSchema) => inputSchema;
    }

    private static readonly Input[] _rows = [new() { A = 1, B = 2, Name = "x" }, new() { A = 3, B = 4, Name = "y" }, new() { A = 5, B = 6, Name = "x" }];

    [TestMethod]
    public void AColumnOfTheSameName_HidesTheOneBefore()
    {
        var ml = new MLContext();
        IDataView data = ml.Data.LoadFromEnumerable(_rows);
        IDataView copied = ml.Transforms.CopyColumns("A", "B").Fit(data).Transform(data);

        DataViewSchema.Column[] both = [.. copied.Schema.Where(column => column.Name == "A")];
        Assert.HasCount(2, both);
        Assert.IsTrue(both[0].IsHidden);
        Assert.IsFalse(both[1].IsHidden);
        Assert.AreEqual(both[0].Index + 1, both[1].Index);
        CollectionAssert.AreEqual(new[] { 2f, 4f, 6f }, copied.GetColumn<float>("A").ToArray());
        CollectionAssert.AreEqual(new[] { 1f, 3f, 5f }, copied.GetColumn<float>(both[0]).ToArray());
    }

    [TestMethod]
    public void Concatenate_NamesItsSlots()
    {
        var ml = new MLContext();
        IDataView data = ml.Data.LoadFromEnumerable(_rows);
        IDataView joined = ml.Transforms.Concatenate("Features", "A", "B").Fit(data).Transform(data);

        Assert.AreEqual(new VectorDataViewType(NumberDataViewType.Single, 2), joined.Schema["Features"].Type);
        CollectionAssert.AreEqual(new[] { 3f, 4f }, joined.GetColumn<float[]>("Features").ElementAt(1));
        VBuffer<ReadOnlyMemory<char>> names = default;
        joined.Schema["Features"].GetSlotNames(ref names);
        CollectionAssert.AreEqual(new[] { "A", "B" }, names.DenseValues().Select(name => name.ToString()).ToArray());
    }

    [TestMethod]
    public void SelectAndDrop_ChooseColumns()
    {
        var ml = new MLContext();
        IDataView data = ml.Data.LoadFromEnumerable(_rows);

        IDataView selected = ml.Transforms.SelectColumns("Name", "A").Fit(data).Transform(data);
        IDataView dropped = ml.Transforms.DropColumns("B").Fit(data).Transform(data);

        CollectionAssert.AreEqual(new[] { "Name", "A" }, selected.Schema.Select(column => column.Name).ToArray());
        CollectionAssert.AreEquivalent(new[] { "A", "Name" }, dropped.Schema.Select(column => column.Name).ToArray());
        Assert.ThrowsExactly<ArgumentOutOfRangeException>(() => ml.Transforms.DropColumns("C").Fit(data));
    }

    [TestMethod]
    public void ABuiltInMapping_MovesItsSourceOnAnotherThread()
    {
        var ml = new MLContext();
        var threads = new HashSet<int>();
        IDataView data = ml.Data.LoadFromEnumerable(_rows.Select(row =>
        {
            threads.Add(Environment.CurrentManagedThreadId);
            return row;
        }));
        IDataView copied = ml.Transforms.CopyColumns("C", "A").Fit(data).Transform(data);

        CollectionAssert.AreEqual(new[] { 1f, 3f, 5f }, copied.GetColumn<float>("C").ToArray());
        Assert.DoesNotContain(Environment.CurrentManagedThreadId, threads);
        threads.Clear();
        CollectionAssert.AreEqual(new[] { 1f, 3f, 5f }, copied.GetColumn<float>("A").ToArray());
        CollectionAssert.AreEqual(new[] { Environment.CurrentManagedThreadId }, threads.ToArray(), "Nothing is computed, so nothing is read ahead.");
    }

    [TestMethod]
    public void AFailureBelowABuiltInMapping_ArrivesInsideAnother()
    {
        var ml = new MLContext();
        IDataView data = ml.Data.LoadFromEnumerable(_rows.Select(row => row.A > 1 ? throw new TimeoutException("below") : row));
        IDataView copied = ml.Transforms.CopyColumns("C", "A").Fit(data).Transform(data);

        InvalidOperationException failure = Assert.ThrowsExactly<InvalidOperationException>(() => copied.GetColumn<float>("C").ToArray());
        Assert.IsInstanceOfType<TimeoutException>(failure.GetBaseException());
    }

    [TestMethod]
    public void ValuesAndKeys_MapThereAndBack()
    {
        var ml = new MLContext();
        IDataView data = ml.Data.LoadFromEnumerable(_rows);
        IDataView mapped = ml.Transforms.Conversion.MapValueToKey("Key", "Name")
            .Append(ml.Transforms.Conversion.MapKeyToValue("Back", "Key")).Fit(data).Transform(data);

        Assert.AreEqual(new KeyDataViewType(typeof(uint), 2), mapped.Schema["Key"].Type);
        Assert.IsTrue(mapped.Schema["Key"].HasKeyValues());
        CollectionAssert.AreEqual(new uint[] { 1, 2, 1 }, mapped.GetColumn<uint>("Key").ToArray());
        CollectionAssert.AreEqual(new[] { "x", "y", "x" }, mapped.GetColumn<string>("Back").ToArray());
    }

    [TestMethod]
    public void AnUnknownValue_HasTheKeyZero()
    {
        var ml = new MLContext();
        ITransformer map = ml.Transforms.Conversion.MapValueToKey("Key", "Name").Fit(ml.Data.LoadFromEnumerable(_rows));
        IDataView mapped = map.Transform(ml.Data.LoadFromEnumerable(new[] { new Input { Name = "z" }, new Input { Name = "" }, new Input { Name = "y" } }));

        CollectionAssert.AreEqual(new uint[] { 0, 0, 2 }, mapped.GetColumn<uint>("Key").ToArray());
    }

    [TestMethod]
    public void ConvertType_GoesToFloatsAndNotBackToIntegers()
    {
        var ml = new MLContext();
        IDataView data = ml.Data.LoadFromEnumerable(_rows);
        IDataView doubled = ml.Transforms.Conversion.ConvertType("D", "A", DataKind.Double).Fit(data).Transform(data);

        CollectionAssert.AreEqual(new[] { 1.0, 3.0, 5.0 }, doubled.GetColumn<double>("D").ToArray());
        Assert.Throws<ArgumentOutOfRangeException>(() => ml.Transforms.Conversion.ConvertType("I", "A", DataKind.Int32).Fit(data));
    }

    [TestMethod]
    public void NormalizeMinMax_KeepsZero()
    {
        var ml = new MLContext();
        IDataView data = ml.Data.LoadFromEnumerable(_rows);
        IDataView normalized = ml.Transforms.NormalizeMinMax("A").Fit(data).Transform(data);

        float[] values = [.. normalized.GetColumn<float>("A")];
        Assert.AreEqual(0.2f, values[0], 1e-6f);
        Assert.AreEqual(1f, values[2], 1e-6f);
    }

    [TestMethod]
    public void EstimatorChain_ChecksAllSchemasBeforeFitting()
    {
        var ml = new MLContext();
        int fitted = 0;
        EstimatorChain<ITransformer> chain = new EstimatorChain<ITransformer>()
            .Append(ml.Transforms.CopyColumns("C", "A").WithOnFitDelegate(_ => fitted++))
            .Append((IEstimator<ITransformer>)ml.Transforms.CopyColumns("D", "NotThere"));

        Assert.ThrowsExactly<ArgumentOutOfRangeException>(() => chain.Fit(ml.Data.LoadFromEnumerable(_rows)));
        Assert.AreEqual(0, fitted);
    }

    [TestMethod]
    public void TransformerChain_ListsItsMembersAndDisposesOfThemOnce()
    {
        var ml = new MLContext();
        var outsider = new Outsider();
        TransformerChain<Outsider> model = ml.Transforms.CopyColumns("C", "A").Append(new OutsideEstimator(outsider)).Fit(ml.Data.LoadFromEnumerable(_rows));

        Assert.AreSame(outsider, model.LastTransformer);
        Assert.HasCount(2, model.ToArray());
        Assert.IsFalse(((ITransformer)model).IsRowToRowMapper);
        model.Dispose();
        model.Dispose();
        Assert.AreEqual(1, outsider.Disposals);
    }

    [TestMethod]
    public void AppendCacheCheckpoint_FeedsTheNextEstimatorFromMemory()
    {
        int read = 0;
        var ml = new MLContext();
        IDataView data = ml.Data.LoadFromEnumerable(_rows.Select(row =>
        {
            read++;
            return row;
        }));
        ml.Transforms.CopyColumns("C", "A").AppendCacheCheckpoint(ml)
            .Append(ml.Transforms.NormalizeMinMax("D", "C")).Append(ml.Transforms.NormalizeMinMax("E", "C")).Fit(data);

        Assert.AreEqual(_rows.Length, read);
    }

    [TestMethod]
    public void PredictionEngine_PredictsAndOwnsTheModelUnlessTold()
    {
        var ml = new MLContext();
        var model = ml.Transforms.Concatenate("Features", "A", "B").Fit(ml.Data.LoadFromEnumerable(_rows));
        using PredictionEngine<Input, Output> engine = ml.Model.CreatePredictionEngine<Input, Output>(model);
        Output output = engine.Predict(new Input { A = 7, B = 8, Name = "q" });

        CollectionAssert.AreEqual(new[] { 7f, 8f }, output.Features);
        Assert.AreEqual("q", output.Name);
        Assert.IsNotNull(engine.OutputSchema.GetColumnOrNull("Features"));
    }

    [TestMethod]
    public void PredictionEngine_NeedsARowToRowMapperAndItsInputs()
    {
        var ml = new MLContext();
        Assert.ThrowsExactly<ArgumentOutOfRangeException>(() => ml.Model.CreatePredictionEngine<Input, Output>(new Outsider()));
        var model = ml.Transforms.Concatenate("Features", "A", "B").Fit(ml.Data.LoadFromEnumerable(_rows));
        Assert.ThrowsExactly<ArgumentOutOfRangeException>(() => ml.Model.CreatePredictionEngine<OnlyA, Output>(model));
    }

    [TestMethod]
    public void Log_NamesHostAndChannelAndHearsNoProgress()
    {
        var ml = new MLContext();
        var heard = new List<LoggingEventArgs>();
        ml.Log += (_, message) => heard.Add(message);
        IHost host = ((IHostEnvironment)ml).Register("Ddpm");
        using (IProgressChannel progress = host.StartProgressChannel("Training"))
        {
            progress.SetHeader(new ProgressHeader(["Loss"], ["steps"]), entry => entry.SetProgress(0, 1));
            progress.Checkpoint(0.5, 1);
        }

        Assert.IsEmpty(heard);
        using (IChannel channel = host.Start("Training"))
        {
            channel.Info(MessageSensitivity.None, "step {0}", 5);
        }

        LoggingEventArgs info = heard.Single(message => message.Kind == ChannelMessageKind.Info);
        Assert.AreEqual("Ddpm; Training", info.Source);
        Assert.AreEqual("step 5", info.RawMessage);
        Assert.AreEqual("[Source=Ddpm; Training, Kind=Info] step 5", info.Message);
        Assert.AreEqual("Channel started", heard[0].RawMessage);
    }

    [TestMethod]
    public void HostRand_FollowsTheContextsSeed()
    {
        static int[] Draw(int? seed)
        {
            Random random = ((IHostEnvironment)new MLContext(seed)).Register("X").Rand;
            return [random.Next(), random.Next(), random.Next()];
        }

        CollectionAssert.AreEqual(Draw(5), Draw(5));
        CollectionAssert.AreNotEqual(Draw(5), Draw(6));
    }
}
