namespace Microsoft.ML.Diffusion;

/// <summary>A data view with one generated column added. Generates lazily, in batches, only where a cursor is asked for the column.</summary>
/// <param name="input">The requests, one a row.</param>
/// <param name="schema">The input's schema with the column added.</param>
/// <param name="column">The generated column.</param>
/// <param name="generators">Leases the generator for one cursor.</param>
internal sealed class GeneratedDataView(
    IDataView input, DataViewSchema schema, GeneratedColumn column, Func<IImageGenerator> generators) : IDataView
{
    /// <inheritdoc/>
    public bool CanShuffle => input.CanShuffle;

    /// <inheritdoc/>
    public DataViewSchema Schema => schema;

    /// <inheritdoc/>
    public long? GetRowCount() => input.GetRowCount();

    /// <inheritdoc/>
    public DataViewRowCursor GetRowCursor(IEnumerable<DataViewSchema.Column> columnsNeeded, Random? rand = null)
    {
        var needed = columnsNeeded.ToList();
        var passedOn = needed.Where(c => c.Index < input.Schema.Count).Select(c => input.Schema[c.Index]).ToList();
        bool generate = needed.Any(c => c.Index == input.Schema.Count);
        if (!generate)
            return new GeneratedRowCursor(input.GetRowCursor(passedOn, rand), null, schema, column, null);

        // Two cursors over the input in the same order: one at the consumer's pace, one a batch ahead for the requests.
        int? order = rand?.Next();
        Random? Order() => order is { } seed ? new Random(seed) : null;
        return new GeneratedRowCursor(
            input.GetRowCursor(passedOn, Order()),
            input.GetRowCursor(column.Dependencies(input.Schema), Order()),
            schema, column, generators());
    }

    /// <inheritdoc/>
    /// <remarks>One cursor whatever <paramref name="n"/>: a batch uses all the cores by itself.</remarks>
    public DataViewRowCursor[] GetRowCursorSet(IEnumerable<DataViewSchema.Column> columnsNeeded, int n, Random? rand = null) =>
        [GetRowCursor(columnsNeeded, rand)];
}
