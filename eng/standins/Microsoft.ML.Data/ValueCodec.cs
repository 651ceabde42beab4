using System.Collections.Immutable;

namespace Microsoft.ML.Data;

/// <summary>Types and values of columns as bytes.</summary>
internal static class ValueCodec
{
    public static bool CanWrite(DataViewType type) => type.GetItemType() is PrimitiveDataViewType;

    public static void WriteType(BinaryWriter writer, DataViewType type)
    {
        var item = (PrimitiveDataViewType)type.GetItemType();
        writer.Write(item.RawType.FullName);
        writer.Write(item is KeyDataViewType key ? key.Count : 0);
        ImmutableArray<int> dimensions = type is VectorDataViewType vector ? vector.Dimensions : [];
        writer.Write(dimensions.Length);
        foreach (int dimension in dimensions)
            writer.Write(dimension);
    }

    public static DataViewType ReadType(BinaryReader reader)
    {
        string name = reader.ReadString();
        PrimitiveDataViewType item = DataTypes.PrimitiveFor(Type.GetType(name) ?? typeof(DataViewRowId).Assembly.GetType(name));
        Contracts.CheckDecode(item != null, $"Unknown item type '{name}'");
        ulong count = reader.ReadUInt64();
        if (count > 0)
            item = new KeyDataViewType(item.RawType, count);
        var dimensions = new int[reader.ReadInt32()];
        for (int i = 0; i < dimensions.Length; i++)
            dimensions[i] = reader.ReadInt32();
        return dimensions.Length == 0 ? item : new VectorDataViewType(item, dimensions);
    }

    public static Action<BinaryWriter> Writer(DataViewRow row, DataViewSchema.Column column)
        => Writer(Rows.Getter(row, column), column.Type);

    public static void WriteAnnotation(BinaryWriter writer, DataViewSchema.Annotations annotations, DataViewSchema.Column kind)
    {
        var getter = Generic.Invoke<Delegate>(typeof(ValueCodec), nameof(AnnotationGetter), [kind.Type.RawType], annotations, kind);
        Writer(getter, kind.Type)(writer);
    }

    private static ValueGetter<T> AnnotationGetter<T>(DataViewSchema.Annotations annotations, DataViewSchema.Column kind) => annotations.GetGetter<T>(kind);

    private static Action<BinaryWriter> Writer(Delegate getter, DataViewType type)
        => Generic.Invoke<Action<BinaryWriter>>(typeof(ValueCodec), type is VectorDataViewType ? nameof(VectorWriter) : nameof(ScalarWriter),
            [type.GetItemType().RawType], getter);

    private static Action<BinaryWriter> ScalarWriter<T>(ValueGetter<T> getter)
    {
        T value = default;
        return writer =>
        {
            getter(ref value);
            Write(writer, value);
        };
    }

    private static Action<BinaryWriter> VectorWriter<T>(ValueGetter<VBuffer<T>> getter)
    {
        VBuffer<T> value = default;
        return writer =>
        {
            getter(ref value);
            writer.Write(value.Length);
            writer.Write(value.GetValues().Length);
            foreach (T item in value.GetValues())
                Write(writer, item);
            foreach (int index in value.GetIndices())
                writer.Write(index);
        };
    }

    public static void WriteVector<T>(BinaryWriter writer, T[] values)
    {
        var buffer = new VBuffer<T>(values.Length, values);
        VectorWriter<T>(buffer.CopyTo)(writer);
    }

    private static void Write<T>(BinaryWriter writer, T value)
    {
        switch (value)
        {
            case sbyte number: writer.Write(number); break;
            case byte number: writer.Write(number); break;
            case short number: writer.Write(number); break;
            case ushort number: writer.Write(number); break;
            case int number: writer.Write(number); break;
            case uint number: writer.Write(number); break;
            case long number: writer.Write(number); break;
            case ulong number: writer.Write(number); break;
            case float number: writer.Write(number); break;
            case double number: writer.Write(number); break;
            case bool flag: writer.Write(flag); break;
            case ReadOnlyMemory<char> text: writer.Write(text.ToString()); break;
            case TimeSpan span: writer.Write(span.Ticks); break;
            case DateTime time: writer.Write(time.ToBinary()); break;
            case DateTimeOffset time: writer.Write(time.Ticks); writer.Write(time.Offset.Ticks); break;
            case DataViewRowId id: writer.Write(id.Low); writer.Write(id.High); break;
            default: throw new NotSupportedException(typeof(T).FullName);
        }
    }

    private static object Read(BinaryReader reader, Type type) => type switch
    {
        _ when type == typeof(sbyte) => reader.ReadSByte(),
        _ when type == typeof(byte) => reader.ReadByte(),
        _ when type == typeof(short) => reader.ReadInt16(),
        _ when type == typeof(ushort) => reader.ReadUInt16(),
        _ when type == typeof(int) => reader.ReadInt32(),
        _ when type == typeof(uint) => reader.ReadUInt32(),
        _ when type == typeof(long) => reader.ReadInt64(),
        _ when type == typeof(ulong) => reader.ReadUInt64(),
        _ when type == typeof(float) => reader.ReadSingle(),
        _ when type == typeof(double) => reader.ReadDouble(),
        _ when type == typeof(bool) => reader.ReadBoolean(),
        _ when type == typeof(ReadOnlyMemory<char>) => reader.ReadString().AsMemory(),
        _ when type == typeof(TimeSpan) => TimeSpan.FromTicks(reader.ReadInt64()),
        _ when type == typeof(DateTime) => DateTime.FromBinary(reader.ReadInt64()),
        _ when type == typeof(DateTimeOffset) => new DateTimeOffset(reader.ReadInt64(), TimeSpan.FromTicks(reader.ReadInt64())),
        _ => new DataViewRowId(reader.ReadUInt64(), reader.ReadUInt64()),
    };

    /// <summary>The value of one column in the row that was read last.</summary>
    public abstract class Slot
    {
        public abstract Delegate Getter { get; }
        public abstract void Read(BinaryReader reader);
    }

    public static Slot SlotFor(DataViewType type)
        => Generic.Invoke<Slot>(typeof(ValueCodec), type is VectorDataViewType ? nameof(VectorSlot) : nameof(ScalarSlot), [type.GetItemType().RawType]);

    public static Delegate ReadConstant(BinaryReader reader, DataViewType type)
    {
        Slot slot = SlotFor(type);
        slot.Read(reader);
        return slot.Getter;
    }

    private static Slot ScalarSlot<T>() => new Scalar<T>();

    private static Slot VectorSlot<T>() => new Vector<T>();

    private sealed class Scalar<T> : Slot
    {
        private T _value;

        public override Delegate Getter => (ValueGetter<T>)((ref T destination) => destination = _value);
        public override void Read(BinaryReader reader) => _value = (T)ValueCodec.Read(reader, typeof(T));
    }

    private sealed class Vector<T> : Slot
    {
        private VBuffer<T> _value;

        public override Delegate Getter => (ValueGetter<VBuffer<T>>)((ref VBuffer<T> destination) => _value.CopyTo(ref destination));

        public override void Read(BinaryReader reader)
        {
            int length = reader.ReadInt32();
            var values = new T[reader.ReadInt32()];
            for (int i = 0; i < values.Length; i++)
                values[i] = (T)ValueCodec.Read(reader, typeof(T));
            var indices = new int[values.Length == length ? 0 : values.Length];
            for (int i = 0; i < indices.Length; i++)
                indices[i] = reader.ReadInt32();
            _value = new VBuffer<T>(length, values.Length, values, indices);
        }
    }
}
