using System.Diagnostics;
using Microsoft.ML.Data;

namespace Microsoft.ML.Diffusion.Benchmarks;

/// <summary>Trains on Fashion-MNIST for some minutes, then writes generated images as raw bytes, class after class in turn: what peer.py train does.</summary>
internal static class TrainingRun
{
    /// <summary>Runs it.</summary>
    public static Measurement Run(WorkerOptions options)
    {
        MLContext context = Worker.Context(options);
        IDataView images = FashionMnist.Load(context, options.Data, training: true, options.Size);
        var clock = new StepClock();
        long start = Stopwatch.GetTimestamp();
        using DdpmTransformer model = context.Generative.Ddpm(new DdpmTrainer.Options
        {
            LabelColumnName = "Label",
            Network = Worker.Network(options),
            MaximumSteps = options.Steps,
            MaximumDuration = TimeSpan.FromMinutes(options.Minutes),
            BatchSize = options.Batch,
            Precision = options.Precision,
            Progress = clock,
        }).Fit(images);
        double trained = Stopwatch.GetElapsedTime(start).TotalSeconds;

        return Write(context, model, options) with
        {
            Images = options.Batch,
            Seconds = clock.Intervals(0),
            MedianSeconds = clock.Intervals(0).Median(),
            ImagesPerSecond = options.Batch / clock.Intervals(0).Median(),
            Steps = model.TrainedSteps,
            TrainSeconds = trained,
            Loss = clock.Loss,
        };
    }

    /// <summary>Only generates, with a model that was trained elsewhere.</summary>
    public static Measurement Generate(WorkerOptions options)
    {
        MLContext context = Worker.Context(options);
        using DdpmTransformer model = Worker.Load(context, options);
        return Write(context, model, options) with { Steps = model.TrainedSteps };
    }

    private static Measurement Write(MLContext context, DdpmTransformer model, WorkerOptions options)
    {
        long start = Stopwatch.GetTimestamp();
        using DdpmTransformer unguided = model.Shape.Classes > 0 ? model.WithGuidance(1) : model.WithBatchSize(1);
        using DdpmTransformer drawing = unguided.WithSampler(Worker.Sampler(options)).WithBatchSize(options.GenerateBatch);
        Garments.WholeFile.Write(options.Output ?? throw new ArgumentException("--output is missing."), path =>
        {
            using FileStream file = File.Create(path);
            foreach (byte[] image in drawing.Transform(Requests(context, options.Images, model.Shape.Classes)).GetColumn<byte[]>(model.OutputColumnName))
                file.Write(image);
        });
        double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        return Measurement.Of(options.Mode, options.Images, [seconds], model.Network.CountParameters(model.Shape), options.Device, options.Precision) with
        {
            GenerateSeconds = seconds,
            SamplerSteps = options.SamplerSteps,
        };
    }

    /// <summary>Requests for images of each class in turn, with seeds.</summary>
    public static IDataView Requests(MLContext context, int count, int classes)
    {
        var definition = SchemaDefinition.Create(typeof(Request));
        definition["Label"].ColumnType = new KeyDataViewType(typeof(uint), Math.Max(classes, 1));
        return context.Data.LoadFromEnumerable(
            Enumerable.Range(0, count).Select(i => new Request { Label = (uint)(i % Math.Max(classes, 1)) + 1, Seed = i }), definition);
    }

    private sealed class Request
    {
        public uint Label { get; set; }

        public long Seed { get; set; }
    }
}
