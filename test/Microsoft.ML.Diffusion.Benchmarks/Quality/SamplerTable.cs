using System.Diagnostics;
using System.Globalization;
using Microsoft.ML.Data;

namespace Microsoft.ML.Diffusion.Benchmarks;

/// <summary>What the table of samplers is asked for.</summary>
/// <param name="Model">A model of 32x32 grey images, as ./build.sh sample leaves it.</param>
/// <param name="Images">For each row of the table.</param>
/// <param name="Steps">The numbers of steps.</param>
/// <param name="FullDdpm">Whether all steps of the ancestral sampler are taken too, which takes long.</param>
/// <param name="Guidance">The guidance scale; 1 asks the network once a step.</param>
/// <param name="Batch">Images drawn together; null for the model's own.</param>
/// <param name="Only">Samplers whose names contain this; null for all.</param>
/// <param name="Document">The document to write the table into; null for none.</param>
/// <param name="Output">The folder for the table as a file.</param>
internal sealed record SamplerTableOptions(
    string Model, int Images, int[] Steps, bool FullDdpm, double Guidance, int? Batch, string? Only, string? Document, string Output);

/// <summary>Sampler × steps → Fréchet distance and time, on Fashion-MNIST with a trained model.</summary>
internal static class SamplerTable
{
    private sealed record Sampler(string Name, Func<int, DiffusionSampler> Make, Func<int, int> Evaluations);

    private static readonly Sampler[] Samplers =
    [
        new("DDPM", steps => DiffusionSampler.Ddpm(steps), steps => steps),
        new("DDIM", steps => DiffusionSampler.Ddim(steps), steps => steps),
        new("DPM-Solver++ 2M", steps => DiffusionSampler.DpmSolverPlusPlus(steps), steps => steps),
        new("DPM-Solver++ 3M", steps => DiffusionSampler.DpmSolverPlusPlus(steps, order: 3), steps => steps),
        new("DPM-Solver++ 2M SDE", steps => DiffusionSampler.DpmSolverPlusPlus(steps, eta: 1), steps => steps),
        new("UniPC", steps => DiffusionSampler.UniPC(steps), steps => steps),
        new("Heun", steps => DiffusionSampler.Heun(steps), steps => 2 * steps - 1),
    ];

    /// <summary>Measures; the files are written anew after every row, so that a run that is cut short leaves what it had.</summary>
    public static int Run(SamplerTableOptions options)
    {
        Directory.CreateDirectory(options.Output);
        var context = new MLContext(seed: 1);
        ITransformer loaded = context.Model.Load(options.Model, out _);
        using DdpmTransformer model = Generator(loaded, options);
        using var fidelity = new FashionFidelity(context);
        IDataView requests = TrainingRun.Requests(context, options.Images, model.Shape.Classes);

        // The first batch of a process pays for what the others find ready.
        using (DdpmTransformer brief = model.WithSampler(DiffusionSampler.Ddim(1)))
            _ = brief.Transform(TrainingRun.Requests(context, model.BatchSize, model.Shape.Classes)).GetColumn<byte[]>(model.OutputColumnName).Count();
        FidelityMetrics floor = fidelity.Floor(options.Images);
        string note = $"{options.Images:N0} images a row, guidance scale {options.Guidance.ToString(CultureInfo.InvariantCulture)}, batches of {model.BatchSize}, from a model trained for {model.TrainedSteps:N0} steps; Fréchet distance from the 10,000 test images over "
            + $"{FashionFeatures.Length} whitened features of a fixed random network, {Text.Figures(floor.FrechetDistance)} for as many real images. {Machine.Describe("cpu", null, 0)}\n\n";
        var table = new Table("sampler", "steps", "network evaluations", "Fréchet distance", "time", "images/s");

        var rows = from sampler in Samplers
                   where options.Only is null || sampler.Name.Contains(options.Only, StringComparison.OrdinalIgnoreCase)
                   from steps in sampler.Name == "DDPM" && options.FullDdpm ? [.. options.Steps, model.Schedule.Timesteps] : options.Steps
                   select (sampler, steps);
        foreach ((Sampler sampler, int steps) in rows)
        {
            using DdpmTransformer drawing = model.WithSampler(sampler.Make(steps));
            long start = Stopwatch.GetTimestamp();
            byte[][] images = [.. drawing.Transform(requests).GetColumn<byte[]>(model.OutputColumnName)];
            double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
            FidelityMetrics metrics = fidelity.Evaluate(images);
            Console.WriteLine($"{sampler.Name}, {steps} steps: {Text.Time(seconds)}, {metrics}");
            table.Add(sampler.Name, $"{steps}", $"{sampler.Evaluations(steps)}", Text.Figures(metrics.FrechetDistance), Text.Time(seconds), Text.Figures(options.Images / seconds));

            ReportFile.Write(Path.Combine(options.Output, "samplers.csv"), table.ToCsv());
            if (options.Document is { } document)
                ReportFile.WriteBetweenMarkers(document, "samplers", note + table.ToMarkdown());
        }
        Console.Write($"\n{note}{table.ToMarkdown()}");
        return 0;
    }

    private static DdpmTransformer Generator(ITransformer loaded, SamplerTableOptions options)
    {
        DdpmTransformer? found = loaded as DdpmTransformer ?? (loaded as IEnumerable<ITransformer>)?.OfType<DdpmTransformer>().LastOrDefault();
        if (found is not { Shape: { Channels: 1, Height: 32, Width: 32 } })
            throw new ArgumentException($"'{options.Model}' holds no model of grey 32x32 images; ./build.sh sample makes one.");
        DdpmTransformer model = found.Shape.Classes > 0 ? found.WithGuidance(options.Guidance) : found;
        return options.Batch is { } batch ? model.WithBatchSize(batch) : model;
    }
}
