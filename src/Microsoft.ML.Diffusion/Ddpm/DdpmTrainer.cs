using Microsoft.ML.Data;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// Trains a denoising diffusion probabilistic model (Ho et al. 2020) on a column of images and gives a <see cref="DdpmTransformer"/> that generates images like them.
/// Made by <see cref="GenerativeCatalog.Ddpm(Options)"/>.
/// </summary>
/// <remarks>
/// <list type="table">
/// <listheader><term>Column</term><description>Type</description></listheader>
/// <item><term>Image, in</term><description>MLImage of one size (<c>ResizeImages</c> brings images to one), or a vector of Single, Double or Byte with
/// dimensions (channels, height, width), (height, width, channels) or (height, width); 1, 3 or 4 channels; values in
/// [<see cref="Options.PixelMinimum"/>, <see cref="Options.PixelMaximum"/>].</description></item>
/// <item><term>Label, in, optional</term><description>Key, as <c>MapValueToKey</c> gives. A missing key means: no particular class.</description></item>
/// <item><term>Seed, in when generating, optional</term><description>A scalar whole number.</description></item>
/// <item><term>Image, out</term><description>The type of the column that was trained on.</description></item>
/// </list>
/// <para>The data is read through cursors, once an epoch, never held as a whole. Weights, data order and noise follow the seed of the MLContext.</para>
/// </remarks>
public sealed partial class DdpmTrainer : IEstimator<DdpmTransformer>
{
    /// <summary>The image column where nothing else is said.</summary>
    internal const string DefaultImageColumnName = "Image";

    private readonly MLContext _context;
    private readonly IHost _host;
    private readonly Options _options;

    internal DdpmTrainer(MLContext context, Options options)
    {
        ArgumentNullException.ThrowIfNull(options);
        options.Validate();
        _context = context;
        _host = ((IHostEnvironment)context).Register(nameof(DdpmTrainer));
        _options = options.Clone();
    }

    /// <summary>Trains.</summary>
    /// <param name="input">The training data.</param>
    /// <returns>The generator; the caller, or the chain it is part of, disposes it.</returns>
    /// <exception cref="ArgumentOutOfRangeException">A column is missing or has the wrong type.</exception>
    /// <exception cref="ArgumentException">The options do not fit the images; the message names the option and what would fit.</exception>
    /// <exception cref="InvalidOperationException">The data has no rows, a row cannot be trained on, or the loss stopped being a number.</exception>
    /// <exception cref="OperationCanceledException"><see cref="Options.CancellationToken"/> was cancelled.</exception>
    public DdpmTransformer Fit(IDataView input)
    {
        ArgumentNullException.ThrowIfNull(input);
        using var channel = _host.Start("Training");
        var plan = TrainingPlan.Create(_options, input.Schema, _options.Seed ?? _host.Rand.Next());
        var device = DeviceSelection.Choose(_context.GpuDeviceId, _context.FallbackToCpu, message => channel.Warning(MessageSensitivity.None, message));
        using var cores = DeviceSelection.Enter(device, _options.Precision);

        var loop = new DdpmTrainingLoop(plan.Settings, device, new TrainingReport(_host, channel, _options.Progress));
        var (network, steps) = loop.Run(plan.Rows(input), _options.CancellationToken);
        var info = plan.Info with { TrainedSteps = steps };
        return new DdpmTransformer(new DdpmModel(info, network, device), info.Generation);
    }

    /// <inheritdoc/>
    /// <exception cref="ArgumentOutOfRangeException">A column is missing or has the wrong type.</exception>
    public SchemaShape GetOutputSchema(SchemaShape inputSchema)
    {
        ArgumentNullException.ThrowIfNull(inputSchema);
        var image = SchemaShapes.Find(inputSchema, _options.ImageColumnName) ?? throw TrainingPlan.Missing("image", _options.ImageColumnName, inputSchema.Select(c => c.Name));
        if (!SchemaShapes.IsImage(image))
        {
            throw new ArgumentOutOfRangeException(image.Name, $"Image column '{image.Name}' is a {image.Kind} of {image.ItemType}; "
                + "an image column is an MLImage or a vector of Single, Byte or Double with known dimensions.");
        }
        if (_options.LabelColumnName is { } labelName)
        {
            var label = SchemaShapes.Find(inputSchema, labelName) ?? throw TrainingPlan.Missing("label", labelName, inputSchema.Select(c => c.Name));
            if (!label.IsKey || label.Kind != SchemaShape.Column.VectorKind.Scalar)
            {
                throw new ArgumentOutOfRangeException(label.Name, $"Label column '{label.Name}' is a {label.Kind} of {label.ItemType}; a label is a key: "
                    + $"append mlContext.Transforms.Conversion.MapValueToKey(\"{label.Name}\") before the trainer.");
            }
        }
        return SchemaShapes.Add(inputSchema, image, _options.OutputColumnName ?? _options.ImageColumnName);
    }
}
