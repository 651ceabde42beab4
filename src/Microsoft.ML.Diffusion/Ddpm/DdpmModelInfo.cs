using System.Text.Json;
using System.Text.Json.Serialization;

namespace Microsoft.ML.Diffusion;

/// <summary>All that a trained model is, but for its weights; stored as JSON beside them.</summary>
internal sealed record DdpmModelInfo
{
    private static readonly JsonSerializerOptions Json = new()
    {
        WriteIndented = true,
        Converters = { new JsonStringEnumConverter() },
        UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow,
    };

    /// <summary>The network's structure.</summary>
    public required UNetOptions Network { get; init; }

    /// <summary>What the network was built for.</summary>
    public required UNetShape Shape { get; init; }

    /// <summary>The noise schedule that it was trained on.</summary>
    public required NoiseScheduleOptions Schedule { get; init; }

    /// <summary>What the network predicts.</summary>
    public required PredictionType Prediction { get; init; }

    /// <summary>The variance that it was trained with.</summary>
    public required VarianceType Variance { get; init; }

    /// <summary>The images that it was trained on, and generates.</summary>
    public required ImageFormat Image { get; init; }

    /// <summary>The image column that it was trained on.</summary>
    public required string ImageColumnName { get; init; }

    /// <summary>The label column that it was trained on; null for an unconditional model.</summary>
    public string? LabelColumnName { get; init; }

    /// <summary>Optimizer steps that it was trained for.</summary>
    public int TrainedSteps { get; init; }

    /// <summary>How it generates until told otherwise.</summary>
    public required GenerationSettings Generation { get; init; }

    /// <summary>Writes the JSON document.</summary>
    public string ToJson() => JsonSerializer.Serialize(this, Json);

    /// <summary>Reads the JSON document.</summary>
    /// <exception cref="InvalidDataException">It is not a description of a model.</exception>
    public static DdpmModelInfo FromJson(string json)
    {
        try
        {
            return JsonSerializer.Deserialize<DdpmModelInfo>(json, Json) ?? throw new JsonException("The document is empty.");
        }
        catch (Exception e) when (e is JsonException or NotSupportedException or ArgumentException)
        {
            throw new InvalidDataException($"The model file's description of the diffusion model cannot be read: {e.Message} "
                + "The file is damaged, or was written by a newer version of Microsoft.ML.Diffusion.", e);
        }
    }
}

/// <summary>How a transformer generates: what its With… methods change.</summary>
internal sealed record GenerationSettings
{
    /// <summary>The generated column.</summary>
    public required string OutputColumnName { get; init; }

    /// <summary>The column of seeds, used where the input has it.</summary>
    public string? SeedColumnName { get; init; }

    /// <summary>Mixed into the seeds made from row ids.</summary>
    public int Seed { get; init; }

    /// <summary>Images generated together.</summary>
    public int BatchSize { get; init; } = 16;

    /// <summary>The sampler.</summary>
    public required DiffusionSampler Sampler { get; init; }

    /// <summary>The guidance scale.</summary>
    public double GuidanceScale { get; init; } = 1;

    /// <summary>φ of guidance rescale.</summary>
    public double GuidanceRescale { get; init; }

    /// <summary>What the network computes in.</summary>
    public ComputePrecision Precision { get; init; }

    /// <summary>How the estimate of x_0 is kept in range.</summary>
    public X0Threshold Threshold { get; init; } = X0Threshold.Clip;
}
