using System.Runtime.CompilerServices;
using Microsoft.ML.Data;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// A trained denoising diffusion model (Ho et al. 2020) as a generator: each input row is a request, each output row carries one generated image.
/// </summary>
/// <remarks>
/// <para>
/// A row may bring a class (the label column, where the model is conditional; a missing key asks for no particular class) and a seed.
/// The same row gives the same image whatever the batch size, the order of the rows, the cursor or the thread: its noise comes from its own seed,
/// or, without a seed column, from its row id.
/// </para>
/// <para>Images are generated lazily, a batch at a time, when a cursor asks for the column. Reading the requests needs an input that can be read twice.</para>
/// <para>
/// The With… methods give transformers over the same weights, which are freed when the last of them, and of the cursors in use, is disposed.
/// Safe for several threads.
/// </para>
/// </remarks>
public sealed partial class DdpmTransformer : ITransformer, IDisposable
{
    private readonly DdpmModel.Lease _lease;
    private readonly GenerationSettings _settings;
    private readonly Action<SamplingStep>? _onStep;
    private readonly CancellationToken _cancellationToken;
    private readonly GeneratedColumn _column;

    // Views and mappers compare schemas by reference: each input schema has one output schema.
    private readonly ConditionalWeakTable<DataViewSchema, DataViewSchema> _schemas = [];

    internal DdpmTransformer(DdpmModel model, GenerationSettings settings, Action<SamplingStep>? onStep = null, CancellationToken cancellationToken = default)
    {
        _lease = model.Acquire();
        _settings = settings;
        _onStep = onStep;
        _cancellationToken = cancellationToken;
        _column = new GeneratedColumn(
            settings.OutputColumnName, model.Info.Image, model.Info.LabelColumnName, model.Info.Shape.Classes,
            settings.SeedColumnName, settings.Seed, settings.BatchSize);
    }

    /// <summary>The network's structure.</summary>
    public UNetOptions Network => _lease.Model.Info.Network;

    /// <summary>The images and classes of the model: channels, height and width in pixels, number of classes.</summary>
    public UNetShape Shape => _lease.Model.Info.Shape;

    /// <summary>The noise schedule that the model was trained on.</summary>
    public NoiseScheduleOptions Schedule => _lease.Model.Info.Schedule;

    /// <summary>What the network predicts.</summary>
    public PredictionType Prediction => _lease.Model.Info.Prediction;

    /// <summary>The variance that the network was trained with.</summary>
    public VarianceType Variance => _lease.Model.Info.Variance;

    /// <summary>Optimizer steps that the model was trained for.</summary>
    public int TrainedSteps => _lease.Model.Info.TrainedSteps;

    /// <summary>The column with the class to generate; null for an unconditional model.</summary>
    public string? LabelColumnName => _lease.Model.Info.LabelColumnName;

    /// <summary>The generated column.</summary>
    public string OutputColumnName => _settings.OutputColumnName;

    /// <summary>The sampler in use.</summary>
    public DiffusionSampler Sampler => _settings.Sampler;

    /// <summary>The guidance scale in use; 1 for none.</summary>
    public double GuidanceScale => _settings.GuidanceScale;

    /// <summary>Images generated together.</summary>
    public int BatchSize => _settings.BatchSize;

    /// <inheritdoc/>
    public bool IsRowToRowMapper => true;

    internal DdpmModel Model => _lease.Model;

    internal GenerationSettings Settings => _settings;

    /// <inheritdoc/>
    /// <exception cref="ArgumentOutOfRangeException">The label or seed column is missing or has the wrong type.</exception>
    public DataViewSchema GetOutputSchema(DataViewSchema inputSchema)
    {
        ArgumentNullException.ThrowIfNull(inputSchema);
        _ = _lease.Model;
        return _schemas.GetValue(inputSchema, _column.AddTo);
    }

    /// <inheritdoc/>
    /// <exception cref="ArgumentOutOfRangeException">The label or seed column is missing or has the wrong type.</exception>
    public IDataView Transform(IDataView input)
    {
        ArgumentNullException.ThrowIfNull(input);
        return new GeneratedDataView(input, GetOutputSchema(input.Schema), _column, NewGenerator);
    }

    /// <inheritdoc/>
    public IRowToRowMapper GetRowToRowMapper(DataViewSchema inputSchema) =>
        new GeneratedRowMapper(inputSchema, GetOutputSchema(inputSchema), _column, NewGenerator);

    /// <summary>Ends this transformer's use of the weights.</summary>
    public void Dispose() => _lease.Dispose();

    void ICanSaveModel.Save(ModelSaveContext ctx)
    {
        ArgumentNullException.ThrowIfNull(ctx);
        DdpmModelLoader.Save(ctx, this);
    }

    private DdpmGenerator NewGenerator() => new(_lease.Model.Acquire(), _settings, _onStep, _cancellationToken);
}
