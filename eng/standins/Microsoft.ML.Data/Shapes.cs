namespace Microsoft.ML.Data;

/// <summary>What estimators say about their outputs before any data is seen.</summary>
internal static class Shapes
{
    public static SchemaShape.Column Find(SchemaShape shape, string name)
        => shape.TryFindColumn(name, out SchemaShape.Column column) ? column : throw Contracts.ExceptSchemaMismatch("inputSchema", "input", name);

    public static SchemaShape Add(SchemaShape shape, (string outputColumnName, string inputColumnName)[] pairs,
        Func<int, SchemaShape.Column, SchemaShape.Column> output)
    {
        var columns = shape.ToDictionary(column => column.Name);
        for (int i = 0; i < pairs.Length; i++)
            columns[pairs[i].outputColumnName] = output(i, Find(shape, pairs[i].inputColumnName)).WithName(pairs[i].outputColumnName);
        return new SchemaShape(columns.Values);
    }
}
