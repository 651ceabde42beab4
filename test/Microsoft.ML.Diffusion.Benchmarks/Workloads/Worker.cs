using System.Diagnostics;
using Microsoft.ML.Data;

namespace Microsoft.ML.Diffusion.Benchmarks;

/// <summary>Our side of the comparison: the library's public API and nothing else, in a process of its own, timed by the callbacks that users have.</summary>
internal static class Worker
{
    /// <summary>Runs a workload and prints the measurement.</summary>
    public static int Run(WorkerOptions options)
    {
        LimitThreads(options.Threads);
        Measurement? measurement = options.Mode switch
        {
            "prepare" => Prepare(options),
            "step" => Step(options),
            "denoise" => Denoise(options),
            "sample" => Sample(options),
            "train" => TrainingRun.Run(options),
            "generate" => TrainingRun.Generate(options),
            _ => throw new ArgumentException($"There is no workload '{options.Mode}'."),
        };
        if (measurement is not null)
            Console.WriteLine(measurement.ToLine());
        return 0;
    }

    /// <summary>Holds libtorch to a number of threads; 0 leaves it to the library, which takes every core unless OMP_NUM_THREADS says otherwise.</summary>
    public static void LimitThreads(int threads)
    {
        if (threads == 0)
            return;
        Environment.SetEnvironmentVariable("OMP_NUM_THREADS", $"{threads}");
        set_num_threads(threads);
    }

    /// <summary>A context on the asked device.</summary>
    public static MLContext Context(WorkerOptions options) => new(seed: 1) { GpuDeviceId = options.Device == "cuda" ? 0 : null };

    /// <summary>The sampler of a name.</summary>
    public static DiffusionSampler Sampler(WorkerOptions options) => options.Sampler switch
    {
        "ddpm" => DiffusionSampler.Ddpm(options.SamplerSteps),
        "ddim" => DiffusionSampler.Ddim(options.SamplerSteps),
        "dpm" => DiffusionSampler.DpmSolverPlusPlus(options.SamplerSteps),
        _ => throw new ArgumentException($"There is no sampler '{options.Sampler}'."),
    };

    /// <summary>The network of a name, which brings its recipe with it.</summary>
    public static UNetOptions Network(WorkerOptions options) => options.Network switch
    {
        "compact" => UNetOptions.Compact with { BaseChannels = options.Base },
        "mini" => UNetOptions.Mini,
        _ => throw new ArgumentException($"There is no network '{options.Network}' here; there are compact and mini."),
    };

    /// <summary>Saves a model that has hardly learned: it takes the same time as one that has.</summary>
    private static Measurement? Prepare(WorkerOptions options)
    {
        MLContext context = Context(options);
        IDataView images = Pictures(context, options.Size, 1);
        using DdpmTransformer model = Train(options, context, images, steps: 1, batch: 1, progress: null);
        context.Model.Save(model, images.Schema, options.Model);
        return null;
    }

    private static Measurement Step(WorkerOptions options)
    {
        MLContext context = Context(options);
        var clock = new StepClock();
        int discard = Math.Max(options.Discard, 1);
        using DdpmTransformer model = Train(options, context, Pictures(context, options.Size, 256), discard + options.Iterations, options.Batch, clock);
        return Measurement.Of("step", options.Batch, clock.Intervals(discard - 1), model.Network.CountParameters(model.Shape), options.Device, options.Precision);
    }

    private static Measurement Denoise(WorkerOptions options)
    {
        MLContext context = Context(options);
        using DdpmTransformer model = Load(context, options);
        var clock = new StepClock();
        using DdpmTransformer watched = model
            .WithBatchSize(options.Batch)
            .WithSampler(DiffusionSampler.Ddpm(options.Discard + options.Iterations + 1))
            .WithStepCallback(step => Tick(clock, step));
        Generate(context, watched, options.Batch);
        return Measurement.Of("denoise", options.Batch, clock.Intervals(options.Discard), model.Network.CountParameters(model.Shape), options.Device, options.Precision);
    }

    private static Measurement Sample(WorkerOptions options)
    {
        MLContext context = Context(options);
        using DdpmTransformer model = Load(context, options);
        using DdpmTransformer batched = model.WithBatchSize(options.Batch);
        using (DdpmTransformer brief = batched.WithSampler(DiffusionSampler.Ddim(1)))
            Generate(context, brief, options.Batch);
        using DdpmTransformer drawing = batched.WithSampler(Sampler(options));
        var seconds = new List<double>();
        for (int i = 0; i < options.Iterations; i++)
        {
            long start = Stopwatch.GetTimestamp();
            Generate(context, drawing, options.Images);
            seconds.Add(Stopwatch.GetElapsedTime(start).TotalSeconds);
        }
        return Measurement.Of("sample", options.Images, seconds, model.Network.CountParameters(model.Shape), options.Device, options.Precision) with { SamplerSteps = options.SamplerSteps };
    }

    private static DdpmTransformer Train(WorkerOptions options, MLContext context, IDataView images, int steps, int batch, StepClock? progress) =>
        context.Generative.Ddpm(new DdpmTrainer.Options
        {
            Network = Network(options),
            PixelMinimum = -1,
            PixelMaximum = 1,
            MaximumSteps = steps,
            BatchSize = batch,
            Precision = options.Precision,
            Progress = progress,
        }).Fit(images);

    /// <summary>The model of --model, on --device, computing in --precision.</summary>
    public static DdpmTransformer Load(MLContext context, WorkerOptions options)
    {
        using var model = (DdpmTransformer)context.Model.Load(options.Model ?? throw new ArgumentException("--model is missing."), out _);
        using DdpmTransformer there = model.WithDevice(context);
        return there.WithPrecision(options.Precision);
    }

    private static void Generate(MLContext context, DdpmTransformer model, int images)
    {
        IDataView requests = context.Data.LoadFromEnumerable(Enumerable.Range(0, images).Select(i => new Request { Seed = i }));
        int generated = model.Transform(requests).GetColumn<float[]>("Image").Count();
        if (generated != images)
            throw new InvalidOperationException($"{generated} images came instead of {images}.");
    }

    private static void Tick(StepClock clock, SamplingStep step)
    {
        // A GPU works on after the call; reading a number waits for it.
        if (step.X0.device_type != TorchSharp.DeviceType.CPU)
        {
            using Tensor corner = step.X0[0, 0, 0, 0];
            corner.item<float>();
        }
        clock.Tick();
    }

    private static IDataView Pictures(MLContext context, int size, int count)
    {
        var random = new Random(1);
        var definition = SchemaDefinition.Create(typeof(Picture));
        definition["Image"].ColumnType = new VectorDataViewType(NumberDataViewType.Single, 3, size, size);
        Picture[] pictures = new Picture[count];
        for (int i = 0; i < count; i++)
        {
            var image = new float[3 * size * size];
            foreach (ref float value in image.AsSpan())
                value = random.NextSingle() * 2 - 1;
            pictures[i] = new Picture { Image = image };
        }
        return context.Data.LoadFromEnumerable(pictures, definition);
    }

    private sealed class Picture
    {
        public float[] Image { get; set; } = [];
    }

    private sealed class Request
    {
        public long Seed { get; set; }
    }
}
