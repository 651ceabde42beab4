namespace Microsoft.ML;

public sealed class DataOperationsCatalog : IInternalCatalog
{
    private readonly IHostEnvironment _env;

    internal DataOperationsCatalog(IHostEnvironment env) => _env = env;

    IHostEnvironment IInternalCatalog.Environment => _env;

    public struct TrainTestData
    {
        public readonly IDataView TrainSet;
        public readonly IDataView TestSet;

        internal TrainTestData(IDataView trainSet, IDataView testSet)
        {
            TrainSet = trainSet;
            TestSet = testSet;
        }
    }

    public IDataView LoadFromEnumerable<TRow>(IEnumerable<TRow> data, SchemaDefinition schemaDefinition = null)
        where TRow : class
    {
        Contracts.CheckValue(data, nameof(data));
        return new EnumerableDataView<TRow>(data, RowLayout.Create(typeof(TRow), schemaDefinition, SchemaDefinition.Direction.Read));
    }

    public IEnumerable<TRow> CreateEnumerable<TRow>(IDataView data, bool reuseRowObject, bool ignoreMissingColumns = false,
        SchemaDefinition schemaDefinition = null)
        where TRow : class, new()
    {
        Contracts.CheckValue(data, nameof(data));
        return Enumerate(data, new RowReader<TRow>(data.Schema, ignoreMissingColumns, schemaDefinition), reuseRowObject);
    }

    private static IEnumerable<TRow> Enumerate<TRow>(IDataView data, RowReader<TRow> reader, bool reuseRowObject)
        where TRow : class, new()
    {
        using DataViewRowCursor cursor = data.GetRowCursor(reader.Dependencies(data.Schema));
        Action<TRow> fill = reader.Bind(cursor);
        TRow row = null;
        while (cursor.MoveNext())
        {
            if (!reuseRowObject || row == null)
                row = new TRow();
            fill(row);
            yield return row;
        }
    }

    public IDataView Cache(IDataView input, params string[] columnsToPrefetch)
    {
        Contracts.CheckValue(input, nameof(input));
        foreach (string name in columnsToPrefetch ?? [])
        {
            DataViewSchema.Column column = input.Schema.GetColumnOrNull(name) ?? throw Contracts.ExceptSchemaMismatch(nameof(columnsToPrefetch), "prefetch", name);
            Contracts.Check(CacheDataView.IsCacheable(column.Type), $"Asked to prefetch column '{name}' into cache, but it is of unhandled type '{column.Type}'");
        }
        return new CacheDataView(input);
    }

    public IDataView FilterRowsByColumn(IDataView input, string columnName, double lowerBound = double.NegativeInfinity,
        double upperBound = double.PositiveInfinity)
    {
        Contracts.CheckValue(input, nameof(input));
        Contracts.CheckNonEmpty(columnName, nameof(columnName));
        Contracts.CheckParam(lowerBound < upperBound, nameof(upperBound), "Must be less than lowerBound");
        DataViewType type = input.Schema[columnName].Type;
        if (type is not NumberDataViewType)
            throw Contracts.ExceptSchemaMismatch(nameof(columnName), "filter", columnName, "number", type.ToString());
        if (type != NumberDataViewType.Single && type != NumberDataViewType.Double)
            throw Contracts.ExceptParam("Column", $"Column '{columnName}' does not have compatible type");
        return FilteredDataView.Range(input, columnName, lowerBound, upperBound);
    }

    public IDataView ShuffleRows(IDataView input, int? seed = null, int shufflePoolSize = 1000, bool shuffleSource = true)
    {
        Contracts.CheckValue(input, nameof(input));
        Contracts.CheckParam(shufflePoolSize > 0, nameof(shufflePoolSize), "Must be positive");
        Random rand = seed.HasValue ? new TauswortheHybrid(seed.Value) : new TauswortheHybrid(((IHost)_env).Rand);
        return new ShuffledDataView(CacheDataView.CacheablePart(input), rand.Next(), shufflePoolSize, shuffleSource);
    }

    public IDataView SkipRows(IDataView input, long count)
    {
        Contracts.CheckValue(input, nameof(input));
        Contracts.CheckParam(count > 0, nameof(count), "Must be greater than zero.");
        return FilteredDataView.Slice(input, count, long.MaxValue);
    }

    public IDataView TakeRows(IDataView input, long count)
    {
        Contracts.CheckValue(input, nameof(input));
        Contracts.CheckParam(count > 0, nameof(count), "Must be greater than zero.");
        return FilteredDataView.Slice(input, 0, count);
    }

    public TrainTestData TrainTestSplit(IDataView data, double testFraction = 0.1, string samplingKeyColumnName = null, int? seed = null)
    {
        Contracts.CheckValue(data, nameof(data));
        Contracts.CheckParam(testFraction is > 0 and < 1, nameof(testFraction), "Must be between 0 and 1 exclusive");
        return Split(data, samplingKeyColumnName, seed, value => value >= 0 && value < testFraction);
    }

    public IReadOnlyList<TrainTestData> CrossValidationSplit(IDataView data, int numberOfFolds = 5, string samplingKeyColumnName = null, int? seed = null)
    {
        Contracts.CheckValue(data, nameof(data));
        Contracts.CheckParam(numberOfFolds > 1, nameof(numberOfFolds), "Must be more than 1");
        return [.. Enumerable.Range(0, numberOfFolds).Select(fold => Split(data, samplingKeyColumnName, seed,
            value => value >= (double)fold / numberOfFolds && value <= (double)(fold + 1) / numberOfFolds))];
    }

    private TrainTestData Split(IDataView data, string key, int? seed, Func<double, bool> isTest)
    {
        const int UnseededSplit = 42;
        int used = seed ?? ((IHostEnvironmentInternal)_env).Seed ?? UnseededSplit;
        return new TrainTestData(FilteredDataView.Split(data, key, used, value => !isTest(value)), FilteredDataView.Split(data, key, used, isTest));
    }
}
