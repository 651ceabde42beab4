namespace Microsoft.ML.Data;

/// <summary>Getters that treat scalars and vectors alike, item by item.</summary>
internal static class Vectors
{
    public static ValueGetter<VBuffer<T>> AsVector<T>(DataViewRow row, DataViewSchema.Column column)
    {
        if (column.Type is VectorDataViewType)
            return row.GetGetter<VBuffer<T>>(column);
        ValueGetter<T> getter = row.GetGetter<T>(column);
        var one = new T[1];
        return (ref VBuffer<T> destination) =>
        {
            getter(ref one[0]);
            destination = new VBuffer<T>(1, one);
        };
    }

    /// <summary>The getter of a column with <paramref name="convert"/> applied to each item.</summary>
    public static Delegate Map<TSource, TResult>(DataViewRow row, DataViewSchema.Column column, Func<TSource, TResult> convert)
        => Map<TSource, TResult>(row, column, (_, value) => convert(value));

    /// <summary>The same, with the slot of the item.</summary>
    public static Delegate Map<TSource, TResult>(DataViewRow row, DataViewSchema.Column column, Func<int, TSource, TResult> convert)
    {
        if (column.Type is not VectorDataViewType)
        {
            ValueGetter<TSource> getter = row.GetGetter<TSource>(column);
            TSource value = default;
            return (ValueGetter<TResult>)((ref TResult destination) =>
            {
                getter(ref value);
                destination = convert(0, value);
            });
        }
        ValueGetter<VBuffer<TSource>> vectorGetter = row.GetGetter<VBuffer<TSource>>(column);
        VBuffer<TSource> values = default;
        return (ValueGetter<VBuffer<TResult>>)((ref VBuffer<TResult> destination) =>
        {
            vectorGetter(ref values);
            VBufferEditor<TResult> editor = VBufferEditor.Create(ref destination, values.Length);
            foreach ((int slot, TSource value) in values.Items(all: true))
                editor.Values[slot] = convert(slot, value);
            destination = editor.Commit();
        });
    }
}
