using System.Collections.Concurrent;

namespace Microsoft.ML.Data;

/// <summary>
/// Rows that a thread of its own reads ahead, values copied. The real package moves the cursors below a mapping on threads of
/// its own whenever all columns asked for are of built-in types; a view from outside has to bear that, so it has to here.
/// </summary>
internal sealed class ReadAheadCursor : DataViewRowCursor
{
    private const int Ahead = 64;

    private readonly DataViewRowCursor[] _inputs;
    private readonly Func<int, bool> _active;
    private readonly BlockingCollection<Row> _queue = new(Ahead);
    private readonly CancellationTokenSource _stop = new();
    private readonly Thread _worker;
    private Exception _failure;
    private Row _current;
    private long _position = -1;
    private bool _ended;

    public ReadAheadCursor(DataViewSchema schema, DataViewRowCursor[] inputs, Func<int, bool> active)
    {
        Schema = schema;
        _inputs = inputs;
        _active = active;
        _worker = new Thread(Read) { IsBackground = true, Name = "Data view read-ahead" };
        _worker.Start();
    }

    private sealed record Row(DataViewRowId Id, Dictionary<int, object> Values);

    public override long Position => _position;
    public override long Batch => 0;
    public override DataViewSchema Schema { get; }
    public override bool IsColumnActive(DataViewSchema.Column column) => _active(column.Index);

    private void Read()
    {
        try
        {
            Func<Row>[] readers = [.. _inputs.Select(Reader)];
            List<int> open = [.. Enumerable.Range(0, _inputs.Length).Where(i => _inputs[i].MoveNext())];
            while (open.Count > 0)
            {
                // Batches number the rows over all cursors of a set: the lowest comes first.
                int next = open.MinBy(i => _inputs[i].Batch);
                _queue.Add(readers[next](), _stop.Token);
                if (!_inputs[next].MoveNext())
                    open.Remove(next);
            }
        }
        catch (OperationCanceledException) when (_stop.IsCancellationRequested)
        {
        }
        catch (Exception exception)
        {
            _failure = exception;
        }
        finally
        {
            _queue.CompleteAdding();
        }
    }

    private Func<Row> Reader(DataViewRowCursor input)
    {
        (int Index, Func<object> Read)[] columns = [.. Schema.Where(column => _active(column.Index)).Select(column
            => (column.Index, Generic.Invoke<Func<object>>(typeof(ReadAheadCursor), nameof(ValueReader), [column.Type.RawType], input, column)))];
        ValueGetter<DataViewRowId> getId = input.GetIdGetter();
        return () =>
        {
            DataViewRowId id = default;
            getId(ref id);
            return new Row(id, columns.ToDictionary(column => column.Index, column => column.Read()));
        };
    }

    private static Func<object> ValueReader<T>(DataViewRow row, DataViewSchema.Column column)
    {
        ValueGetter<T> getter = row.GetGetter<T>(column);
        return () =>
        {
            T value = default;
            getter(ref value);
            return value;
        };
    }

    public override bool MoveNext()
    {
        if (!_ended && _queue.TryTake(out _current, Timeout.Infinite))
        {
            _position++;
            return true;
        }
        _ended = true;
        _position = -1;
        if (_failure is { } failure)
        {
            _failure = null;
            throw Contracts.Except("Splitter/consolidator worker encountered exception while consuming source data", failure);
        }
        return false;
    }

    public override ValueGetter<DataViewRowId> GetIdGetter() => (ref DataViewRowId id) => id = Current.Id;

    public override ValueGetter<TValue> GetGetter<TValue>(DataViewSchema.Column column)
    {
        Contracts.Check(IsColumnActive(column));
        Contracts.Check(column.Type.RawType == typeof(TValue), $"Invalid TValue in GetGetter: '{typeof(TValue)}', expected type: '{column.Type.RawType}'.");
        return (ref TValue destination) => destination = (TValue)Current.Values[column.Index];
    }

    private Row Current
    {
        get
        {
            Contracts.Check(_position >= 0, Rows.NotPositioned);
            return _current;
        }
    }

    protected override void Dispose(bool disposing)
    {
        if (!disposing)
            return;
        _ended = true;
        _stop.Cancel();
        _worker.Join();
        Array.ForEach(_inputs, input => input.Dispose());
        _queue.Dispose();
        _stop.Dispose();
    }
}
