using System.Text;

namespace Microsoft.ML.Data;

/// <summary>A view in a file: its schema with annotations, then its rows. The layout is this stand-in's own.</summary>
/// <remarks>As in the real package, columns of a type of their own, such as images, are not written.</remarks>
internal static class BinaryFormat
{
    private const ulong Magic = 0x5745495641544144;

    public static void Save(IChannel channel, IDataView data, Stream stream, bool keepHidden)
    {
        var wanted = data.Schema.Where(column => keepHidden || !column.IsHidden).ToLookup(column => ValueCodec.CanWrite(column.Type));
        foreach (DataViewSchema.Column column in wanted[false])
            channel.Info(MessageSensitivity.Schema, "The column '{0}' will not be written as it has unsavable column type.", column.Name);
        DataViewSchema.Column[] columns = [.. wanted[true]];
        Contracts.Check(columns.Length > 0, "No valid columns to save");
        using var writer = new BinaryWriter(stream, Encoding.UTF8, leaveOpen: true);
        writer.Write(Magic);
        writer.Write(columns.Length);
        foreach (DataViewSchema.Column column in columns)
            WriteColumn(writer, column);

        using DataViewRowCursor cursor = data.GetRowCursor(columns);
        Action<BinaryWriter>[] writers = [.. columns.Select(column => ValueCodec.Writer(cursor, column))];
        long rows = 0;
        for (; cursor.MoveNext(); rows++)
        {
            writer.Write(true);
            Array.ForEach(writers, write => write(writer));
        }
        writer.Write(false);
        writer.Write(rows);
    }

    private static void WriteColumn(BinaryWriter writer, DataViewSchema.Column column)
    {
        writer.Write(column.Name);
        ValueCodec.WriteType(writer, column.Type);
        DataViewSchema.Column[] annotations = [.. column.Annotations.Schema.Where(annotation => ValueCodec.CanWrite(annotation.Type))];
        writer.Write(annotations.Length);
        foreach (DataViewSchema.Column annotation in annotations)
        {
            writer.Write(annotation.Name);
            ValueCodec.WriteType(writer, annotation.Type);
            ValueCodec.WriteAnnotation(writer, column.Annotations, annotation);
        }
    }

    public static DataViewSchema ReadSchema(Stream stream)
    {
        using var reader = new BinaryReader(stream, Encoding.UTF8, leaveOpen: true);
        return ReadSchema(reader);
    }

    private static DataViewSchema ReadSchema(BinaryReader reader)
    {
        Contracts.CheckDecode(reader.ReadUInt64() == Magic, "Not a binary data view file");
        var schema = new DataViewSchema.Builder();
        for (int left = reader.ReadInt32(); left > 0; left--)
        {
            string name = reader.ReadString();
            DataViewType type = ValueCodec.ReadType(reader);
            var annotations = new DataViewSchema.Annotations.Builder();
            for (int kinds = reader.ReadInt32(); kinds > 0; kinds--)
            {
                string kind = reader.ReadString();
                DataViewType kindType = ValueCodec.ReadType(reader);
                annotations.Add(kind, kindType, ValueCodec.ReadConstant(reader, kindType));
            }
            schema.AddColumn(name, type, annotations.ToAnnotations());
        }
        return schema.ToSchema();
    }

    public static IDataView Load(Func<Stream> open)
    {
        using Stream stream = open();
        DataViewSchema schema = ReadSchema(stream);
        stream.Seek(-sizeof(long), SeekOrigin.End);
        using var reader = new BinaryReader(stream);
        return new BinaryDataView(open, schema, reader.ReadInt64());
    }

    private sealed class BinaryDataView(Func<Stream> open, DataViewSchema schema, long rows) : IDataView
    {
        public bool CanShuffle => true;
        public DataViewSchema Schema => schema;
        public long? GetRowCount() => rows;

        public DataViewRowCursor GetRowCursor(IEnumerable<DataViewSchema.Column> columnsNeeded, Random rand = null)
            => rand != null
                ? new CacheDataView(this).GetRowCursor(columnsNeeded, rand)
                : new Cursor(open(), schema, Rows.Predicate(columnsNeeded, schema));

        public DataViewRowCursor[] GetRowCursorSet(IEnumerable<DataViewSchema.Column> columnsNeeded, int n, Random rand = null)
            => [GetRowCursor(columnsNeeded, rand)];
    }

    private sealed class Cursor : DataViewRowCursor
    {
        private readonly Func<int, bool> _active;
        private readonly BinaryReader _reader;
        private readonly ValueCodec.Slot[] _slots;
        private long _position = -1;

        public Cursor(Stream stream, DataViewSchema schema, Func<int, bool> active)
        {
            _reader = new BinaryReader(stream, Encoding.UTF8);
            ReadSchema(_reader);
            Schema = schema;
            _active = active;
            _slots = [.. schema.Select(column => ValueCodec.SlotFor(column.Type))];
        }

        public override long Position => _position;
        public override long Batch => 0;
        public override DataViewSchema Schema { get; }
        public override bool IsColumnActive(DataViewSchema.Column column) => _active(column.Index);

        public override bool MoveNext()
        {
            if (_position < -1 || !_reader.ReadBoolean())
            {
                _position = -2;
                return false;
            }
            Array.ForEach(_slots, slot => slot.Read(_reader));
            _position++;
            return true;
        }

        public override ValueGetter<DataViewRowId> GetIdGetter() => (ref DataViewRowId id) => id = new DataViewRowId((ulong)Position, 0);

        public override ValueGetter<TValue> GetGetter<TValue>(DataViewSchema.Column column)
        {
            Contracts.Check(IsColumnActive(column));
            return Rows.Typed<TValue>(_slots[column.Index].Getter);
        }

        protected override void Dispose(bool disposing)
        {
            if (disposing)
                _reader.Dispose();
        }
    }
}
