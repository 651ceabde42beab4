namespace Microsoft.ML.Data;

/// <summary>A view with the columns of a <see cref="RowMapper"/> added, computed while a cursor passes.</summary>
internal sealed class MappedDataView : IDataView, IRowToRowMapper
{
    private readonly IDataView _source;
    private readonly RowMapper _mapper;
    private readonly int[] _origin;
    private readonly int[] _added;

    public MappedDataView(IDataView source, RowMapper mapper)
    {
        _source = source;
        _mapper = mapper;
        DataViewSchema.DetachedColumn[] added = mapper.OutputColumns;

        // A column that hides another one stands right behind it; all others stand at the end. Added columns are ~i.
        var order = Enumerable.Range(0, source.Schema.Count).ToList();
        string NameOf(int at) => at >= 0 ? source.Schema[at].Name : added[~at].Name;
        for (int i = 0; i < added.Length; i++)
        {
            int hidden = order.FindLastIndex(at => NameOf(at) == added[i].Name);
            order.Insert(hidden < 0 ? order.Count : hidden + 1, ~i);
        }
        _origin = [.. order];
        _added = [.. Enumerable.Range(0, added.Length).Select(i => order.IndexOf(~i))];
        var builder = new DataViewSchema.Builder();
        builder.AddColumns(order.Select(at => at >= 0 ? new DataViewSchema.DetachedColumn(source.Schema[at]) : added[~at]));
        Schema = builder.ToSchema();
    }

    public DataViewSchema Schema { get; }
    public bool CanShuffle => _source.CanShuffle;
    public DataViewSchema InputSchema => _source.Schema;
    public DataViewSchema OutputSchema => Schema;

    public long? GetRowCount() => _source.GetRowCount();

    private IEnumerable<DataViewSchema.Column> InputsOf(Func<int, bool> active)
    {
        var needed = new HashSet<int>();
        for (int i = 0; i < _origin.Length; i++)
        {
            if (active(i))
                needed.UnionWith(_origin[i] >= 0 ? [_origin[i]] : _mapper.Dependencies(~_origin[i]));
        }
        return InputSchema.Where(column => needed.Contains(column.Index));
    }

    public IEnumerable<DataViewSchema.Column> GetDependencies(IEnumerable<DataViewSchema.Column> dependingColumns)
        => InputsOf(Rows.Predicate(dependingColumns, Schema));

    public DataViewRowCursor GetRowCursor(IEnumerable<DataViewSchema.Column> columnsNeeded, Random rand = null)
    {
        Func<int, bool> active = Rows.Predicate(columnsNeeded, Schema);
        bool computes = _added.Any(active);
        if (computes && Schema.All(column => !active(column.Index) || CacheDataView.IsCacheable(column.Type)))
            return new ReadAheadCursor(Schema, GetRowCursorSet(columnsNeeded, Math.Max(2, Environment.ProcessorCount - 1), rand), active);
        return new Cursor(_source.GetRowCursor(InputsOf(active), rand), this, active);
    }

    public DataViewRowCursor[] GetRowCursorSet(IEnumerable<DataViewSchema.Column> columnsNeeded, int n, Random rand = null)
    {
        Func<int, bool> active = Rows.Predicate(columnsNeeded, Schema);
        return [.. _source.GetRowCursorSet(InputsOf(active), n, rand).Select(input => new Cursor(input, this, active))];
    }

    public DataViewRow GetRow(DataViewRow input, IEnumerable<DataViewSchema.Column> activeColumns)
    {
        Contracts.CheckValue(input, nameof(input));
        Contracts.CheckValue(activeColumns, nameof(activeColumns));
        Contracts.Check(input.Schema == InputSchema, "Schema of input row must be the same as the schema the mapper is bound to");
        return new Row(input, this, Rows.Predicate(activeColumns, Schema));
    }

    private sealed class Getters
    {
        private readonly MappedDataView _view;
        private readonly Delegate[] _getters;
        private readonly List<Action> _disposers = [];

        public Getters(MappedDataView view, DataViewRow input, Func<int, bool> active)
        {
            _view = view;
            _getters = new Delegate[view._added.Length];
            for (int i = 0; i < _getters.Length; i++)
            {
                if (!active(view._added[i]))
                    continue;
                _getters[i] = view._mapper.MakeGetter(input, i, out Action disposer);
                if (disposer != null)
                    _disposers.Add(disposer);
            }
        }

        public bool IsActive(DataViewRow input, int index)
            => _view._origin[index] is var at && at >= 0 ? input.IsColumnActive(input.Schema[at]) : _getters[~at] != null;

        public ValueGetter<TValue> Get<TValue>(DataViewRow input, int index)
            => _view._origin[index] is var at && at >= 0 ? input.GetGetter<TValue>(input.Schema[at]) : Rows.Typed<TValue>(_getters[~at]);

        public void Dispose() => _disposers.ForEach(disposer => disposer());
    }

    private sealed class Row(DataViewRow input, MappedDataView view, Func<int, bool> active) : WrappingRow(input)
    {
        private readonly Getters _getters = new(view, input, active);

        public override DataViewSchema Schema => view.Schema;
        public override bool IsColumnActive(DataViewSchema.Column column) => _getters.IsActive(Input, column.Index);
        public override ValueGetter<TValue> GetGetter<TValue>(DataViewSchema.Column column) => _getters.Get<TValue>(Input, column.Index);

        protected override void Dispose(bool disposing)
        {
            if (disposing)
                _getters.Dispose();
            base.Dispose(disposing);
        }
    }

    private sealed class Cursor(DataViewRowCursor input, MappedDataView view, Func<int, bool> active) : WrappingCursor(input)
    {
        private readonly Getters _getters = new(view, input, active);

        public override DataViewSchema Schema => view.Schema;
        public override bool IsColumnActive(DataViewSchema.Column column) => active(column.Index);

        public override ValueGetter<TValue> GetGetter<TValue>(DataViewSchema.Column column)
        {
            Contracts.Check(IsColumnActive(column));
            return _getters.Get<TValue>(Input, column.Index);
        }

        protected override void Dispose(bool disposing)
        {
            if (disposing)
                _getters.Dispose();
            base.Dispose(disposing);
        }
    }
}
