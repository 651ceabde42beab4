using Microsoft.ML.Data;

namespace Microsoft.ML.Diffusion;

/// <summary>The cursor of a <see cref="GeneratedDataView"/>: passes the input's columns on and fills the generated one a batch at a time.</summary>
internal sealed class GeneratedRowCursor : DataViewRowCursor
{
    private readonly DataViewRowCursor _input;
    private readonly DataViewRowCursor? _ahead;
    private readonly DataViewSchema _schema;
    private readonly GeneratedColumn _column;
    private readonly IImageGenerator? _generator;
    private readonly Func<(long Label, long Seed, DataViewRowId Id)>? _nextRequest;
    private readonly ValueGetter<DataViewRowId> _id;

    private readonly float[] _images = [];
    private readonly long[] _labels = [];
    private readonly long[] _seeds = [];
    private readonly DataViewRowId[] _ids = [];
    private long _row = -1;
    private long _aheadRow = -1;
    private long _batchStart;
    private int _batchCount;
    private bool _disposed;

    /// <summary>Takes the cursors and the generator over; they end with this cursor.</summary>
    /// <param name="input">The input at the consumer's pace.</param>
    /// <param name="ahead">The input's request columns in the same order; null where the generated column is not wanted.</param>
    /// <param name="schema">The input's schema with the column added.</param>
    /// <param name="column">The generated column.</param>
    /// <param name="generator">Null where the generated column is not wanted.</param>
    public GeneratedRowCursor(
        DataViewRowCursor input, DataViewRowCursor? ahead, DataViewSchema schema, GeneratedColumn column, IImageGenerator? generator)
    {
        (_input, _ahead, _schema, _column, _generator) = (input, ahead, schema, column, generator);
        _id = input.GetIdGetter();
        if (ahead is null)
            return;
        _nextRequest = column.RequestReader(ahead);
        _images = new float[column.BatchSize * column.Format.Size];
        _labels = new long[column.BatchSize];
        _seeds = new long[column.BatchSize];
        _ids = new DataViewRowId[column.BatchSize];
    }

    /// <inheritdoc/>
    public override DataViewSchema Schema => _schema;

    /// <inheritdoc/>
    public override long Position => _input.Position;

    /// <inheritdoc/>
    public override long Batch => _input.Batch;

    /// <inheritdoc/>
    public override bool MoveNext()
    {
        if (!_input.MoveNext())
            return false;
        _row++;
        return true;
    }

    /// <inheritdoc/>
    public override ValueGetter<DataViewRowId> GetIdGetter() => _input.GetIdGetter();

    /// <inheritdoc/>
    public override bool IsColumnActive(DataViewSchema.Column column) =>
        IsGenerated(column) ? _generator is not null : _input.IsColumnActive(_input.Schema[column.Index]);

    /// <inheritdoc/>
    public override ValueGetter<TValue> GetGetter<TValue>(DataViewSchema.Column column)
    {
        if (!IsGenerated(column))
            return _input.GetGetter<TValue>(_input.Schema[column.Index]);
        if (_generator is null)
            throw new ArgumentOutOfRangeException(nameof(column), $"Column '{column.Name}' is not active in this cursor; name it when asking for the cursor.");
        return GeneratedRow.Cast<TValue>(ImageWriter.CreateGetter(_column.Format, Current), column);
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        if (disposing && !_disposed)
        {
            _disposed = true;
            _input.Dispose();
            _ahead?.Dispose();
            _generator?.Dispose();
        }
        base.Dispose(disposing);
    }

    private bool IsGenerated(DataViewSchema.Column column)
    {
        if (column.Index >= _schema.Count || _schema[column.Index].Name != column.Name)
            throw new ArgumentOutOfRangeException(nameof(column), $"Column '{column.Name}' is not a column of this cursor's schema.");
        return column.Index == _input.Schema.Count;
    }

    private ReadOnlyMemory<float> Current()
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        if (_row < 0)
            throw new InvalidOperationException("The cursor is before its first row; call MoveNext first.");
        if (_row >= _batchStart + _batchCount)
            GenerateBatch();

        int index = (int)(_row - _batchStart);
        DataViewRowId id = default;
        _id(ref id);
        if (!id.Equals(_ids[index]))
        {
            throw new InvalidOperationException($"Row {Position} came in another order the second time the input was read. "
                + "Generation reads its requests a batch ahead: put mlContext.Data.Cache before it where the input cannot be repeated.");
        }
        return _images.AsMemory(index * _column.Format.Size, _column.Format.Size);
    }

    private void GenerateBatch()
    {
        _batchCount = 0;
        _batchStart = _row;
        int count = 0;
        while (count < _column.BatchSize && _ahead!.MoveNext())
        {
            if (++_aheadRow < _row)
                continue;
            (_labels[count], _seeds[count], _ids[count]) = _nextRequest!();
            count++;
        }
        if (count == 0)
            throw new InvalidOperationException("The input had fewer rows the second time it was read; put mlContext.Data.Cache before the generator.");
        var labels = _column.Classes > 0 ? _labels.AsSpan(0, count) : [];
        _generator!.Generate(labels, _seeds.AsSpan(0, count), _images.AsSpan(0, count * _column.Format.Size));
        _batchCount = count;
    }
}
