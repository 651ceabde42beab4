using Microsoft.ML;
using Microsoft.ML.Data;

namespace Garments;

/// <summary>Asks a model for pictures, some of each class, and lays them out: one class a row.</summary>
internal static class ImageGrid
{
    private const int Gap = 4, Scale = 2, LabelWidth = 150;

    /// <param name="schema">The columns that the model was trained on; its Label column knows the classes.</param>
    public static Canvas Generate(MLContext mlContext, ITransformer model, DataViewSchema schema, int seed, int columns)
    {
        string[] classes = ClassNames(schema);
        int rows = classes.Length > 0 ? classes.Length : columns;

        // One request a row: which class (a key is written from 0 on), and a seed that makes the picture repeatable.
        IEnumerable<Request> wanted = Enumerable.Range(0, rows * columns).Select(i => new Request { Label = (uint)(i / columns), Seed = seed * 10_000L + i });
        var definition = SchemaDefinition.Create(typeof(Request));
        definition["Label"].ColumnType = new KeyDataViewType(typeof(uint), Math.Max(classes.Length, 1));
        IDataView generated = model.Transform(mlContext.Data.LoadFromEnumerable(wanted, definition));

        List<Canvas> pictures = [.. Read(generated)];
        (int width, int height) = (pictures[0].Width * Scale + Gap, pictures[0].Height * Scale + Gap);
        int left = classes.Length > 0 ? LabelWidth : 0;
        var grid = new Canvas(left + columns * width + Gap, rows * height + Gap);
        for (int i = 0; i < pictures.Count; i++)
        {
            grid.Draw(pictures[i], left + Gap + i % columns * width, Gap + i / columns * height, Scale);
        }

        for (int row = 0; row < classes.Length; row++)
        {
            grid.Text(classes[row], Gap * 2, row * height + height / 2 - 5, Canvas.Ink, 2);
        }

        return grid;
    }

    private static string[] ClassNames(DataViewSchema schema)
    {
        if (schema.GetColumnOrNull("Label") is not { } label)
        {
            return [];
        }

        VBuffer<ReadOnlyMemory<char>> names = default;
        label.GetKeyValues(ref names);
        return [.. names.DenseValues().Select(name => name.ToString())];
    }

    // The generated column has the type of the column trained on: bytes of one channel here, pictures from a folder of files.
    private static IEnumerable<Canvas> Read(IDataView generated)
    {
        if (generated.Schema["Image"].Type is VectorDataViewType { Dimensions: [_, var height, var width] })
        {
            return generated.GetColumn<byte[]>("Image").Select(bytes => Canvas.FromGrey(bytes, width, height));
        }

        return generated.GetColumn<MLImage>("Image").Select(image =>
        {
            using (image)
            {
                return Canvas.FromImage(image);
            }
        });
    }

    private sealed class Request
    {
        public uint Label { get; set; }

        public long Seed { get; set; }
    }
}
