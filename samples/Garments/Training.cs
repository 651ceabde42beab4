using System.Diagnostics;
using Microsoft.ML;
using Microsoft.ML.Diffusion;

namespace Garments;

internal sealed record TrainingOptions(
    string? Images, double? Minutes, int? Steps, int Size, int? BatchSize, int BaseChannels, int? Gpu, int SamplerSteps, double Guidance, string Output, int Seed, int Columns, bool Again);

/// <summary>Trains a model, saves it, and shows what it has learned.</summary>
internal static class Training
{
    public static int Run(TrainingOptions options, CancellationToken cancellation)
    {
        var mlContext = new MLContext(options.Seed) { GpuDeviceId = options.Gpu };
        GarmentData data = GarmentData.Load(mlContext, options.Images, options.Size);
        Console.WriteLine($"Data: {data.Description}.");

        var progress = new TrainingProgress();
        var trainer = mlContext.Generative.Ddpm(new DdpmTrainer.Options
        {
            ImageColumnName = "Image",
            LabelColumnName = data.HasClasses ? "Label" : null,
            Network = UNetOptions.Mini with { BaseChannels = options.BaseChannels },
            MaximumSteps = options.Steps ?? int.MaxValue,
            MaximumDuration = options.Minutes is { } minutes ? TimeSpan.FromMinutes(minutes) : null,
            BatchSize = options.BatchSize,
            LearningRateDecay = LearningRateDecay.Cosine,
            Sampler = DiffusionSampler.DpmSolverPlusPlus(options.SamplerSteps),
            GuidanceScale = data.HasClasses ? options.Guidance : 1,
            Progress = progress,
            CancellationToken = cancellation,
        });

        using DdpmTransformer model = progress.Show(() => trainer.Fit(data.Images));

        Directory.CreateDirectory(options.Output);
        string modelFile = Path.Combine(options.Output, "model.zip");
        string lossFile = Path.Combine(options.Output, "loss.png");
        string gridFile = Path.Combine(options.Output, "garments.png");

        WholeFile.Write(modelFile, path => mlContext.Model.Save(model, data.Images.Schema, path));
        LossChart.Draw(progress.Losses).Save(lossFile);
        ImageGrid.Generate(mlContext, model, data.Images.Schema, options.Seed, options.Columns).Save(gridFile);
        foreach (string file in new[] { gridFile, lossFile, modelFile })
        {
            Console.WriteLine($"Wrote {file}");
        }

        return options.Again ? GenerateInNewProcess(options, modelFile, gridFile) : 0;
    }

    // A model is worth something when another program, on another day, gets the same pictures out of it.
    private static int GenerateInNewProcess(TrainingOptions options, string modelFile, string gridFile)
    {
        string again = Path.Combine(options.Output, "garments-again.png");
        string[] arguments = ["generate", "--model", modelFile, "--picture", again, "--compare", gridFile, "--seed", $"{options.Seed}", "--columns", $"{options.Columns}"];
        using Process process = Process.Start("dotnet", [typeof(Training).Assembly.Location, .. arguments]);
        process.WaitForExit();
        return process.ExitCode;
    }
}
