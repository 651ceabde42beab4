using Microsoft.ML.Data;

namespace Microsoft.ML.Diffusion;

/// <summary>Reads scalar columns of whole numbers: labels, which are keys, and seeds.</summary>
internal static class IntegerColumn
{
    /// <summary>Checks that a column can be the label: a scalar key.</summary>
    /// <returns>The number of classes.</returns>
    /// <exception cref="ArgumentOutOfRangeException">The column is not a key, or has an unsupported cardinality.</exception>
    public static int CheckLabel(DataViewSchema.Column column)
    {
        if (column.Type is not KeyDataViewType key)
        {
            throw new ArgumentOutOfRangeException(column.Name, $"Label column '{column.Name}' has type {column.Type}; a label is a key: append "
                + $"mlContext.Transforms.Conversion.MapValueToKey(\"{column.Name}\") before the trainer.");
        }
        if (key.Count is 0 or > 1_000_000)
        {
            throw new ArgumentOutOfRangeException(column.Name, $"Label column '{column.Name}' has {key.Count} classes; 1 to 1,000,000 are supported. "
                + "Map only the classes that occur with MapValueToKey.");
        }
        return (int)key.Count;
    }

    /// <summary>Makes a reader of the current row's class.</summary>
    /// <param name="row">The row or cursor to read from.</param>
    /// <param name="column">A key column, active in <paramref name="row"/>.</param>
    /// <param name="classes">The number of classes that the network knows.</param>
    /// <returns>Gives 0 … K−1, or K, the null class, for a missing value.</returns>
    public static Func<long> LabelOf(DataViewRow row, DataViewSchema.Column column, int classes)
    {
        var read = Reader(row, column) ?? throw new ArgumentOutOfRangeException(column.Name, $"Label column '{column.Name}' has type {column.Type}; a label is a key.");
        return () =>
        {
            ulong key = read();
            if (key > (ulong)classes)
            {
                throw new InvalidOperationException(
                    $"Label column '{column.Name}', row {row.Position}: class {key} is unknown; the model was trained on {classes} classes.");
            }
            return key == 0 ? classes : (long)key - 1;
        };
    }

    /// <summary>Whether a column holds one whole number a row.</summary>
    public static bool IsInteger(DataViewType type) =>
        type is PrimitiveDataViewType && Type.GetTypeCode(type.RawType) is >= TypeCode.SByte and <= TypeCode.UInt64;

    /// <summary>Reads a scalar column of whole numbers, negative ones in two's complement; null where its type is another.</summary>
    public static Func<ulong>? Reader(DataViewRow row, DataViewSchema.Column column)
    {
        if (!IsInteger(column.Type))
            return null;
        return Type.GetTypeCode(column.Type.RawType) switch
        {
            TypeCode.Byte => Reader<byte>(row, column, v => v),
            TypeCode.UInt16 => Reader<ushort>(row, column, v => v),
            TypeCode.UInt32 => Reader<uint>(row, column, v => v),
            TypeCode.UInt64 => Reader<ulong>(row, column, v => v),
            TypeCode.SByte => Reader<sbyte>(row, column, v => unchecked((ulong)v)),
            TypeCode.Int16 => Reader<short>(row, column, v => unchecked((ulong)v)),
            TypeCode.Int32 => Reader<int>(row, column, v => unchecked((ulong)v)),
            _ => Reader<long>(row, column, v => unchecked((ulong)v)),
        };
    }

    private static Func<ulong> Reader<T>(DataViewRow row, DataViewSchema.Column column, Func<T, ulong> convert)
    {
        var getter = row.GetGetter<T>(column);
        T value = default!;
        return () =>
        {
            getter(ref value);
            return convert(value);
        };
    }
}
