namespace Microsoft.ML.Data;

internal static class AnnotationUtils
{
    public static class Kinds
    {
        public const string KeyValues = "KeyValues";
        public const string SlotNames = "SlotNames";
        public const string IsNormalized = "IsNormalized";
    }

    public static bool HasVector(this DataViewSchema.Column column, string kind, int size, PrimitiveDataViewType itemType = null)
        => size > 0 && column.Annotations.Schema.GetColumnOrNull(kind)?.Type is VectorDataViewType vector
            && vector.Size == size && (itemType == null || vector.ItemType.Equals(itemType));
}
