using TorchSharp;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// Random numbers on any device, from a generator on the CPU: TorchSharp makes no other, and libtorch refuses it where a tensor lies on a GPU.
/// There the generator gives a seed, and the GPU draws by that: the numbers depend on the generator's state alone, so a training repeats and resumes as it does on the CPU.
/// </summary>
internal static class DeviceRandom
{
    private static readonly Lock s_seeding = new();

    /// <summary>Draws from the standard normal distribution.</summary>
    /// <param name="shape">Any shape.</param>
    /// <param name="generator">On the CPU.</param>
    /// <param name="device">Where the numbers are wanted; null for the CPU.</param>
    /// <returns>Float32; the caller disposes it.</returns>
    public static Tensor Normal(ReadOnlySpan<long> shape, Generator generator, Device? device)
    {
        if (device is null || device.type == DeviceType.CPU)
            return randn(shape, ScalarType.Float32, generator: generator);
        ulong seed = Seed(generator);
        lock (s_seeding)
        {
            cuda.manual_seed_all((long)seed);
            return randn(shape, ScalarType.Float32, device);
        }
    }

    /// <summary>Replaces a tensor's numbers by ones and zeros.</summary>
    /// <param name="tensor">On any device.</param>
    /// <param name="probability">Of a one.</param>
    /// <param name="generator">On the CPU.</param>
    public static void FillBernoulli(Tensor tensor, double probability, Generator generator)
    {
        // What operators in place give back is the tensor or another handle to it.
        using var scope = NewDisposeScope();
        if (tensor.device_type == DeviceType.CPU)
        {
            tensor.bernoulli_(probability, generator);
            return;
        }
        ulong seed = Seed(generator);
        lock (s_seeding)
        {
            cuda.manual_seed_all((long)seed);
            tensor.bernoulli_(probability);
        }
    }

    /// <summary>53 bits of a generator, to seed another with; a device's own is one for the whole process, so every draw seeds it anew.</summary>
    public static ulong Seed(Generator generator)
    {
        using Tensor draw = rand([1], float64, generator: generator);
        return (ulong)(draw.item<double>() * (1L << 53));
    }
}
