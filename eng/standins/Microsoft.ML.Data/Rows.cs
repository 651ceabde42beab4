namespace Microsoft.ML.Data;

/// <summary>What every view and mapper needs of rows and cursors.</summary>
internal static class Rows
{
    public const string NotPositioned = "Values cannot be fetched at this time. This method was called either before the first call to MoveNext, or at any point after MoveNext returned false.";

    public static Func<int, bool> Predicate(IEnumerable<DataViewSchema.Column> columns, DataViewSchema schema)
    {
        Contracts.CheckValue(columns, "columnsNeeded");
        var wanted = new bool[schema.Count];
        foreach (DataViewSchema.Column column in columns)
        {
            Contracts.Check(column.Index < wanted.Length, $"The requested column: {column} is not part of the sourceSchema");
            wanted[column.Index] = true;
        }
        return index => wanted[index];
    }

    public static ValueGetter<TValue> Typed<TValue>(Delegate getter)
        => getter as ValueGetter<TValue>
            ?? throw Contracts.Except($"Invalid TValue in GetGetter: '{typeof(TValue)}', expected type: '{getter.GetType().GetGenericArguments()[0]}'.");

    /// <summary>The getter of a column as an untyped delegate.</summary>
    public static Delegate Getter(DataViewRow row, DataViewSchema.Column column)
        => Generic.Invoke<Delegate>(typeof(Rows), nameof(GetterOf), [column.Type.RawType], row, column);

    private static ValueGetter<T> GetterOf<T>(DataViewRow row, DataViewSchema.Column column) => row.GetGetter<T>(column);
}

/// <summary>A row over another one that it owns.</summary>
internal abstract class WrappingRow(DataViewRow input) : DataViewRow
{
    protected DataViewRow Input { get; } = input;

    public sealed override long Position => Input.Position;
    public sealed override long Batch => Input.Batch;
    public override ValueGetter<DataViewRowId> GetIdGetter() => Input.GetIdGetter();

    protected override void Dispose(bool disposing)
    {
        if (disposing)
            Input.Dispose();
    }
}

/// <summary>A cursor over another one that it owns, with the same columns unless told otherwise.</summary>
internal abstract class WrappingCursor(DataViewRowCursor input) : DataViewRowCursor
{
    protected DataViewRowCursor Input { get; } = input;

    public override long Position => Input.Position;
    public override long Batch => Input.Batch;
    public override DataViewSchema Schema => Input.Schema;
    public override bool MoveNext() => Input.MoveNext();
    public override bool IsColumnActive(DataViewSchema.Column column) => Input.IsColumnActive(column);
    public override ValueGetter<DataViewRowId> GetIdGetter() => Input.GetIdGetter();
    public override ValueGetter<TValue> GetGetter<TValue>(DataViewSchema.Column column) => Input.GetGetter<TValue>(column);

    protected override void Dispose(bool disposing)
    {
        if (disposing)
            Input.Dispose();
    }
}

/// <summary>A schema without rows.</summary>
internal sealed class EmptyDataView(DataViewSchema schema) : IDataView
{
    public bool CanShuffle => true;
    public DataViewSchema Schema => schema;
    public long? GetRowCount() => 0;

    public DataViewRowCursor GetRowCursor(IEnumerable<DataViewSchema.Column> columnsNeeded, Random rand = null)
        => new Cursor(schema, Rows.Predicate(columnsNeeded, schema));

    public DataViewRowCursor[] GetRowCursorSet(IEnumerable<DataViewSchema.Column> columnsNeeded, int n, Random rand = null)
        => [GetRowCursor(columnsNeeded, rand)];

    private sealed class Cursor(DataViewSchema schema, Func<int, bool> active) : DataViewRowCursor
    {
        public override long Position => -1;
        public override long Batch => 0;
        public override DataViewSchema Schema => schema;
        public override bool MoveNext() => false;
        public override bool IsColumnActive(DataViewSchema.Column column) => active(column.Index);
        public override ValueGetter<DataViewRowId> GetIdGetter() => (ref DataViewRowId _) => throw Contracts.Except(Rows.NotPositioned);

        public override ValueGetter<TValue> GetGetter<TValue>(DataViewSchema.Column column)
        {
            Contracts.Check(IsColumnActive(column), "Can't get getter for inactive column");
            return (ref TValue _) => throw Contracts.Except(Rows.NotPositioned);
        }
    }
}
