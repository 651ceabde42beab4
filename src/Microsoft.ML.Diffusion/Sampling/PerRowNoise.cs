namespace Microsoft.ML.Diffusion;

/// <summary>
/// Noise in which every row has a generator of its own, so that a row's image depends on its seed alone:
/// not on the other rows, the batch size, the order, the thread or the device (numbers are drawn on the CPU).
/// </summary>
public sealed class PerRowNoise : INoiseSource, IDisposable
{
    private readonly Generator[] _generators;
    private readonly long[] _shape;
    private readonly Device _device;

    /// <summary>Noise for a batch of as many rows as there are seeds.</summary>
    /// <param name="seeds">One a row; equal seeds give equal rows.</param>
    /// <param name="rowShape">The shape of a row, [C, H, W].</param>
    /// <param name="device">Where the draws are put; null is the CPU.</param>
    /// <exception cref="ArgumentException">There is no seed, or a dimension below 1.</exception>
    public PerRowNoise(ReadOnlySpan<long> seeds, ReadOnlySpan<long> rowShape, Device? device = null)
    {
        if (seeds.IsEmpty)
            throw new ArgumentException("Noise needs at least one row: give one seed a row.", nameof(seeds));
        foreach (var dimension in rowShape)
        {
            if (dimension < 1)
                throw new ArgumentException($"A row of shape [{string.Join(", ", rowShape.ToArray())}] has no elements.", nameof(rowShape));
        }
        _shape = [seeds.Length, .. rowShape];
        _device = device ?? CPU;
        _generators = new Generator[seeds.Length];
        for (var row = 0; row < seeds.Length; row++)
            _generators[row] = new Generator(GeneratorSeed(seeds[row]), CPU);
    }

    /// <inheritdoc/>
    public Tensor Next()
    {
        using var scope = NewDisposeScope();
        var noise = empty(_shape, float32);
        // A row has its own memory and its own generator: every core draws some.
        Cores.Run(_generators.Length, row =>
        {
            using var own = noise.narrow(0, row, 1);
            using var same = own.normal_(0, 1, _generators[row]);
        });
        return noise.to(_device).MoveToOuterDisposeScope();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var generator in _generators)
            generator.Dispose();
    }

    // libtorch's CPU generator reads the low 32 bits of a seed only; seeds that fit in them stay distinct, longer ones are folded in.
    private static ulong GeneratorSeed(long seed)
    {
        var high = (uint)((ulong)seed >> 32) * 0x9E3779B1u;
        return (uint)seed ^ high ^ (high >> 15);
    }
}
