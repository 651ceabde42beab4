namespace Microsoft.ML.Data;

/// <summary>Keeps a column in memory once a cursor has asked for it.</summary>
internal sealed class CacheDataView : IDataView
{
    private readonly IDataView _source;
    private readonly Lock _lock = new();
    private readonly Dictionary<int, Array> _columns = [];
    private long? _count;

    public CacheDataView(IDataView source)
    {
        _source = CacheablePart(source);
        _count = source.GetRowCount();
    }

    public static bool IsCacheable(DataViewType type) => type is PrimitiveDataViewType or VectorDataViewType;

    /// <summary>As in the real package, columns of other types (images) are left out of what is cached or shuffled.</summary>
    public static IDataView CacheablePart(IDataView source)
    {
        int[] kept = [.. source.Schema.Where(column => IsCacheable(column.Type)).Select(column => column.Index)];
        return kept.Length == source.Schema.Count ? source : new SelectedDataView(source, kept);
    }

    public bool CanShuffle => true;
    public DataViewSchema Schema => _source.Schema;

    public long? GetRowCount() => _count;

    public DataViewRowCursor GetRowCursor(IEnumerable<DataViewSchema.Column> columnsNeeded, Random rand = null)
    {
        Func<int, bool> active = Rows.Predicate(columnsNeeded, Schema);
        Fill(active);
        int[] order = Enumerable.Range(0, (int)_count).ToArray();
        rand?.Shuffle(order);
        return new Cursor(this, active, order);
    }

    public DataViewRowCursor[] GetRowCursorSet(IEnumerable<DataViewSchema.Column> columnsNeeded, int n, Random rand = null)
        => [GetRowCursor(columnsNeeded, rand)];

    private void Fill(Func<int, bool> active)
    {
        lock (_lock)
        {
            DataViewSchema.Column[] missing = [.. Schema.Where(column => active(column.Index) && !_columns.ContainsKey(column.Index))];
            if (missing.Length == 0 && _count != null)
                return;
            using DataViewRowCursor cursor = _source.GetRowCursor(missing);
            var stores = missing.Select(column => Generic.Invoke<Store>(typeof(CacheDataView), nameof(StoreFor), [column.Type.RawType], cursor, column)).ToArray();
            int rows = 0;
            for (; cursor.MoveNext(); rows++)
                Array.ForEach(stores, store => store.Add());
            _count = rows;
            for (int i = 0; i < missing.Length; i++)
                _columns[missing[i].Index] = stores[i].ToArray();
        }
    }

    private static Store StoreFor<T>(DataViewRow row, DataViewSchema.Column column) => new Store<T>(row.GetGetter<T>(column));

    private abstract class Store
    {
        public abstract void Add();
        public abstract Array ToArray();
    }

    private sealed class Store<T>(ValueGetter<T> getter) : Store
    {
        private readonly List<T> _values = [];

        public override void Add()
        {
            T value = default;
            getter(ref value);
            _values.Add(value);
        }

        public override Array ToArray() => _values.ToArray();
    }

    private sealed class Cursor(CacheDataView view, Func<int, bool> active, int[] order) : DataViewRowCursor
    {
        private long _position = -1;

        private int Index
        {
            get
            {
                Contracts.Check(_position >= 0, Rows.NotPositioned);
                return order[_position];
            }
        }

        public override long Position => _position;
        public override long Batch => 0;
        public override DataViewSchema Schema => view.Schema;
        public override bool IsColumnActive(DataViewSchema.Column column) => active(column.Index);
        public override ValueGetter<DataViewRowId> GetIdGetter() => (ref DataViewRowId id) => id = new DataViewRowId((ulong)Index, 0);

        public override bool MoveNext()
        {
            if (_position + 1 < order.Length)
            {
                _position++;
                return true;
            }
            _position = -1;
            order = [];
            return false;
        }

        public override ValueGetter<TValue> GetGetter<TValue>(DataViewSchema.Column column)
        {
            Contracts.Check(IsColumnActive(column));
            var values = view._columns[column.Index] as TValue[]
                ?? throw Contracts.Except($"Invalid TValue in GetGetter: '{typeof(TValue)}', expected type: '{column.Type.RawType}'.");
            if (column.Type is VectorDataViewType vector)
                return Generic.Invoke<ValueGetter<TValue>>(typeof(Cursor), nameof(Copier), [vector.ItemType.RawType], this, values);
            return (ref TValue destination) => destination = values[Index];
        }

        private static ValueGetter<VBuffer<T>> Copier<T>(Cursor cursor, VBuffer<T>[] values)
            => (ref VBuffer<T> destination) => values[cursor.Index].CopyTo(ref destination);
    }
}
