using System.Diagnostics;
using Microsoft.ML.Data;

namespace Microsoft.ML.Diffusion.Benchmarks;

/// <summary>Trains on Fashion-MNIST for some minutes, then writes generated images as raw bytes, class after class in turn: what peer.py train does.</summary>
internal static class TrainingRun
{
    private const int Classes = 10;

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
            Network = UNetOptions.Compact with { BaseChannels = options.Base },
            MaximumSteps = options.Steps,
            MaximumDuration = TimeSpan.FromMinutes(options.Minutes),
            BatchSize = options.Batch,
            Progress = clock,
        }).Fit(images);
        double trained = Stopwatch.GetElapsedTime(start).TotalSeconds;

        start = Stopwatch.GetTimestamp();
        using DdpmTransformer drawing = model.WithSampler(Worker.Sampler(options)).WithBatchSize(options.GenerateBatch);
        Garments.WholeFile.Write(options.Output ?? throw new ArgumentException("--output is missing."), path =>
        {
            using FileStream file = File.Create(path);
            foreach (byte[] image in drawing.Transform(Requests(context, options.Images)).GetColumn<byte[]>("Image"))
                file.Write(image);
        });
        return Measurement.Of("train", options.Batch, clock.Intervals(0), model.Network.CountParameters(model.Shape), options.Device) with
        {
            Steps = model.TrainedSteps,
            TrainSeconds = trained,
            GenerateSeconds = Stopwatch.GetElapsedTime(start).TotalSeconds,
            Loss = clock.Loss,
            SamplerSteps = options.SamplerSteps,
        };
    }

    /// <summary>Requests for images of each class in turn, with seeds.</summary>
    public static IDataView Requests(MLContext context, int count, int classes = Classes)
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
