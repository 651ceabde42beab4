using System.Reflection;

namespace Microsoft.ML.Data;

public sealed class SchemaDefinition : List<SchemaDefinition.Column>
{
    private SchemaDefinition() { }

    public Column this[string columnName]
    {
        get => Find(column => column.ColumnName == columnName);
        set
        {
            Contracts.CheckValue(value, nameof(value));
            Contracts.CheckParam(value.ColumnName == columnName, nameof(columnName),
                $"The column name is specified as '{value.ColumnName}' but must match the selector '{columnName}'.");
            int index = FindIndex(column => column.ColumnName == columnName);
            if (index >= 0)
                this[index] = value;
            else
                Add(value);
        }
    }

    [Flags]
    public enum Direction
    {
        Read = 1,
        Write = 2,
        Both = Read | Write,
    }

    public static SchemaDefinition Create(Type userType, Direction direction = Direction.Both)
    {
        Contracts.CheckValue(userType, nameof(userType));
        var definition = new SchemaDefinition();
        foreach (MemberInfo member in Members(userType, direction))
        {
            string name = member.GetCustomAttribute<ColumnNameAttribute>()?.Name ?? member.Name;
            Contracts.CheckParam(definition[name] == null, nameof(userType), $"Duplicate column name '{name}' detected, this is disallowed");
            definition.Add(new Column(member.Name, ColumnTypeOf(member), name));
        }
        return definition;
    }

    private static IEnumerable<MemberInfo> Members(Type userType, Direction direction)
    {
        const BindingFlags Public = BindingFlags.Public | BindingFlags.Instance;
        IEnumerable<MemberInfo> fields = userType.GetFields(Public).Where(field => field.FieldType != typeof(IChannel));
        IEnumerable<MemberInfo> properties = userType.GetProperties(Public).Where(property
            => property.GetIndexParameters().Length == 0 && property.PropertyType != typeof(IChannel)
            && (direction.HasFlag(Direction.Read) && property.GetGetMethod() != null
                || direction.HasFlag(Direction.Write) && property.GetSetMethod() != null));
        return fields.Concat(properties).Where(member => member.GetCustomAttribute<NoColumnAttribute>() == null);
    }

    private static DataViewType ColumnTypeOf(MemberInfo member)
    {
        DataViewTypeAttribute custom = member.GetCustomAttribute<DataViewTypeAttribute>();
        custom?.Register();
        MemberType type = MemberType.Of(member);
        if (type.Custom != null)
            return type.Custom;

        PrimitiveDataViewType itemType = DataTypes.PrimitiveFor(type.Item);
        if (member.GetCustomAttribute<KeyTypeAttribute>() is { } key)
        {
            Contracts.CheckParam(KeyDataViewType.IsValidDataType(type.Item), "userType",
                $"Member {member.Name} marked with KeyType attribute, but does not appear to be a valid kind of data for a key type");
            itemType = new KeyDataViewType(type.Item, key.KeyCount.Count.GetValueOrDefault());
        }
        var vector = member.GetCustomAttribute<VectorTypeAttribute>();
        Contracts.CheckParam(vector == null || type.IsVector, "userType",
            $"Member {member.Name} marked with {nameof(VectorTypeAttribute)}, but does not appear to be a vector type");
        if (!type.IsVector)
            return itemType;
        return vector is { Dimensions.Length: > 0 } ? new VectorDataViewType(itemType, vector.Dimensions) : new VectorDataViewType(itemType);
    }

    public sealed class Column
    {
        private readonly DataViewSchema.Annotations.Builder _annotations = new();

        internal Column(string memberName, DataViewType columnType, string columnName = null)
        {
            Contracts.CheckNonEmpty(memberName, nameof(memberName));
            MemberName = memberName;
            ColumnName = columnName ?? memberName;
            ColumnType = columnType;
        }

        public string MemberName { get; }
        public string ColumnName { get; set; }
        public DataViewType ColumnType { get; set; }
        public DataViewSchema.Annotations Annotations => _annotations.ToAnnotations();
    }
}

/// <summary>What a field or property holds: a scalar or a vector of which item, or a registered type of its own.</summary>
internal readonly record struct MemberType(Type Declared, Type Item, bool IsVector, DataViewType Custom)
{
    public static Type DeclaredTypeOf(MemberInfo member) => member is FieldInfo field ? field.FieldType : ((PropertyInfo)member).PropertyType;

    public static MemberType Of(MemberInfo member)
        => Of(member.Name, DeclaredTypeOf(member), member.GetCustomAttribute<DataViewTypeAttribute>());

    public static MemberType Of(string name, Type declared, DataViewTypeAttribute attribute)
    {
        bool isBuffer = declared.IsGenericType && declared.GetGenericTypeDefinition() == typeof(VBuffer<>);
        Type item = declared.IsArray ? declared.GetElementType() : isBuffer ? declared.GetGenericArguments()[0] : declared;
        if (item == typeof(string))
            item = typeof(ReadOnlyMemory<char>);
        DataViewType custom = DataViewTypeManager.TypeOrNull(item, attribute);
        Contracts.CheckParam(custom != null || DataTypes.PrimitiveFor(item) != null, "rawType",
            $"Could not determine an IDataView type and registered custom types for member {name}");
        return new MemberType(declared, item, declared.IsArray || isBuffer, custom);
    }
}
