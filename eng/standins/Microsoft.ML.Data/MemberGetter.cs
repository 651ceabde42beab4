using System.Collections.Concurrent;
using System.Linq.Expressions;
using System.Reflection;

namespace Microsoft.ML.Data;

/// <summary>Getters over the members of a current row object.</summary>
internal static class MemberGetter
{
    /// <summary>A <see cref="ValueGetter{TValue}"/> of the column's raw type over one member of the current row.</summary>
    public static Delegate Create<TRow>(RowLayout.Column column, Func<TRow> current)
    {
        Type declared = column.MemberType.Declared;
        Delegate peek = Peeks<TRow>.Of.GetOrAdd(column.Member, member =>
        {
            ParameterExpression row = Expression.Parameter(typeof(TRow));
            return Expression.Lambda(typeof(Func<,>).MakeGenericType(typeof(TRow), declared), Expression.MakeMemberAccess(row, member), row).Compile();
        });
        Delegate read = Generic.Invoke<Delegate>(typeof(MemberGetter), nameof(Compose), [typeof(TRow), declared], peek, current);
        return Wrap(column.Type, declared, read);
    }

    private static class Peeks<TRow>
    {
        public static ConcurrentDictionary<MemberInfo, Delegate> Of { get; } = new();
    }

    private static Func<TMember> Compose<TRow, TMember>(Func<TRow, TMember> peek, Func<TRow> current) => () => peek(current());

    private static Delegate Wrap(DataViewType type, Type declared, Delegate read)
    {
        if (declared == typeof(string[]))
            return Texts((Func<string[]>)read);
        if (declared == typeof(string))
            return Text((Func<string>)read);
        if (declared.IsArray)
            return Generic.Invoke<Delegate>(typeof(MemberGetter), nameof(Array), [declared.GetElementType()], read);
        if (type is VectorDataViewType vector)
            return Generic.Invoke<Delegate>(typeof(MemberGetter), nameof(Buffer), [vector.ItemType.RawType], read);
        if (type is KeyDataViewType key)
            return Generic.Invoke<Delegate>(typeof(MemberGetter), nameof(Key), [type.RawType], read, key);
        return Generic.Invoke<Delegate>(typeof(MemberGetter), nameof(Value), [declared], read);
    }

    private static ValueGetter<VBuffer<ReadOnlyMemory<char>>> Texts(Func<string[]> read) => (ref VBuffer<ReadOnlyMemory<char>> destination) =>
    {
        string[] source = read() ?? [];
        VBufferEditor<ReadOnlyMemory<char>> editor = VBufferEditor.Create(ref destination, source.Length);
        for (int i = 0; i < source.Length; i++)
            editor.Values[i] = source[i].AsMemory();
        destination = editor.Commit();
    };

    private static ValueGetter<ReadOnlyMemory<char>> Text(Func<string> read)
        => (ref ReadOnlyMemory<char> destination) => destination = read().AsMemory();

    private static ValueGetter<VBuffer<T>> Array<T>(Func<T[]> read) => (ref VBuffer<T> destination) =>
    {
        T[] source = read();
        VBufferEditor<T> editor = VBufferEditor.Create(ref destination, source?.Length ?? 0);
        source.AsSpan().CopyTo(editor.Values);
        destination = editor.Commit();
    };

    private static ValueGetter<VBuffer<T>> Buffer<T>(Func<VBuffer<T>> read)
        => (ref VBuffer<T> destination) => read().CopyTo(ref destination);

    private static ValueGetter<T> Value<T>(Func<T> read) => (ref T destination) => destination = read();

    // In the object a key counts from zero; in the column from one, and zero is a missing key.
    private static ValueGetter<T> Key<T>(Func<T> read, KeyDataViewType type)
    {
        Contracts.Check(typeof(T) != typeof(ushort));
        return (ref T destination) =>
        {
            ulong value = Convert.ToUInt64(read());
            destination = (T)Convert.ChangeType(value < type.Count ? value + 1 : 0, typeof(T));
        };
    }
}
