namespace Microsoft.ML.Data;

/// <summary>Rows drawn from a pool that the source keeps filled; the order depends on the seed alone.</summary>
internal sealed class ShuffledDataView(IDataView source, int seed, int poolSize, bool shuffleSource) : IDataView
{
    public bool CanShuffle => true;
    public DataViewSchema Schema => source.Schema;

    public long? GetRowCount() => source.GetRowCount();

    public DataViewRowCursor GetRowCursor(IEnumerable<DataViewSchema.Column> columnsNeeded, Random rand = null)
    {
        Random random = rand ?? new TauswortheHybrid(seed);
        Func<int, bool> active = Rows.Predicate(columnsNeeded, Schema);
        DataViewRowCursor input = source.GetRowCursor(Schema.Where(column => active(column.Index)), shuffleSource && source.CanShuffle ? random : null);
        return new Cursor(input, active, random, poolSize);
    }

    public DataViewRowCursor[] GetRowCursorSet(IEnumerable<DataViewSchema.Column> columnsNeeded, int n, Random rand = null)
        => [GetRowCursor(columnsNeeded, rand)];

    private sealed class Cursor : WrappingCursor
    {
        private readonly Func<int, bool> _active;
        private readonly Random _random;
        private readonly int _poolSize;
        private readonly Dictionary<int, Func<object>> _readers = [];
        private readonly Func<DataViewRowId> _readId;
        private readonly List<(DataViewRowId Id, Dictionary<int, object> Values)> _pool = [];
        private (DataViewRowId Id, Dictionary<int, object> Values) _current;
        private long _position = -1;

        public Cursor(DataViewRowCursor input, Func<int, bool> active, Random random, int poolSize) : base(input)
        {
            _active = active;
            _random = random;
            _poolSize = poolSize;
            foreach (DataViewSchema.Column column in input.Schema.Where(column => active(column.Index)))
                _readers.Add(column.Index, Generic.Invoke<Func<object>>(typeof(Cursor), nameof(Reader), [column.Type.RawType], input, column));
            ValueGetter<DataViewRowId> id = input.GetIdGetter();
            _readId = () =>
            {
                DataViewRowId value = default;
                id(ref value);
                return value;
            };
        }

        private static Func<object> Reader<T>(DataViewRow row, DataViewSchema.Column column)
        {
            ValueGetter<T> getter = row.GetGetter<T>(column);
            return () =>
            {
                T value = default;
                getter(ref value);
                return value;
            };
        }

        public override long Position => _position;
        public override bool IsColumnActive(DataViewSchema.Column column) => _active(column.Index);

        public override bool MoveNext()
        {
            while (_pool.Count < _poolSize && Input.MoveNext())
                _pool.Add((_readId(), _readers.ToDictionary(reader => reader.Key, reader => reader.Value())));
            if (_pool.Count == 0)
            {
                _position = -1;
                return false;
            }
            int drawn = _random.Next(_pool.Count);
            _current = _pool[drawn];
            _pool[drawn] = _pool[^1];
            _pool.RemoveAt(_pool.Count - 1);
            _position++;
            return true;
        }

        public override ValueGetter<DataViewRowId> GetIdGetter() => (ref DataViewRowId id) =>
        {
            Contracts.Check(_position >= 0, Rows.NotPositioned);
            id = _current.Id;
        };

        public override ValueGetter<TValue> GetGetter<TValue>(DataViewSchema.Column column)
        {
            Contracts.Check(IsColumnActive(column));
            Contracts.Check(column.Type.RawType == typeof(TValue), $"Invalid TValue in GetGetter: '{typeof(TValue)}', expected type: '{column.Type.RawType}'.");
            return (ref TValue destination) =>
            {
                Contracts.Check(_position >= 0, Rows.NotPositioned);
                destination = (TValue)_current.Values[column.Index];
            };
        }
    }
}
