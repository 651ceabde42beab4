namespace Microsoft.ML.Diffusion;

/// <summary>What to read from the training data, and how.</summary>
/// <param name="Data">The data; read through cursors, once an epoch, never held as a whole.</param>
/// <param name="ImageColumnName">The image column.</param>
/// <param name="Format">The image column's format.</param>
/// <param name="LabelColumnName">The key column with the class; null for none.</param>
/// <param name="Classes">The number of classes; 0 for none.</param>
/// <param name="HorizontalFlip">Whether every second image, by chance, is mirrored left to right.</param>
/// <param name="Seed">Decides the order of the rows and which images are mirrored.</param>
internal sealed record TrainingRowsOptions(
    IDataView Data, string ImageColumnName, ImageFormat Format, string? LabelColumnName, int Classes, bool HorizontalFlip, int Seed);

/// <summary>
/// The training rows, epoch after epoch without end, in an order that the seed decides: shuffled by the data view where
/// it can, and then through a pool of bounded size.
/// </summary>
internal sealed class TrainingRows(TrainingRowsOptions options) : IDisposable
{
    private const int PoolBytes = 64 << 20;
    private const int PoolRows = 8192;

    private readonly Random _random = new(options.Seed);
    private readonly List<Row> _pool = [];
    private readonly int _poolRows = Math.Clamp(PoolBytes / (sizeof(float) * options.Format.Size), 16, PoolRows);
    private DataViewRowCursor? _cursor;
    private ImageReader? _image;
    private Func<long>? _label;
    private long _rowsThisEpoch;
    private bool _epochEnded;

    /// <summary>Epochs begun so far, from 1.</summary>
    public int Epoch { get; private set; }

    /// <summary>Rows in one epoch; null before the first has ended.</summary>
    public long? RowsPerEpoch { get; private set; }

    /// <summary>Gives the next row.</summary>
    /// <param name="image">Filled with (channels, height, width) values in [−1, 1].</param>
    /// <returns>The class, 0 … K−1, K where it is missing; 0 where there are no classes.</returns>
    /// <exception cref="InvalidOperationException">The data has no rows, or a row cannot be trained on.</exception>
    public long Next(Span<float> image)
    {
        while (_pool.Count < _poolRows && !_epochEnded)
            ReadRow();
        int pick = _random.Next(_pool.Count);
        var row = _pool[pick];
        long label = row.Label;
        Emit(row.Image, image);

        // The next row takes the place of the one that leaves: the pool stays full until the epoch runs out.
        if (!_epochEnded && TryReadInto(row))
            return label;
        _pool[pick] = _pool[^1];
        _pool.RemoveAt(_pool.Count - 1);
        if (_pool.Count == 0)
            _epochEnded = false;
        return label;
    }

    /// <inheritdoc/>
    public void Dispose() => _cursor?.Dispose();

    private void Emit(float[] source, Span<float> image)
    {
        source.CopyTo(image);
        if (!options.HorizontalFlip || _random.Next(2) == 0)
            return;
        int width = options.Format.Width;
        for (int i = 0; i < image.Length; i += width)
            image.Slice(i, width).Reverse();
    }

    private void ReadRow()
    {
        var row = new Row(new float[options.Format.Size]);
        if (TryReadInto(row))
            _pool.Add(row);
    }

    private bool TryReadInto(Row row)
    {
        _cursor ??= OpenCursor();
        if (!_cursor.MoveNext())
        {
            EndEpoch();
            return false;
        }
        _rowsThisEpoch++;
        _image!.Read(row.Image);
        row.Label = _label?.Invoke() ?? 0;
        return true;
    }

    private DataViewRowCursor OpenCursor()
    {
        Epoch++;
        var schema = options.Data.Schema;
        var imageColumn = schema[options.ImageColumnName];
        DataViewSchema.Column[] columns = options.LabelColumnName is { } name ? [imageColumn, schema[name]] : [imageColumn];
        var cursor = options.Data.GetRowCursor(columns, options.Data.CanShuffle ? new Random(_random.Next()) : null);
        _image = ImageReader.Create(cursor, imageColumn, options.Format);
        _label = columns.Length > 1 ? IntegerColumn.LabelOf(cursor, columns[1], options.Classes) : null;
        return cursor;
    }

    private void EndEpoch()
    {
        _cursor!.Dispose();
        _cursor = null;
        if (_rowsThisEpoch == 0)
            throw new InvalidOperationException("The training data has no rows. Check the loader's path and any filter before the trainer.");
        RowsPerEpoch = _rowsThisEpoch;
        _rowsThisEpoch = 0;
        _epochEnded = true;
    }

    private sealed class Row(float[] image)
    {
        public float[] Image { get; } = image;

        public long Label { get; set; }
    }
}
