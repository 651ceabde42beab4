using System.Runtime.InteropServices;

namespace Microsoft.ML.Diffusion;

/// <summary>What a kernel makes of a weight before it multiplies.</summary>
internal enum WeightForm
{
    /// <summary>A right factor of <see cref="MatrixUnit"/>, its taps one after the other.</summary>
    Taps,

    /// <summary>The same, kernels by half a turn.</summary>
    TurnedTaps,

    /// <summary>The same of the sums that a doubled image sees (<see cref="DoubledTaps"/>).</summary>
    DoubledTaps,

    /// <summary>The same, as the gradient of such an image sees them.</summary>
    TurnedDoubledTaps,

    /// <summary>A right factor of integers.</summary>
    Integers,

    /// <summary>The same of a weight that lies the other way.</summary>
    TurnedIntegers,

    /// <summary>The values at a tile's points (<see cref="IWinogradPoints{L}"/>).</summary>
    Tiles,

    /// <summary>The same, some outputs after the others.</summary>
    SlicesOfTiles,
}

/// <summary>
/// Prepared weights that are kept while a network draws: all steps of a sampler multiply with the same. Its kernels find them by the address of the weight, so that only parameters are kept, whose
/// memory nothing else can take meanwhile. They are kept up to <see cref="MostBytes"/>, what comes first first.
/// </summary>
internal sealed unsafe class KeptWeights : IDisposable
{
    /// <summary>All of a small network's: the transformed ones take twice the memory of the weights. A large one's time goes into multiplying.</summary>
    public const long MostBytes = 256 << 20;

    [ThreadStatic] private static KeptWeights? s_current;

    private readonly Dictionary<(nint Weight, WeightForm Form, nint Floats), nint> _prepared = [];
    private readonly HashSet<nint> _weights = [];
    private readonly KeptWeights? _before = s_current;
    private long _bytes;

    private KeptWeights()
    {
    }

    /// <summary>Has the calling thread's kernels keep what they make of these weights, until the result is disposed, on the same thread.</summary>
    /// <param name="parameters">Must neither change nor go meanwhile; those that are no float32 weights of convolutions or linear layers on the CPU are passed over.</param>
    public static KeptWeights Enter(IEnumerable<Tensor> parameters)
    {
        var kept = new KeptWeights();
        foreach (Tensor parameter in parameters)
        {
            // A weight that lies otherwise is copied for every product: the copy's address is nobody's.
            float* place = parameter.dim() is 2 or 4 ? ParameterMemory.Find(parameter) : null;
            if (place is not null)
                kept._weights.Add((nint)place);
        }
        return s_current = kept;
    }

    /// <summary>Where a weight is kept.</summary>
    /// <param name="weight">The weight.</param>
    /// <param name="form">What is made of it.</param>
    /// <param name="floats">Its length; another length is another form.</param>
    /// <param name="isThere">Whether it is there already; otherwise the caller writes it.</param>
    /// <returns>Aligned to a cache line; null where the weight is not to be kept, or too much is kept already.</returns>
    public static float* Find(float* weight, WeightForm form, nint floats, out bool isThere)
    {
        isThere = false;
        if (s_current is not { } kept || !kept._weights.Contains((nint)weight))
            return null;
        var key = ((nint)weight, form, floats);
        isThere = kept._prepared.TryGetValue(key, out nint place);
        if (isThere)
            return (float*)place;
        long bytes = (long)floats * sizeof(float);
        if (kept._bytes + bytes > MostBytes)
            return null;
        kept._prepared.Add(key, place = (nint)NativeMemory.AlignedAlloc((nuint)bytes, KernelMemory.Alignment));
        kept._bytes += bytes;
        return (float*)place;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        s_current = _before;
        foreach (nint place in _prepared.Values)
            NativeMemory.AlignedFree((void*)place);
        _prepared.Clear();
    }
}
