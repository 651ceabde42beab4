namespace Microsoft.ML.Data;

public static class DataViewTypeManager
{
    private static readonly Lock _lock = new();
    private static readonly Dictionary<(Type Type, DataViewTypeAttribute Attribute), DataViewType> _typeOf = [];
    private static readonly Dictionary<DataViewType, (Type Type, DataViewTypeAttribute Attribute)> _rawOf = [];

    public static void Register(DataViewType dataViewType, Type type, DataViewTypeAttribute typeAttribute = null)
    {
        Contracts.CheckParam(DataTypes.PrimitiveFor(type) == null, nameof(type), $"Type {type} is one of the built-in types and cannot be registered again.");
        lock (_lock)
        {
            if (_typeOf.TryGetValue((type, typeAttribute), out DataViewType known) && !known.Equals(dataViewType))
                throw Contracts.ExceptParam(nameof(type), $"Repeated type register. The raw type {type} has been associated with {known} so it cannot be associated with {dataViewType}.");
            if (_rawOf.TryGetValue(dataViewType, out var raw) && !raw.Equals((type, typeAttribute)))
                throw Contracts.ExceptParam(nameof(dataViewType), $"Repeated type register. The DataView type {dataViewType} has been associated with {raw.Type} so it cannot be associated with {type}.");
            _typeOf[(type, typeAttribute)] = dataViewType;
            _rawOf[dataViewType] = (type, typeAttribute);
        }
    }

    internal static DataViewType TypeOrNull(Type type, DataViewTypeAttribute attribute)
    {
        lock (_lock)
            return _typeOf.GetValueOrDefault((type, attribute));
    }
}
