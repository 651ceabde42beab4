namespace Microsoft.ML.Data;

/// <summary>A row whose columns are the members of a current object.</summary>
internal abstract class ObjectRow<TRow> : DataViewRow where TRow : class
{
    private readonly Delegate[] _getters;

    protected ObjectRow(DataViewSchema schema, RowLayout layout, Func<int, bool> active)
    {
        Schema = schema;
        _getters = [.. layout.Columns.Select((column, i) => active(i) ? MemberGetter.Create(column, Current) : null)];
    }

    public sealed override DataViewSchema Schema { get; }

    public sealed override long Batch => 0;

    protected abstract TRow Current();

    public sealed override bool IsColumnActive(DataViewSchema.Column column)
    {
        Contracts.Check(column.Index < _getters.Length, $"Column index must be between 0 and {_getters.Length}");
        return _getters[column.Index] != null;
    }

    public sealed override ValueGetter<TValue> GetGetter<TValue>(DataViewSchema.Column column)
    {
        Contracts.CheckParam(IsColumnActive(column), nameof(column), "requested column not active");
        return Rows.Typed<TValue>(_getters[column.Index]);
    }
}

/// <summary>The row that a prediction engine feeds.</summary>
internal sealed class InputRow<TRow>(DataViewSchema schema, RowLayout layout) : ObjectRow<TRow>(schema, layout, _ => true)
    where TRow : class
{
    private TRow _current;
    private long _position = -1;

    public override long Position => _position;

    public void Set(TRow row)
    {
        Contracts.CheckValue(row, nameof(row));
        _current = row;
        _position++;
    }

    protected override TRow Current()
    {
        Contracts.Check(Position >= 0, Rows.NotPositioned);
        return _current;
    }

    public override ValueGetter<DataViewRowId> GetIdGetter()
        => (ref DataViewRowId id) => id = new DataViewRowId((ulong)Position, 0);
}

internal sealed class EnumerableDataView<TRow> : IDataView where TRow : class
{
    private readonly IEnumerable<TRow> _data;
    private readonly RowLayout _layout;

    public EnumerableDataView(IEnumerable<TRow> data, RowLayout layout)
    {
        _data = data;
        _layout = layout;
        Schema = layout.ToSchema();
    }

    public bool CanShuffle => false;

    public DataViewSchema Schema { get; }

    public long? GetRowCount() => (_data as ICollection<TRow>)?.Count;

    public DataViewRowCursor GetRowCursor(IEnumerable<DataViewSchema.Column> columnsNeeded, Random rand = null)
        => new Cursor(new Row(this, Rows.Predicate(columnsNeeded, Schema)));

    public DataViewRowCursor[] GetRowCursorSet(IEnumerable<DataViewSchema.Column> columnsNeeded, int n, Random rand = null)
        => [GetRowCursor(columnsNeeded, rand)];

    private sealed class Row(EnumerableDataView<TRow> view, Func<int, bool> active) : ObjectRow<TRow>(view.Schema, view._layout, active)
    {
        private readonly IEnumerator<TRow> _enumerator = view._data.GetEnumerator();
        private TRow _current;
        private long _position = -1;
        private bool _disposed;

        public override long Position => _position;

        protected override TRow Current() => _current;

        public bool MoveNext()
        {
            if (_disposed)
                return false;
            if (_enumerator.MoveNext())
            {
                _current = _enumerator.Current ?? throw Contracts.Except("Encountered null when iterating over data, this is not supported.");
                _position++;
                return true;
            }
            _current = null;
            Dispose();
            return false;
        }

        public override ValueGetter<DataViewRowId> GetIdGetter() => (ref DataViewRowId id) =>
        {
            Contracts.Check(Position >= 0, Rows.NotPositioned);
            id = new DataViewRowId((ulong)Position, 0);
        };

        protected override void Dispose(bool disposing)
        {
            if (_disposed)
                return;
            _disposed = true;
            _position = -1;
        }
    }

    private sealed class Cursor(Row row) : DataViewRowCursor
    {
        public override long Position => row.Position;
        public override long Batch => row.Batch;
        public override DataViewSchema Schema => row.Schema;
        public override bool MoveNext() => row.MoveNext();
        public override bool IsColumnActive(DataViewSchema.Column column) => row.IsColumnActive(column);
        public override ValueGetter<DataViewRowId> GetIdGetter() => row.GetIdGetter();
        public override ValueGetter<TValue> GetGetter<TValue>(DataViewSchema.Column column) => row.GetGetter<TValue>(column);

        protected override void Dispose(bool disposing)
        {
            if (disposing)
                row.Dispose();
        }
    }
}
