using System.Runtime.CompilerServices;
using Microsoft.ML.Data;
using Microsoft.ML.Transforms.Image;

namespace Microsoft.ML.Diffusion;

/// <summary>The schema that an estimator promises before it is fitted.</summary>
internal static class SchemaShapes
{
    /// <summary>Adds the generated column to the shape of an input, replacing one of its name.</summary>
    /// <param name="input">The shape of the training data.</param>
    /// <param name="image">The image column in it, whose kind the output has.</param>
    /// <param name="outputColumnName">The generated column.</param>
    public static SchemaShape Add(SchemaShape input, SchemaShape.Column image, string outputColumnName)
    {
        var generated = CreateColumn(outputColumnName, image.Kind, image.ItemType, isKey: false, annotations: null);
        return new SchemaShape(input.Where(c => c.Name != outputColumnName).Append(generated));
    }

    /// <summary>Finds a column by name.</summary>
    public static SchemaShape.Column? Find(SchemaShape input, string name) =>
        input.Any(c => c.Name == name) ? input.First(c => c.Name == name) : null;

    /// <summary>Whether a column can hold images.</summary>
    public static bool IsImage(SchemaShape.Column column) =>
        column.ItemType is ImageDataViewType
        || (column.Kind != SchemaShape.Column.VectorKind.Scalar && !column.IsKey && column.ItemType is NumberDataViewType { RawType: var type }
            && (type == typeof(float) || type == typeof(double) || type == typeof(byte)));

    // ML.NET keeps this constructor to itself, though no estimator can do without it.
    [UnsafeAccessor(UnsafeAccessorKind.Constructor)]
    private static extern SchemaShape.Column CreateColumn(
        string name, SchemaShape.Column.VectorKind vecKind, DataViewType itemType, bool isKey, SchemaShape? annotations);
}
