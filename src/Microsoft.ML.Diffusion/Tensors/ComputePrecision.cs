using System.Text.Json.Serialization;
using TorchSharp;

namespace Microsoft.ML.Diffusion;

/// <summary>What a network computes in. Weights, their gradients, the statistics of norms and losses are float32 always.</summary>
[JsonConverter(typeof(JsonStringEnumConverter<ComputePrecision>))]
public enum ComputePrecision
{
    /// <summary>
    /// The faster that keeps float32's accuracy: float32. On a processor this library's float32 kernels overtake libtorch's bfloat16 operators even where these have matrix instructions.
    /// </summary>
    Automatic,

    /// <summary>float32: 24 bits of precision.</summary>
    Full,

    /// <summary>bfloat16 in convolutions, products and attention: 8 bits of precision, half the memory. For GPUs.</summary>
    BFloat16,
}

/// <summary>Decides what a network computes in.</summary>
internal static class PrecisionPolicy
{
    /// <summary>The element type of the activations.</summary>
    public static ScalarType TypeFor(ComputePrecision precision) => precision == ComputePrecision.BFloat16 ? ScalarType.BFloat16 : ScalarType.Float32;
}
