using System.Collections.Immutable;

namespace Microsoft.ML
{
    public static class DebuggerExtensions
    {
        public static DataDebuggerPreview Preview(this IDataView data, int maxRows = 100) => new(data, maxRows);
    }
}

namespace Microsoft.ML.Data
{
    public sealed class DataDebuggerPreview
    {
        internal DataDebuggerPreview(IDataView data, int maxRows = 100)
        {
            Contracts.CheckValue(data, nameof(data));
            Contracts.CheckParam(maxRows >= 0, nameof(maxRows));
            Schema = data.Schema;
            using DataViewRowCursor cursor = data.GetRowCursor(Schema);
            Func<object>[] readers = [.. Schema.Select(column => Generic.Invoke<Func<object>>(typeof(DataDebuggerPreview), nameof(Reader), [column.Type.RawType], cursor, column))];
            var rows = new List<RowInfo>();
            while (rows.Count < maxRows && cursor.MoveNext())
            {
                var row = new RowInfo(readers.Length);
                for (int i = 0; i < readers.Length; i++)
                    row.Values[i] = new KeyValuePair<string, object>(Schema[i].Name, readers[i]());
                rows.Add(row);
            }
            RowView = [.. rows];
            ColumnView = [.. Schema.Select(column => new ColumnInfo(column, [.. rows.Select(row => row.Values[column.Index].Value)]))];
        }

        public DataViewSchema Schema { get; }
        public ImmutableArray<ColumnInfo> ColumnView { get; }
        public ImmutableArray<RowInfo> RowView { get; }

        public override string ToString() => $"{Schema.Count} columns, {RowView.Length} rows";

        private static Func<object> Reader<T>(DataViewRow row, DataViewSchema.Column column)
        {
            ValueGetter<T> getter = row.GetGetter<T>(column);
            return () =>
            {
                T value = default;
                getter(ref value);
                return value;
            };
        }

        public sealed class ColumnInfo
        {
            internal ColumnInfo(DataViewSchema.Column column, object[] values)
            {
                Column = column;
                Values = values;
            }

            public DataViewSchema.Column Column { get; }
            public object[] Values { get; }

            public override string ToString() => $"{Column.Name}: {Column.Type}";
        }

        public sealed class RowInfo
        {
            internal RowInfo(int n) => Values = new KeyValuePair<string, object>[n];

            public KeyValuePair<string, object>[] Values { get; }

            public override string ToString() => $"{Values.Length} columns";
        }
    }
}
