namespace Microsoft.ML.Diffusion;

/// <summary>A weight as a <see cref="MatrixUnit"/> reads it, laid out once for all cores: in shared memory, or where it is kept (<see cref="KeptWeights"/>).</summary>
internal readonly unsafe struct PackedWeight
{
    private readonly ushort* _numbers;
    private readonly WeightSize _size;
    private readonly int _phases;

    private PackedWeight(ushort* numbers, WeightSize size, int phases)
    {
        _numbers = numbers;
        _size = size;
        _phases = phases;
    }

    /// <summary>Numbers of a kernel.</summary>
    private nint Numbers => (nint)_size.Outputs * _size.Taps * _size.Inputs;

    /// <summary>Takes its memory; valid until the thread asks for the next one, if it is not kept.</summary>
    /// <param name="weight">The weight.</param>
    /// <param name="form">What is made of it.</param>
    /// <param name="size">A kernel's sizes.</param>
    /// <param name="phases">Kernels.</param>
    /// <param name="isThere">Whether it lies there already; otherwise the caller fills it.</param>
    public static PackedWeight Take(float* weight, WeightForm form, WeightSize size, int phases, out bool isThere)
    {
        nint floats = phases * (nint)size.Outputs * size.Taps * size.Inputs / 2;
        float* kept = KeptWeights.Find(weight, form, floats, out isThere);
        return new((ushort*)(kept is null ? KernelMemory.Weights(floats) : kept), size, phases);
    }

    /// <summary>Lays the weight out.</summary>
    /// <param name="weight">For each phase [outputs, taps, inputs]; turned: [inputs, taps, outputs].</param>
    /// <param name="turned">Whether it lies the other way, its taps in reverse.</param>
    public void Fill(float* weight, bool turned)
    {
        PackedWeight packed = this;
        int blocks = _size.Outputs / MatrixUnit.Side;
        Cores.Run(_phases * blocks, part =>
        {
            var (phase, output) = (part / blocks, part % blocks * MatrixUnit.Side);
            BFloat16Layout.Weight(weight + phase * packed.Numbers, packed._size, turned, output, packed.At(phase, output));
        });
    }

    /// <summary>Where a phase's kernel begins, from some output on, a multiple of 32.</summary>
    public ushort* At(int phase, int output) => _numbers + phase * Numbers + (nint)output * _size.Taps * _size.Inputs;
}
