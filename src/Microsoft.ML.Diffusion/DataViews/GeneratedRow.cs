using Microsoft.ML.Data;

namespace Microsoft.ML.Diffusion;

/// <summary>Maps one row at a time, for prediction engines.</summary>
/// <param name="inputSchema">The schema of the rows to map.</param>
/// <param name="outputSchema">The input's schema with the column added.</param>
/// <param name="column">The generated column.</param>
/// <param name="generators">Leases a generator.</param>
internal sealed class GeneratedRowMapper(
    DataViewSchema inputSchema, DataViewSchema outputSchema, GeneratedColumn column, Func<IImageGenerator> generators) : IRowToRowMapper
{
    /// <inheritdoc/>
    public DataViewSchema InputSchema => inputSchema;

    /// <inheritdoc/>
    public DataViewSchema OutputSchema => outputSchema;

    /// <inheritdoc/>
    public IEnumerable<DataViewSchema.Column> GetDependencies(IEnumerable<DataViewSchema.Column> dependingColumns)
    {
        var wanted = dependingColumns.Select(c => c.Index).ToHashSet();
        var generating = wanted.Contains(inputSchema.Count) ? column.Dependencies(inputSchema).Select(c => c.Index).ToHashSet() : [];
        return inputSchema.Where(c => wanted.Contains(c.Index) || generating.Contains(c.Index));
    }

    /// <inheritdoc/>
    public DataViewRow GetRow(DataViewRow input, IEnumerable<DataViewSchema.Column> activeColumns)
    {
        if (input.Schema != inputSchema)
            throw new ArgumentException("The row's schema is not the one that this mapper was made for.", nameof(input));
        bool generate = activeColumns.Any(c => c.Index == inputSchema.Count);
        return new GeneratedRow(input, outputSchema, column, generate ? generators : null);
    }
}

/// <summary>
/// A row with one generated column added; generates each time that the column is asked for. Ends its input with itself.
/// It leases the generator for each image anew, because a prediction engine never disposes the rows that it maps: a row must not keep the weights alive.
/// </summary>
/// <param name="input">The request.</param>
/// <param name="schema">The input's schema with the column added.</param>
/// <param name="column">The generated column.</param>
/// <param name="generators">Leases the generator; null where the generated column is not wanted.</param>
internal sealed class GeneratedRow(DataViewRow input, DataViewSchema schema, GeneratedColumn column, Func<IImageGenerator>? generators) : DataViewRow
{
    private readonly Func<(long Label, long Seed, DataViewRowId Id)>? _request = generators is null ? null : column.RequestReader(input);
    private readonly float[] _image = generators is null ? [] : new float[column.Format.Size];

    /// <inheritdoc/>
    public override DataViewSchema Schema => schema;

    /// <inheritdoc/>
    public override long Position => input.Position;

    /// <inheritdoc/>
    public override long Batch => input.Batch;

    /// <inheritdoc/>
    public override ValueGetter<DataViewRowId> GetIdGetter() => input.GetIdGetter();

    /// <inheritdoc/>
    public override bool IsColumnActive(DataViewSchema.Column column) =>
        column.Index == input.Schema.Count ? generators is not null : input.IsColumnActive(input.Schema[column.Index]);

    /// <inheritdoc/>
    public override ValueGetter<TValue> GetGetter<TValue>(DataViewSchema.Column requested)
    {
        if (requested.Index != input.Schema.Count)
            return input.GetGetter<TValue>(input.Schema[requested.Index]);
        if (generators is null)
            throw new ArgumentOutOfRangeException(nameof(requested), $"Column '{requested.Name}' is not active in this row; name it when asking for the row.");
        return Cast<TValue>(ImageWriter.CreateGetter(column.Format, Generate), requested);
    }

    /// <summary>Checks that a getter gives the type that is asked for.</summary>
    /// <exception cref="InvalidOperationException">It gives another.</exception>
    internal static ValueGetter<TValue> Cast<TValue>(Delegate getter, DataViewSchema.Column column) =>
        getter as ValueGetter<TValue> ?? throw new InvalidOperationException(
            $"Column '{column.Name}' has type {column.Type}, whose values are {column.Type.RawType}; it was asked for as {typeof(TValue)}.");

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        if (disposing)
            input.Dispose();
        base.Dispose(disposing);
    }

    private ReadOnlyMemory<float> Generate()
    {
        (long label, long seed, _) = _request!();
        using var generator = generators!();
        generator.Generate(column.Classes > 0 ? [label] : [], [seed], _image);
        return _image;
    }
}
