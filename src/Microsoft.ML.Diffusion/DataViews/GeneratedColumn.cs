using Microsoft.ML.Data;

namespace Microsoft.ML.Diffusion;

/// <summary>Makes images for requests. The seam between data views and what generates.</summary>
internal interface IImageGenerator : IDisposable
{
    /// <summary>Generates one image a request.</summary>
    /// <param name="labels">[N] classes, 0 … K−1, or K for none; empty where the model has no classes.</param>
    /// <param name="seeds">[N] seeds; a request's image depends on its own label and seed alone.</param>
    /// <param name="images">Filled with [N, channels, height, width] values in [−1, 1].</param>
    void Generate(ReadOnlySpan<long> labels, ReadOnlySpan<long> seeds, Span<float> images);
}

/// <summary>A generated column: what it is called and looks like, and which input columns it depends on.</summary>
/// <param name="Name">The output column.</param>
/// <param name="Format">The output column's images.</param>
/// <param name="LabelColumnName">The key column with the class; null where the model has no classes.</param>
/// <param name="Classes">The number of classes; 0 where the model has none.</param>
/// <param name="SeedColumnName">The column with a row's seed, used where the input has it; null to use the row's id always.</param>
/// <param name="Seed">Mixed into the seeds made from row ids.</param>
/// <param name="BatchSize">Images generated together.</param>
internal sealed record GeneratedColumn(
    string Name, ImageFormat Format, string? LabelColumnName, int Classes, string? SeedColumnName, int Seed, int BatchSize)
{
    /// <summary>Checks an input schema and adds the column to it.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The label or seed column is missing or has the wrong type.</exception>
    public DataViewSchema AddTo(DataViewSchema input)
    {
        Dependencies(input);
        var builder = new DataViewSchema.Builder();
        builder.AddColumns(input);
        builder.AddColumn(Name, Format.ToColumnType());
        return builder.ToSchema();
    }

    /// <summary>The input columns that the generated one is made from.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The label or seed column is missing or has the wrong type.</exception>
    public IReadOnlyList<DataViewSchema.Column> Dependencies(DataViewSchema input) =>
        [.. new[] { LabelColumn(input), SeedColumn(input) }.OfType<DataViewSchema.Column>()];

    /// <summary>Makes a reader of the requests in a row or cursor.</summary>
    /// <param name="row">A row whose <see cref="Dependencies"/> are active.</param>
    public Func<(long Label, long Seed, DataViewRowId Id)> RequestReader(DataViewRow row)
    {
        var label = LabelColumn(row.Schema) is { } labelColumn ? IntegerColumn.LabelOf(row, labelColumn, Classes) : null;
        var seed = SeedColumn(row.Schema) is { } seedColumn ? IntegerColumn.Reader(row, seedColumn) : null;
        var idGetter = row.GetIdGetter();
        DataViewRowId id = default;
        return () =>
        {
            idGetter(ref id);
            return (label?.Invoke() ?? 0, seed is null ? RowSeed.Of(Seed, id) : unchecked((long)seed()), id);
        };
    }

    private DataViewSchema.Column? LabelColumn(DataViewSchema input)
    {
        if (LabelColumnName is null)
            return null;
        if (input.GetColumnOrNull(LabelColumnName) is not { } column)
        {
            throw new ArgumentOutOfRangeException(LabelColumnName, $"The input has no column '{LabelColumnName}'. The model is class-conditional: each row "
                + $"needs the class to generate as a key column '{LabelColumnName}' (a missing key asks for an image of no particular class).");
        }
        int classes = IntegerColumn.CheckLabel(column);
        if (classes > Classes)
        {
            throw new ArgumentOutOfRangeException(LabelColumnName, $"Label column '{LabelColumnName}' has {classes} classes; the model was trained on {Classes}. "
                + "Map the labels with the transformer that mapped the training data.");
        }
        return column;
    }

    private DataViewSchema.Column? SeedColumn(DataViewSchema input)
    {
        if (SeedColumnName is null || input.GetColumnOrNull(SeedColumnName) is not { } column)
            return null;
        if (!IntegerColumn.IsInteger(column.Type))
        {
            throw new ArgumentOutOfRangeException(SeedColumnName, $"Seed column '{SeedColumnName}' has type {column.Type}; a seed is one whole number a row. "
                + "Convert it with mlContext.Transforms.Conversion.ConvertType(outputKind: DataKind.Int64), or name another column with WithSeedColumn.");
        }
        return column;
    }
}
