namespace Microsoft.ML.Data;

/// <summary>Some columns of a view, in some order; everything else passes through.</summary>
internal sealed class SelectedDataView : IDataView, IRowToRowMapper
{
    private readonly IDataView _source;
    private readonly int[] _columns;

    public SelectedDataView(IDataView source, IEnumerable<int> columns)
    {
        _source = source;
        _columns = [.. columns];
        var builder = new DataViewSchema.Builder();
        builder.AddColumns(_columns.Select(index => new DataViewSchema.DetachedColumn(source.Schema[index])));
        Schema = builder.ToSchema();
    }

    public DataViewSchema Schema { get; }
    public bool CanShuffle => _source.CanShuffle;
    public DataViewSchema InputSchema => _source.Schema;
    public DataViewSchema OutputSchema => Schema;

    public long? GetRowCount() => _source.GetRowCount();

    public IEnumerable<DataViewSchema.Column> GetDependencies(IEnumerable<DataViewSchema.Column> dependingColumns)
    {
        Func<int, bool> active = Rows.Predicate(dependingColumns, Schema);
        var needed = new HashSet<int>(_columns.Where((_, i) => active(i)));
        return InputSchema.Where(column => needed.Contains(column.Index));
    }

    public DataViewRow GetRow(DataViewRow input, IEnumerable<DataViewSchema.Column> activeColumns) => new Row(input, this);

    public DataViewRowCursor GetRowCursor(IEnumerable<DataViewSchema.Column> columnsNeeded, Random rand = null)
        => new Cursor(_source.GetRowCursor(GetDependencies(columnsNeeded), rand), this, Rows.Predicate(columnsNeeded, Schema));

    public DataViewRowCursor[] GetRowCursorSet(IEnumerable<DataViewSchema.Column> columnsNeeded, int n, Random rand = null)
    {
        Func<int, bool> active = Rows.Predicate(columnsNeeded, Schema);
        return [.. _source.GetRowCursorSet(GetDependencies(columnsNeeded), n, rand).Select(input => new Cursor(input, this, active))];
    }

    private sealed class Row(DataViewRow input, SelectedDataView view) : WrappingRow(input)
    {
        public override DataViewSchema Schema => view.Schema;
        public override bool IsColumnActive(DataViewSchema.Column column) => true;

        public override ValueGetter<TValue> GetGetter<TValue>(DataViewSchema.Column column)
            => Input.GetGetter<TValue>(Input.Schema[view._columns[column.Index]]);
    }

    private sealed class Cursor(DataViewRowCursor input, SelectedDataView view, Func<int, bool> active) : WrappingCursor(input)
    {
        public override DataViewSchema Schema => view.Schema;
        public override bool IsColumnActive(DataViewSchema.Column column) => active(column.Index);

        public override ValueGetter<TValue> GetGetter<TValue>(DataViewSchema.Column column)
        {
            Contracts.Check(IsColumnActive(column));
            return Input.GetGetter<TValue>(Input.Schema[view._columns[column.Index]]);
        }
    }
}
