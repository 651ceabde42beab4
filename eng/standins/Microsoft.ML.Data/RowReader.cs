using System.Linq.Expressions;

namespace Microsoft.ML.Data;

/// <summary>Fills the members of a user's class from a row of a data view.</summary>
internal sealed class RowReader<TRow> where TRow : class
{
    private readonly (RowLayout.Column Column, int Index)[] _bound;

    public RowReader(DataViewSchema schema, bool ignoreMissingColumns, SchemaDefinition definition)
    {
        var bound = new List<(RowLayout.Column, int)>();
        foreach (RowLayout.Column column in RowLayout.Create(typeof(TRow), definition, SchemaDefinition.Direction.Write).Columns)
        {
            if (schema.GetColumnOrNull(column.Name) is not { } source)
            {
                if (ignoreMissingColumns)
                    continue;
                throw Contracts.ExceptSchemaMismatch("Schema", "", column.Name);
            }
            bool fits = column.MemberType.IsVector == source.Type is VectorDataViewType && source.Type.GetItemType().RawType == column.MemberType.Item;
            if (!fits)
                throw Contracts.Except($"Can't bind the IDataView column '{column.Name}' of type '{source.Type}' to field or property '{column.Member.Name}' of type '{column.MemberType.Declared.FullName}'.");
            bound.Add((column, source.Index));
        }
        _bound = [.. bound];
    }

    public IEnumerable<DataViewSchema.Column> Dependencies(DataViewSchema schema)
        => schema.Where(column => _bound.Any(bound => bound.Index == column.Index));

    public Action<TRow> Bind(DataViewRow row)
    {
        Action<TRow>[] setters = [.. _bound.Select(bound => Setter(row, bound.Column, bound.Index))];
        return target =>
        {
            foreach (Action<TRow> setter in setters)
                setter(target);
        };
    }

    private static Action<TRow> Setter(DataViewRow row, RowLayout.Column column, int index)
    {
        Type declared = column.MemberType.Declared;
        ParameterExpression target = Expression.Parameter(typeof(TRow));
        ParameterExpression value = Expression.Parameter(declared);
        MemberExpression member = Expression.MakeMemberAccess(target, column.Member);
        Delegate poke = Expression.Lambda(typeof(Action<,>).MakeGenericType(typeof(TRow), declared), Expression.Assign(member, value), target, value).Compile();
        DataViewSchema.Column source = row.Schema[index];
        if (declared == typeof(string))
            return Text(row, source, (Action<TRow, string>)poke);
        if (declared == typeof(string[]))
            return Texts(row, source, (Action<TRow, string[]>)poke);
        if (declared.IsArray)
        {
            Delegate peek = Expression.Lambda(typeof(Func<,>).MakeGenericType(typeof(TRow), declared), member, target).Compile();
            return Generic.Invoke<Action<TRow>>(typeof(RowReader<TRow>), nameof(Array), [declared.GetElementType()], row, source, poke, peek);
        }
        return Generic.Invoke<Action<TRow>>(typeof(RowReader<TRow>), nameof(Value), [declared], row, source, poke);
    }

    private static Action<TRow> Text(DataViewRow row, DataViewSchema.Column source, Action<TRow, string> poke)
    {
        ValueGetter<ReadOnlyMemory<char>> getter = row.GetGetter<ReadOnlyMemory<char>>(source);
        ReadOnlyMemory<char> value = default;
        return target =>
        {
            getter(ref value);
            poke(target, value.ToString());
        };
    }

    private static Action<TRow> Texts(DataViewRow row, DataViewSchema.Column source, Action<TRow, string[]> poke)
    {
        ValueGetter<VBuffer<ReadOnlyMemory<char>>> getter = row.GetGetter<VBuffer<ReadOnlyMemory<char>>>(source);
        VBuffer<ReadOnlyMemory<char>> value = default;
        return target =>
        {
            getter(ref value);
            poke(target, [.. value.DenseValues().Select(text => text.ToString())]);
        };
    }

    // An array of the right length that the object already has is filled in place.
    private static Action<TRow> Array<T>(DataViewRow row, DataViewSchema.Column source, Action<TRow, T[]> poke, Func<TRow, T[]> peek)
    {
        ValueGetter<VBuffer<T>> getter = row.GetGetter<VBuffer<T>>(source);
        VBuffer<T> value = default;
        return target =>
        {
            T[] array = peek(target);
            getter(ref value);
            if (array?.Length != value.Length)
                array = new T[value.Length];
            value.CopyTo(array);
            poke(target, array);
        };
    }

    // The value is shared by all rows, so that a getter can reuse what it handed out before, or dispose of it.
    private static Action<TRow> Value<T>(DataViewRow row, DataViewSchema.Column source, Action<TRow, T> poke)
    {
        ValueGetter<T> getter = row.GetGetter<T>(source);
        T value = default;
        return target =>
        {
            getter(ref value);
            poke(target, value);
        };
    }
}
