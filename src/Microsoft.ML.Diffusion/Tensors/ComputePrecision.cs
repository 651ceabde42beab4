using System.Text.Json.Serialization;
using TorchSharp;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// What a network computes in. Weights, the sums of their gradients, the statistics of norms and losses are float32 always; only on a GPU bfloat16 rounds gradients, and the mean and deviation of a norm,
/// once they are summed.
/// </summary>
[JsonConverter(typeof(JsonStringEnumConverter<ComputePrecision>))]
public enum ComputePrecision
{
    /// <summary>
    /// On a GPU bfloat16 where it multiplies that (compute capability 8.0, NVIDIA's Ampere, and later), else float32. On a processor
    /// float32; but where the processor multiplies bfloat16 (Intel AMX or AVX512_BF16, on Linux) and all channels of a U-Net are multiples of 32, its activations
    /// between the first and the last convolution are bfloat16. Sums are float32. Beside AVX512_BF16, AVX512_VNNI multiplies 3x3 convolutions in 16-bit integers, which lose less.
    /// Where a processor does not multiply bfloat16, but has AVX2 and no AVX-512, or AVX512_VNNI on Linux, convolutions, products and attention of 32 channels or more round their factors
    /// to 16-bit integers that share powers of two (dynamic fixed point): activations stay float32, a network's result is off by some ten thousandths.
    /// </summary>
    Automatic,

    /// <summary>float32: 24 bits of precision on every machine; on a GPU, TF32 is off meanwhile.</summary>
    Full,

    /// <summary>
    /// bfloat16 in convolutions, norms, products and attention: 8 bits of precision, half the memory. For GPUs; a processor that does not multiply it keeps activations
    /// in bfloat16 and takes them back to float32 for convolutions and norms.
    /// </summary>
    BFloat16,
}

/// <summary>Decides what a network computes in.</summary>
internal static class PrecisionPolicy
{
    /// <summary>The element type that activations have outside our own kernels, which narrow by themselves.</summary>
    /// <param name="precision">What is asked for.</param>
    /// <param name="device">Where it is computed.</param>
    public static ScalarType TypeFor(ComputePrecision precision, Device device) =>
        precision == ComputePrecision.BFloat16 || (precision == ComputePrecision.Automatic && device.type == DeviceType.CUDA && GpuCapability.MultipliesBFloat16(device.index))
            ? ScalarType.BFloat16
            : ScalarType.Float32;

    /// <summary>What multiplies on a processor; null: vector registers, in float32.</summary>
    public static MatrixUnit? UnitFor(ComputePrecision precision) => precision == ComputePrecision.Full ? null : MatrixUnit.OfThisProcessor;

    /// <summary>Whether products of float32 are taken in 16-bit integers.</summary>
    public static bool MultipliesInIntegers(ComputePrecision precision) => precision == ComputePrecision.Automatic && UnitFor(precision) is null && Int16Products.AreQuicker;

    /// <summary>Whether products on a processor are of fewer bits than float32's, because those are quicker.</summary>
    public static bool MultipliesFewerBits(ComputePrecision precision) => UnitFor(precision) is not null || MultipliesInIntegers(precision);
}
