namespace Microsoft.ML.Data;

/// <summary>The rows of a view that pass a test, with their own ids; the test is made anew for each cursor.</summary>
internal sealed class FilteredDataView : IDataView
{
    private readonly IDataView _source;
    private readonly int[] _tested;
    private readonly Func<DataViewRowCursor, Func<bool>> _makeTest;
    private readonly Func<long?> _count;
    private readonly bool _keepsOrder;

    private FilteredDataView(IDataView source, int[] tested, Func<DataViewRowCursor, Func<bool>> makeTest, Func<long?> count, bool keepsOrder)
    {
        _source = source;
        _tested = tested;
        _makeTest = makeTest;
        _count = count;
        _keepsOrder = keepsOrder;
    }

    public bool CanShuffle => !_keepsOrder && _source.CanShuffle;
    public DataViewSchema Schema => _source.Schema;

    public long? GetRowCount() => _count();

    public static IDataView Slice(IDataView source, long skip, long take)
    {
        // A slice that has ended stops reading its source.
        return new FilteredDataView(source, [], _ =>
        {
            long row = 0;
            return () => row++ >= skip;
        }, () => source.GetRowCount() is { } rows ? Math.Min(Math.Max(rows - skip, 0), take) : null, keepsOrder: true) { _take = take };
    }

    private long _take = long.MaxValue;

    public static IDataView Range(IDataView source, string columnName, double lower, double upper)
    {
        DataViewSchema.Column column = source.Schema[columnName];
        return new FilteredDataView(source, [column.Index], cursor =>
        {
            Func<double> read = Generic.Invoke<Func<double>>(typeof(FilteredDataView), nameof(AsDouble), [column.Type.RawType], cursor, column);
            return () => read() is var value && lower <= value && (value < upper || double.IsPositiveInfinity(upper));
        }, () => null, keepsOrder: false);
    }

    public static IDataView Split(IDataView source, string keyColumn, int seed, Func<double, bool> test)
    {
        if (keyColumn == null)
        {
            return new FilteredDataView(source, [], _ =>
            {
                var random = new TauswortheHybrid(seed);
                return () => test(random.NextSingle());
            }, () => null, keepsOrder: true);
        }
        DataViewSchema.Column column = source.Schema.GetColumnOrNull(keyColumn)
            ?? throw Contracts.ExceptSchemaMismatch("samplingKeyColumn", "SamplingKeyColumn", keyColumn);
        return new FilteredDataView(source, [column.Index], cursor =>
        {
            Func<string> read = Generic.Invoke<Func<string>>(typeof(FilteredDataView), nameof(AsText), [column.Type.RawType], cursor, column);
            return () => test(new TauswortheHybrid(seed ^ read().Aggregate(17, (hash, letter) => unchecked(hash * 31 + letter))).NextSingle());
        }, () => null, keepsOrder: false);
    }

    private static Func<double> AsDouble<T>(DataViewRow row, DataViewSchema.Column column)
    {
        ValueGetter<T> getter = row.GetGetter<T>(column);
        T value = default;
        return () =>
        {
            getter(ref value);
            return Convert.ToDouble(value);
        };
    }

    private static Func<string> AsText<T>(DataViewRow row, DataViewSchema.Column column)
    {
        ValueGetter<T> getter = row.GetGetter<T>(column);
        T value = default;
        return () =>
        {
            getter(ref value);
            return value.ToString();
        };
    }

    public DataViewRowCursor GetRowCursor(IEnumerable<DataViewSchema.Column> columnsNeeded, Random rand = null)
    {
        Func<int, bool> active = Rows.Predicate(columnsNeeded, Schema);
        DataViewRowCursor input = _source.GetRowCursor(Schema.Where(column => active(column.Index) || _tested.Contains(column.Index)), _keepsOrder ? null : rand);
        return new Cursor(input, active, _makeTest(input), _take);
    }

    public DataViewRowCursor[] GetRowCursorSet(IEnumerable<DataViewSchema.Column> columnsNeeded, int n, Random rand = null)
        => [GetRowCursor(columnsNeeded, rand)];

    private sealed class Cursor(DataViewRowCursor input, Func<int, bool> active, Func<bool> test, long take) : WrappingCursor(input)
    {
        private long _position = -1;
        private bool _ended;

        public override long Position => _position;
        public override bool IsColumnActive(DataViewSchema.Column column) => active(column.Index);

        public override bool MoveNext()
        {
            while (!_ended && _position + 1 < take && Input.MoveNext())
            {
                if (!test())
                    continue;
                _position++;
                return true;
            }
            _ended = true;
            _position = -1;
            return false;
        }

        public override ValueGetter<TValue> GetGetter<TValue>(DataViewSchema.Column column)
        {
            Contracts.Check(IsColumnActive(column));
            return base.GetGetter<TValue>(column);
        }
    }
}
