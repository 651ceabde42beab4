using Microsoft.ML.Data;

namespace Microsoft.ML.Diffusion;

/// <summary>A data view over rows that have numbers: a cursor walks them in order, or in a random order where <see cref="CanShuffle"/>.</summary>
internal abstract class IndexedDataView(DataViewSchema schema, int rows, bool canShuffle) : IDataView
{
    public bool CanShuffle { get; } = canShuffle;

    public DataViewSchema Schema { get; } = schema;

    public long? GetRowCount() => rows;

    public DataViewRowCursor GetRowCursor(IEnumerable<DataViewSchema.Column> columnsNeeded, Random? rand = null)
    {
        var active = new bool[Schema.Count];
        foreach (DataViewSchema.Column column in columnsNeeded)
        {
            if (column.Index >= active.Length || Schema[column.Index].Name != column.Name)
            {
                throw new ArgumentException($"Column '{column.Name}' is not of this data: it has {string.Join(", ", Schema.Select(c => $"'{c.Name}'"))}.", nameof(columnsNeeded));
            }

            active[column.Index] = true;
        }

        int[]? order = null;
        if (CanShuffle && rand is not null)
        {
            order = new int[rows];
            for (int i = 0; i < rows; i++)
            {
                order[i] = i;
            }

            rand.Shuffle(order);
        }

        return new Cursor(this, active, OpenRows(active, sequential: order is null), order, rows);
    }

    public DataViewRowCursor[] GetRowCursorSet(IEnumerable<DataViewSchema.Column> columnsNeeded, int n, Random? rand = null) => [GetRowCursor(columnsNeeded, rand)];

    /// <summary>Opens the rows for one cursor.</summary>
    /// <param name="active">Which columns will be asked for.</param>
    /// <param name="sequential">Whether the rows are visited once each in ascending order.</param>
    protected abstract Rows OpenRows(bool[] active, bool sequential);

    /// <summary>The rows as one cursor sees them.</summary>
    internal abstract class Rows : IDisposable
    {
        /// <summary>Goes to a row; getters then speak of it.</summary>
        public abstract void MoveTo(int row);

        /// <summary>A <see cref="ValueGetter{TValue}"/> for a column, of the column's own raw type.</summary>
        public abstract Delegate Getter(DataViewSchema.Column column);

        public virtual void Dispose()
        {
        }
    }

    private sealed class Cursor(IndexedDataView view, bool[] active, Rows source, int[]? order, int rows) : DataViewRowCursor
    {
        private int _position = -1;

        public override long Position => _position;

        public override long Batch => 0;

        public override DataViewSchema Schema => view.Schema;

        private int Row => _position < 0
            ? throw new InvalidOperationException("The cursor stands before the first row or behind the last: call MoveNext first.")
            : order?[_position] ?? _position;

        public override bool MoveNext()
        {
            // −1 before the first row, −2 behind the last: neither has values.
            if (_position == -2 || _position + 1 >= rows)
            {
                _position = -2;
                return false;
            }

            _position++;
            source.MoveTo(Row);
            return true;
        }

        public override bool IsColumnActive(DataViewSchema.Column column) => column.Index < active.Length && active[column.Index];

        public override ValueGetter<DataViewRowId> GetIdGetter() => (ref DataViewRowId value) => value = new DataViewRowId((ulong)Row, 0);

        public override ValueGetter<TValue> GetGetter<TValue>(DataViewSchema.Column column)
        {
            if (!IsColumnActive(column))
            {
                throw new InvalidOperationException($"Column '{column.Name}' was not asked for when this cursor was made.");
            }

            return source.Getter(column) as ValueGetter<TValue>
                ?? throw new InvalidOperationException($"Column '{column.Name}' holds {Schema[column.Index].Type}; it cannot be read as {typeof(TValue).Name}.");
        }

        protected override void Dispose(bool disposing)
        {
            if (disposing)
            {
                source.Dispose();
            }

            base.Dispose(disposing);
        }
    }
}
