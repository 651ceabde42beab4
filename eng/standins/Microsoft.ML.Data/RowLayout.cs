using System.Reflection;

namespace Microsoft.ML.Data;

/// <summary>The columns of a user's class, checked against its members.</summary>
internal sealed class RowLayout
{
    private RowLayout(Column[] columns) => Columns = columns;

    public Column[] Columns { get; }

    public sealed record Column(string Name, DataViewType Type, MemberInfo Member, MemberType MemberType, DataViewSchema.Annotations Annotations);

    public static RowLayout Create(Type userType, SchemaDefinition definition, SchemaDefinition.Direction direction)
    {
        definition ??= SchemaDefinition.Create(userType, direction);
        return new RowLayout([.. definition.Select(column => Bind(userType, column))]);
    }

    private static Column Bind(Type userType, SchemaDefinition.Column column)
    {
        const string Parameter = "userSchemaDefinition";
        MemberInfo member = (MemberInfo)userType.GetField(column.MemberName) ?? userType.GetProperty(column.MemberName);
        Contracts.CheckParam(member != null, Parameter, $"No field or property with name '{column.MemberName}' found in type '{userType.FullName}'");
        string name = string.IsNullOrEmpty(column.ColumnName) ? column.MemberName : column.ColumnName;
        MemberType type = MemberType.Of(member);
        DataViewType columnType = column.ColumnType;
        if (columnType == null)
        {
            PrimitiveDataViewType item = DataTypes.PrimitiveFor(type.Item);
            columnType = type.IsVector ? new VectorDataViewType(item) : item;
        }
        Contracts.CheckParam(type.IsVector == columnType is VectorDataViewType, Parameter,
            $"Column '{name}' is supposed to be {Shape(!type.IsVector)}, but type of associated field '{column.MemberName}' is {Shape(type.IsVector)}");
        Contracts.CheckParam(columnType.GetItemType().RawType == type.Item, Parameter,
            $"Column '{name}' is supposed to have item type {columnType.GetItemType().RawType}, but associated field has type {type.Item}");
        return new Column(name, columnType, member, type, column.Annotations);
    }

    private static string Shape(bool isVector) => isVector ? "vector" : "scalar";

    public DataViewSchema ToSchema()
    {
        var builder = new DataViewSchema.Builder();
        foreach (Column column in Columns)
            builder.AddColumn(column.Name, column.Type, column.Annotations);
        return builder.ToSchema();
    }
}
