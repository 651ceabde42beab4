namespace Microsoft.ML.Diffusion.Benchmarks;

/// <summary>Standard normal numbers that are the same on every machine and with every version: SplitMix64 (Steele et al. 2014), Box and Muller 1958.</summary>
internal sealed class RandomWeights(ulong seed)
{
    private ulong _state = seed;

    /// <summary>A tensor of independent normal numbers.</summary>
    /// <param name="deviation">Their standard deviation.</param>
    /// <param name="shape">The tensor's shape.</param>
    public Tensor Normal(double deviation, params long[] shape)
    {
        var values = new float[shape.Aggregate(1L, (product, side) => product * side)];
        for (int i = 0; i < values.Length; i++)
            values[i] = (float)(deviation * Next());
        using Tensor flat = tensor(values);
        return flat.reshape(shape).clone();
    }

    private double Next() => Math.Sqrt(-2 * Math.Log(1 - Uniform())) * Math.Cos(2 * Math.PI * Uniform());

    private double Uniform()
    {
        ulong z = _state += 0x9E3779B97F4A7C15;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return ((z ^ (z >> 31)) >> 11) * (1.0 / (1UL << 53));
    }
}
