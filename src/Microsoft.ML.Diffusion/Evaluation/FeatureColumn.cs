using Microsoft.ML.Data;

namespace Microsoft.ML.Diffusion;

/// <summary>Reads a column of vectors in blocks of float64.</summary>
internal sealed class FeatureColumn
{
    private const int BlockRows = 512;
    private readonly IDataView _data;
    private readonly DataViewSchema.Column _column;
    private readonly string _set;

    /// <param name="data">The rows.</param>
    /// <param name="name">The column.</param>
    /// <param name="set">What the rows are called in messages.</param>
    /// <exception cref="ArgumentException">There is no such column, or it is no vector of Single or Double with a known length.</exception>
    public FeatureColumn(IDataView data, string name, string set)
    {
        _data = data;
        _set = set;
        _column = data.Schema.GetColumnOrNull(name)
            ?? throw new ArgumentException($"The {set} data has no column '{name}'. Its columns are {string.Join(", ", data.Schema.Select(column => column.Name))}.");
        if (_column.Type is not VectorDataViewType { Size: > 0 } vector || vector.ItemType.RawType != typeof(float) && vector.ItemType.RawType != typeof(double))
            throw new ArgumentException($"Column '{name}' of the {set} data is of type {_column.Type}; features are a vector of Single or Double with a known length.");
        Features = vector.Size;
    }

    /// <summary>The length of a vector.</summary>
    public int Features { get; }

    /// <summary>Runs over the rows once.</summary>
    /// <param name="onBlock">Gets [n, <see cref="Features"/>] row-major values and n; the array is used again afterwards.</param>
    /// <exception cref="InvalidOperationException">A value is missing or not finite.</exception>
    public void Read(Action<double[], int> onBlock)
    {
        using var cursor = _data.GetRowCursor([_column]);
        var single = ((VectorDataViewType)_column.Type).ItemType.RawType == typeof(float);
        Action<Span<double>> row = single ? Reader<float>(cursor) : Reader<double>(cursor);
        var block = new double[BlockRows * Features];
        var filled = 0;
        while (cursor.MoveNext())
        {
            var values = block.AsSpan(filled * Features, Features);
            row(values);
            foreach (var value in values)
            {
                if (!double.IsFinite(value))
                    throw new InvalidOperationException($"Column '{_column.Name}' of the {_set} data holds {value} in row {cursor.Position}: replace or drop missing values first.");
            }
            if (++filled < BlockRows)
                continue;
            onBlock(block, filled);
            filled = 0;
        }
        if (filled > 0)
            onBlock(block, filled);
    }

    private Action<Span<double>> Reader<T>(DataViewRowCursor cursor)
        where T : struct
    {
        var getter = cursor.GetGetter<VBuffer<T>>(_column);
        VBuffer<T> buffer = default;
        return values =>
        {
            getter(ref buffer);
            values.Clear();
            foreach (var (index, value) in buffer.Items())
                values[index] = Convert.ToDouble(value);
        };
    }
}
