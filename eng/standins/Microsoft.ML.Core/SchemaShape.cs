using System.Collections;

namespace Microsoft.ML;

public sealed class SchemaShape : IReadOnlyList<SchemaShape.Column>
{
    private static readonly SchemaShape _empty = new([]);
    private readonly Column[] _columns;

    public SchemaShape(IEnumerable<Column> columns)
    {
        Contracts.CheckValue(columns, nameof(columns));
        _columns = columns.ToArray();
        Contracts.CheckParam(_columns.All(column => column.IsValid), nameof(columns), "Some items are not initialized properly.");
    }

    public int Count => _columns.Length;

    public Column this[int index] => _columns[index];

    public IEnumerator<Column> GetEnumerator() => ((IEnumerable<Column>)_columns).GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    internal bool TryFindColumn(string name, out Column column)
    {
        column = _columns.FirstOrDefault(candidate => candidate.Name == name);
        return column.IsValid;
    }

    internal static SchemaShape Create(DataViewSchema schema)
        => new(schema.Where(column => !column.IsHidden).Select(column => Describe(column.Name, column.Type,
            new SchemaShape(column.Annotations.Schema.Select(annotation => Describe(annotation.Name, annotation.Type))))));

    internal static Column Describe(string name, DataViewType type, SchemaShape annotations = null)
    {
        var kind = type is not VectorDataViewType vector ? Column.VectorKind.Scalar
            : vector.IsKnownSize ? Column.VectorKind.Vector : Column.VectorKind.VariableVector;
        DataViewType item = type.GetItemType();
        bool isKey = item is KeyDataViewType;
        return new Column(name, kind, isKey ? DataTypes.PrimitiveFor(item.RawType) : item, isKey, annotations);
    }

    public struct Column
    {
        public readonly string Name;
        public readonly VectorKind Kind;
        public readonly DataViewType ItemType;
        public readonly bool IsKey;
        public readonly SchemaShape Annotations;

        internal Column(string name, VectorKind vecKind, DataViewType itemType, bool isKey, SchemaShape annotations = null)
        {
            Contracts.CheckNonEmpty(name, nameof(name));
            Contracts.CheckParam(itemType is not KeyDataViewType, nameof(itemType), "Item type cannot be a key");
            Contracts.CheckParam(itemType is not VectorDataViewType, nameof(itemType), "Item type cannot be a vector");
            Contracts.CheckParam(!isKey || KeyDataViewType.IsValidDataType(itemType.RawType), nameof(itemType), "The item type must be valid for a key");
            Name = name;
            Kind = vecKind;
            ItemType = itemType;
            IsKey = isKey;
            Annotations = annotations ?? _empty;
        }

        internal readonly bool IsValid => Name != null;

        internal readonly Column WithName(string name) => new(name, Kind, ItemType, IsKey, Annotations);

        public enum VectorKind
        {
            Scalar = 0,
            Vector = 1,
            VariableVector = 2,
        }
    }
}
