namespace Microsoft.ML.Runtime;

/// <summary>Between .NET types, data kinds and column types.</summary>
internal static class DataTypes
{
    private static readonly (DataKind Kind, Type Raw, PrimitiveDataViewType Type)[] _table =
    [
        (DataKind.SByte, typeof(sbyte), NumberDataViewType.SByte),
        (DataKind.Byte, typeof(byte), NumberDataViewType.Byte),
        (DataKind.Int16, typeof(short), NumberDataViewType.Int16),
        (DataKind.UInt16, typeof(ushort), NumberDataViewType.UInt16),
        (DataKind.Int32, typeof(int), NumberDataViewType.Int32),
        (DataKind.UInt32, typeof(uint), NumberDataViewType.UInt32),
        (DataKind.Int64, typeof(long), NumberDataViewType.Int64),
        (DataKind.UInt64, typeof(ulong), NumberDataViewType.UInt64),
        (DataKind.Single, typeof(float), NumberDataViewType.Single),
        (DataKind.Double, typeof(double), NumberDataViewType.Double),
        (DataKind.String, typeof(ReadOnlyMemory<char>), TextDataViewType.Instance),
        (DataKind.Boolean, typeof(bool), BooleanDataViewType.Instance),
        (DataKind.TimeSpan, typeof(TimeSpan), TimeSpanDataViewType.Instance),
        (DataKind.DateTime, typeof(DateTime), DateTimeDataViewType.Instance),
        (DataKind.DateTimeOffset, typeof(DateTimeOffset), DateTimeOffsetDataViewType.Instance),
        (0, typeof(DataViewRowId), RowIdDataViewType.Instance),
    ];

    public static PrimitiveDataViewType PrimitiveFor(Type raw)
    {
        Type type = raw == typeof(string) ? typeof(ReadOnlyMemory<char>) : raw;
        return Array.Find(_table, row => row.Raw == type).Type;
    }

    public static PrimitiveDataViewType PrimitiveFor(DataKind kind) => Array.Find(_table, row => row.Kind == kind).Type;

    public static DataViewType GetItemType(this DataViewType type) => type is VectorDataViewType vector ? vector.ItemType : type;
}
