using Microsoft.ML;

namespace Garments;

internal sealed record GenerationOptions(string Model, string Picture, string? Compare, int Seed, int Columns);

/// <summary>Loads a model in a process that never saw its training, and generates the grid again.</summary>
internal static class Generation
{
    public static int Run(GenerationOptions options)
    {
        if (!File.Exists(options.Model))
        {
            throw new FileNotFoundException($"There is no model '{options.Model}': train one first, or name it with --model.");
        }

        var mlContext = new MLContext(options.Seed);
        ITransformer model = mlContext.Model.Load(options.Model, out DataViewSchema schema);
        using var disposable = model as IDisposable;

        Canvas grid = ImageGrid.Generate(mlContext, model, schema, options.Seed, options.Columns);
        Directory.CreateDirectory(Path.GetDirectoryName(options.Picture)!);
        grid.Save(options.Picture);
        Console.WriteLine($"A new process loaded {Path.GetFileName(options.Model)} and wrote {options.Picture}");
        if (options.Compare is null)
        {
            return 0;
        }

        int difference = grid.LargestDifference(Canvas.Load(options.Compare));
        Console.WriteLine(difference == 0 ? "The pictures agree in every pixel." : $"The pictures differ by up to {difference} of 255.");
        return difference == 0 ? 0 : 1;
    }
}
