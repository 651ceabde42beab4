using System.Text.Json;

namespace Microsoft.ML.Diffusion.Benchmarks;

/// <summary>What one process measured of one workload: the line of JSON that our worker and the PyTorch peer both end with.</summary>
internal sealed record Measurement
{
    private static readonly JsonSerializerOptions Json = new() { PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower };

    /// <summary>Tells a result from other lines.</summary>
    public string Kind { get; init; } = "result";

    /// <summary>step, denoise, sample or train.</summary>
    public required string Mode { get; init; }

    /// <summary>Images of one iteration.</summary>
    public int Images { get; init; }

    /// <summary>Each iteration that counts.</summary>
    public double[] Seconds { get; init; } = [];

    /// <summary>The median of <see cref="Seconds"/>.</summary>
    public double MedianSeconds { get; init; }

    /// <summary>Images a second at the median.</summary>
    public double ImagesPerSecond { get; init; }

    /// <summary>In bytes: the process's largest resident set; on a GPU, what of its memory was taken at the end, when allocators still keep their most.</summary>
    public long PeakMemory { get; init; }

    /// <summary>Numbers in the network.</summary>
    public long Parameters { get; init; }

    /// <summary>Threads of libtorch.</summary>
    public int Threads { get; init; }

    /// <summary>libtorch's version.</summary>
    public string Torch { get; init; } = "";

    /// <summary>cpu or cuda.</summary>
    public string Device { get; init; } = "cpu";

    /// <summary>What the network computed in.</summary>
    public string Type { get; init; } = "";

    /// <summary>Whether only a part was run and the rest is arithmetic.</summary>
    public bool Extrapolated { get; init; }

    /// <summary>Training steps taken.</summary>
    public int? Steps { get; init; }

    /// <summary>Time spent training.</summary>
    public double? TrainSeconds { get; init; }

    /// <summary>Time spent generating.</summary>
    public double? GenerateSeconds { get; init; }

    /// <summary>The mean loss of the last steps.</summary>
    public double? Loss { get; init; }

    /// <summary>Steps of the sampler.</summary>
    public int? SamplerSteps { get; init; }

    /// <summary>A result of our own process.</summary>
    public static Measurement Of(string mode, int images, IReadOnlyList<double> seconds, long parameters, string device, ComputePrecision precision) => new()
    {
        Mode = mode,
        Images = images,
        Seconds = [.. seconds],
        MedianSeconds = seconds.Median(),
        ImagesPerSecond = images / seconds.Median(),
        PeakMemory = device == "cpu" ? ProcessMemory.Peak() : ProcessMemory.OfGpu(),
        Parameters = parameters,
        Threads = get_num_threads(),
        Torch = __version__,
        Device = device,
        Type = device != "cpu" ? $"{PrecisionPolicy.TypeFor(precision, new Device(TorchSharp.DeviceType.CUDA, 0))}".ToLowerInvariant()
            : PrecisionPolicy.UnitFor(precision) is not null ? "bfloat16" : PrecisionPolicy.MultipliesInIntegers(precision) ? "int16" : "float32",
    };

    /// <summary>The result on a line of output; null where the line is something else.</summary>
    public static Measurement? Parse(string line)
    {
        if (!line.StartsWith('{') || !line.Contains("\"result\"", StringComparison.Ordinal))
            return null;
        return JsonSerializer.Deserialize<Measurement>(line, Json);
    }

    /// <summary>The line.</summary>
    public string ToLine() => JsonSerializer.Serialize(this, Json);
}
