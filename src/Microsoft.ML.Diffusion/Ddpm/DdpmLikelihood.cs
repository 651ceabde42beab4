using Microsoft.ML.Data;

namespace Microsoft.ML.Diffusion;

/// <summary>Reads images and classes from a data view and gives their variational bound under a trained model.</summary>
internal static class DdpmLikelihood
{
    /// <summary>Evaluates.</summary>
    /// <param name="model">A <see cref="DdpmTransformer"/>, or a chain with one in it, whose members before it prepare the data.</param>
    /// <param name="data">Images, and classes where the model has them, as it was trained on.</param>
    /// <param name="options">How.</param>
    /// <exception cref="ArgumentException">There is no such model, or an option is out of range.</exception>
    /// <exception cref="ArgumentOutOfRangeException">A column is missing or does not hold the model's images.</exception>
    /// <exception cref="InvalidOperationException">There are no rows, or a row's image cannot be read.</exception>
    public static LikelihoodMetrics Evaluate(ITransformer model, IDataView data, LikelihoodOptions options)
    {
        Check(options.Steps is null or > 0, nameof(options.Steps), options.Steps);
        Check(options.MaximumRows is null or > 0, nameof(options.MaximumRows), options.MaximumRows);
        Check(options.BatchSize > 0, nameof(options.BatchSize), options.BatchSize);
        var (ddpm, prepared) = Find(model, data);
        using var lease = ddpm.Model.Acquire();
        using var cores = DeviceSelection.Enter(ddpm.Model.Device, ComputePrecision.Full);
        using var parameters = new ParameterMemory(ddpm.Model.Network.parameters());
        using var known = parameters.Enter();
        var info = ddpm.Model.Info;
        using var whole = new GaussianDiffusion(ddpm.Model.Schedule, info.Prediction, info.Variance);
        if (options.Steps is not { } steps || steps >= whole.Timesteps)
            return LikelihoodEvaluator.Evaluate(whole, Batches(ddpm.Model, prepared, options), cancellation: options.CancellationToken);
        using var respaced = whole.Respace(TimestepSpacing.Sections(whole.Timesteps, steps));
        return LikelihoodEvaluator.Evaluate(respaced, Batches(ddpm.Model, prepared, options), cancellation: options.CancellationToken);
    }

    private static (DdpmTransformer Ddpm, IDataView Prepared) Find(ITransformer model, IDataView data)
    {
        if (model is DdpmTransformer only)
            return (only, data);
        if (model is IEnumerable<ITransformer> chain)
        {
            foreach (var member in chain)
            {
                if (member is DdpmTransformer ddpm)
                    return (ddpm, data);
                data = member.Transform(data);
            }
        }
        throw new ArgumentException("The model is no DdpmTransformer and no chain with one in it.", nameof(model));
    }

    private static IEnumerable<LikelihoodEvaluator.Batch> Batches(DdpmModel model, IDataView data, LikelihoodOptions options)
    {
        var info = model.Info;
        var image = data.Schema.GetColumnOrNull(info.ImageColumnName) ?? throw TrainingPlan.Missing("image", info.ImageColumnName, data.Schema.Select(c => c.Name));
        var format = ImageFormat.FromColumn(image, info.Image.Channels, info.Image.Interleaved ? PixelLayout.Interleaved : PixelLayout.Planar, info.Image.Minimum, info.Image.Maximum);
        if ((format.Channels, format.Height, format.Width) != (info.Image.Channels, info.Image.Height, info.Image.Width))
        {
            throw new ArgumentOutOfRangeException(image.Name, $"Image column '{image.Name}' holds {format.Channels}x{format.Height}x{format.Width} images; "
                + $"the model was trained on {info.Image.Channels}x{info.Image.Height}x{info.Image.Width}.");
        }
        var requests = new GeneratedColumn(image.Name, format, info.LabelColumnName, info.Shape.Classes, null, options.Seed, options.BatchSize);

        using var cursor = data.GetRowCursor([image, .. requests.Dependencies(data.Schema)]);
        var reader = ImageReader.Create(cursor, image, format);
        var request = requests.RequestReader(cursor);
        var pixels = new float[options.BatchSize * format.Size];
        List<long> labels = [], seeds = [];
        long left = options.MaximumRows ?? long.MaxValue;
        while (left-- > 0 && cursor.MoveNext())
        {
            reader.Read(pixels.AsSpan(seeds.Count * format.Size, format.Size));
            var (label, seed, _) = request();
            labels.Add(label);
            seeds.Add(seed);
            if (seeds.Count < options.BatchSize)
                continue;
            yield return Batch(model, pixels, labels, seeds);
            labels.Clear();
            seeds.Clear();
        }
        if (seeds.Count > 0)
            yield return Batch(model, pixels, labels, seeds);
    }

    private static LikelihoodEvaluator.Batch Batch(DdpmModel model, float[] pixels, List<long> labels, List<long> seeds)
    {
        var shape = model.Info.Shape;
        long[] classes = [.. labels];
        return new LikelihoodEvaluator.Batch(
            HostMemory.ToTensor(pixels.AsSpan(0, seeds.Count * model.Info.Image.Size), [seeds.Count, shape.Channels, shape.Height, shape.Width], model.Device),
            (x, t) =>
            {
                using var y = shape.Classes > 0 ? tensor(classes, int64, model.Device) : null;
                return model.Network.forward(x, t, y);
            },
            [.. seeds]);
    }

    private static void Check(bool holds, string option, object? value)
    {
        if (!holds)
            throw new ArgumentException($"{nameof(LikelihoodOptions)}.{option} is {value}; it has to be at least 1.", option);
    }
}
