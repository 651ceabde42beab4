using Microsoft.ML.Data;

namespace Microsoft.ML.Diffusion;

/// <summary>Key columns that know the names of their values, as MapValueToKey makes them.</summary>
internal static class KeyColumns
{
    /// <summary>Adds a UInt32 key column whose key k stands for <paramref name="names"/>[k − 1].</summary>
    public static void AddKeyColumn(this DataViewSchema.Builder schema, string column, IReadOnlyList<string> names)
    {
        ReadOnlyMemory<char>[] values = [.. names.Select(name => name.AsMemory())];
        var annotations = new DataViewSchema.Annotations.Builder();
        annotations.Add("KeyValues", new VectorDataViewType(TextDataViewType.Instance, values.Length),
            (ref VBuffer<ReadOnlyMemory<char>> value) => new VBuffer<ReadOnlyMemory<char>>(values.Length, values).CopyTo(ref value));
        schema.AddColumn(column, new KeyDataViewType(typeof(uint), values.Length), annotations.ToAnnotations());
    }
}
