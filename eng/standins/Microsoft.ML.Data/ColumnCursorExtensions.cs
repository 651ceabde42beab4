namespace Microsoft.ML.Data;

public static class ColumnCursorExtensions
{
    public static IEnumerable<T> GetColumn<T>(this IDataView data, string columnName)
    {
        Contracts.CheckValue(data, nameof(data));
        Contracts.CheckNonEmpty(columnName, nameof(columnName));
        return data.GetColumn<T>(data.Schema[columnName]);
    }

    public static IEnumerable<T> GetColumn<T>(this IDataView data, DataViewSchema.Column column)
    {
        Contracts.CheckValue(data, nameof(data));
        DataViewSchema.Column own = column.Index < data.Schema.Count ? data.Schema[column.Index] : default;
        Contracts.CheckParam(own.Name == column.Name && own.Type == column.Type, nameof(column),
            $"column with name {column.Name}, type {column.Type}, and index {column.Index} cannot be found in {nameof(data)}");
        if (own.Type.RawType == typeof(T))
            return Read<T, T>(data, own, value => value);
        if (typeof(T) == typeof(string) && own.Type is TextDataViewType)
            return (IEnumerable<T>)Read<ReadOnlyMemory<char>, string>(data, own, text => text.ToString());
        Type item = typeof(T).GetElementType();
        if (typeof(T).IsArray && own.Type is VectorDataViewType vector && item == vector.ItemType.RawType)
            return Generic.Invoke<IEnumerable<T>>(typeof(ColumnCursorExtensions), nameof(ReadArrays), [item], data, own);
        if (typeof(T) == typeof(string[]) && own.Type is VectorDataViewType { ItemType: TextDataViewType })
            return (IEnumerable<T>)Read<VBuffer<ReadOnlyMemory<char>>, string[]>(data, own, texts => [.. texts.DenseValues().Select(text => text.ToString())]);
        throw Contracts.ExceptParam(nameof(column), $"Cannot map column (name: {column.Name}, type: {column.Type}) in {nameof(data)} to the user-defined type, {typeof(T)}.");
    }

    private static IEnumerable<T[]> ReadArrays<T>(IDataView data, DataViewSchema.Column column) => Read<VBuffer<T>, T[]>(data, column, buffer =>
    {
        var array = new T[buffer.Length];
        buffer.CopyTo(array);
        return array;
    });

    private static IEnumerable<TResult> Read<TRaw, TResult>(IDataView data, DataViewSchema.Column column, Func<TRaw, TResult> convert)
    {
        using DataViewRowCursor cursor = data.GetRowCursor([column]);
        ValueGetter<TRaw> getter = cursor.GetGetter<TRaw>(column);
        TRaw value = default;
        while (cursor.MoveNext())
        {
            getter(ref value);
            yield return convert(value);
        }
    }
}
