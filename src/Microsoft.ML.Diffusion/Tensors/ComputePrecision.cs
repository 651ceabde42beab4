using System.Text.Json.Serialization;
using TorchSharp;

namespace Microsoft.ML.Diffusion;

/// <summary>What a network computes in. Weights, their gradients, the statistics of norms and losses are float32 always.</summary>
[JsonConverter(typeof(JsonStringEnumConverter<ComputePrecision>))]
public enum ComputePrecision
{
    /// <summary>
    /// float32, for which this library has kernels of its own on a processor.
    /// </summary>
    Automatic,

    /// <summary>float32: 24 bits of precision.</summary>
    Full,

    /// <summary>
    /// bfloat16 in convolutions, products and attention: 8 bits of precision, half the memory. For GPUs; a processor keeps activations in bfloat16
    /// and computes convolutions and norms in float32.
    /// </summary>
    BFloat16,
}

/// <summary>Decides what a network computes in.</summary>
internal static class PrecisionPolicy
{
    /// <summary>The element type of the activations.</summary>
    public static ScalarType TypeFor(ComputePrecision precision) => precision == ComputePrecision.BFloat16 ? ScalarType.BFloat16 : ScalarType.Float32;
}
