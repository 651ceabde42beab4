using System.Collections;

namespace Microsoft.ML.Data;

public readonly struct VBuffer<T> : IEnumerable
{
    private readonly T[] _values;
    private readonly int[] _indices;
    private readonly int _count;

    public readonly int Length;

    public VBuffer(int length, T[] values, int[] indices = null) : this(length, length, values, indices) { }

    public VBuffer(int length, int count, T[] values, int[] indices)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        if (count < 0 || count > length)
            throw new ArgumentOutOfRangeException(nameof(count));
        if ((values?.Length ?? 0) < count)
            throw new ArgumentOutOfRangeException(nameof(values));
        if (count != length && (indices?.Length ?? 0) < count)
            throw new ArgumentOutOfRangeException(nameof(indices));
        Length = length;
        _count = count;
        _values = values;
        _indices = indices;
    }

    public bool IsDense => _count == Length;

    public ReadOnlySpan<T> GetValues() => _values.AsSpan(0, _count);

    public ReadOnlySpan<int> GetIndices() => IsDense ? default : _indices.AsSpan(0, _count);

    public void CopyTo(ref VBuffer<T> destination)
    {
        VBufferEditor<T> editor = VBufferEditor.Create(ref destination, Length, _count);
        GetValues().CopyTo(editor.Values);
        if (!IsDense)
            GetIndices().CopyTo(editor.Indices);
        destination = editor.Commit();
    }

    public void CopyTo(Span<T> destination) => CopyTo(destination, 0);

    public void CopyTo(Span<T> destination, int destinationIndex, T defaultValue = default(T))
    {
        if (destinationIndex < 0 || destinationIndex > destination.Length - Length)
            throw new ArgumentOutOfRangeException(nameof(destination), "Not large enough to hold these values.");
        Span<T> target = destination.Slice(destinationIndex, Length);
        if (IsDense)
        {
            GetValues().CopyTo(target);
            return;
        }
        target.Fill(defaultValue);
        for (int i = 0; i < _count; i++)
            target[_indices[i]] = _values[i];
    }

    public IEnumerable<KeyValuePair<int, T>> Items(bool all = false) => all || IsDense ? AllItems() : ExplicitItems();

    public IEnumerable<T> DenseValues() => AllItems().Select(item => item.Value);

    private IEnumerable<KeyValuePair<int, T>> ExplicitItems()
    {
        for (int i = 0; i < _count; i++)
            yield return new(_indices[i], _values[i]);
    }

    private IEnumerable<KeyValuePair<int, T>> AllItems()
    {
        for (int slot = 0, i = 0; slot < Length; slot++)
        {
            bool present = IsDense || (i < _count && _indices[i] == slot);
            yield return new(slot, present ? _values[i++] : default);
        }
    }

    public T GetItemOrDefault(int index)
    {
        if (index < 0 || index >= Length)
            throw new ArgumentOutOfRangeException(nameof(index));
        if (IsDense)
            return _values[index];
        int slot = FirstSlotFrom(index);
        return slot < _count && _indices[slot] == index ? _values[slot] : default;
    }

    public override string ToString()
        => IsDense ? $"Dense vector of size {Length}" : $"Sparse vector of size {Length}, {_count} explicit values";

    public IEnumerator GetEnumerator() => _values.GetEnumerator();

    private int FirstSlotFrom(int index)
    {
        int found = _count == 0 ? 0 : Array.BinarySearch(_indices, 0, _count, index);
        return found < 0 ? ~found : found;
    }

    internal VBufferEditor<T> GetEditor(int length, int? valuesCount, int? capacity, bool keepOld, bool indicesOnDense)
    {
        if (length < 0)
            throw new ArgumentOutOfRangeException("newLogicalLength", "Must be non-negative.");
        if (valuesCount is < 0 || valuesCount > length)
            throw new ArgumentOutOfRangeException(nameof(valuesCount), "Must lie between zero and the logical length.");
        int count = valuesCount ?? length;
        T[] values = _values;
        bool newValues = Grow(ref values, count, capacity, keepOld);
        int[] indices = _indices;
        bool wantsIndices = count != length || indicesOnDense;
        bool newIndices = wantsIndices && Grow(ref indices, count, capacity, keepOld);
        return new VBufferEditor<T>(length, count, values, indices, wantsIndices, newValues, newIndices);
    }

    private static bool Grow<TItem>(ref TItem[] array, int minimum, int? capacity, bool keepOld)
    {
        if (capacity < minimum)
            throw new ArgumentOutOfRangeException("maxValuesCapacity");
        if (array != null ? array.Length >= minimum : minimum == 0)
            return false;
        if (keepOld)
            Array.Resize(ref array, Math.Min(Math.Max(minimum, 2 * (array?.Length ?? 0)), capacity ?? int.MaxValue));
        else
            array = new TItem[minimum];
        return true;
    }
}

public static class VBufferEditor
{
    public static VBufferEditor<T> Create<T>(scoped ref VBuffer<T> destination, int newLogicalLength, int? valuesCount = null,
        int? maxValuesCapacity = null, bool keepOldOnResize = false, bool requireIndicesOnDense = false)
        => destination.GetEditor(newLogicalLength, valuesCount, maxValuesCapacity, keepOldOnResize, requireIndicesOnDense);
}

public readonly ref struct VBufferEditor<T>
{
    private readonly int _length;
    private readonly T[] _values;
    private readonly int[] _indices;

    public readonly Span<T> Values;
    public readonly Span<int> Indices;

    internal VBufferEditor(int length, int count, T[] values, int[] indices, bool wantsIndices, bool newValues, bool newIndices)
    {
        _length = length;
        _values = values;
        _indices = indices;
        Values = values.AsSpan(0, count);
        Indices = wantsIndices ? indices.AsSpan(0, count) : default;
        CreatedNewValues = newValues;
        CreatedNewIndices = newIndices;
    }

    public bool CreatedNewValues { get; }
    public bool CreatedNewIndices { get; }

    public VBuffer<T> Commit() => new(_length, Values.Length, _values, _indices);
}
