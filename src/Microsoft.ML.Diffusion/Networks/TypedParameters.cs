namespace Microsoft.ML.Diffusion;

/// <summary>
/// Copies of a network's parameters in the element type that it computes in, for the layers of the calling thread: a GPU's sampler converts them once for all its steps,
/// a training in one operator a step. Without them a layer converts its own at every use.
/// </summary>
internal sealed class TypedParameters : IDisposable
{
    [ThreadStatic] private static IReadOnlyDictionary<Tensor, Tensor>? s_current;

    private readonly Dictionary<Tensor, Tensor> _copies = new(ReferenceEqualityComparer.Instance);

    /// <summary>Copies parameters of another type; on a CPU, whose layers convert nothing, none.</summary>
    /// <param name="parameters">Must not change while the copies are used.</param>
    /// <param name="type">What is computed in.</param>
    public TypedParameters(IEnumerable<Tensor> parameters, ScalarType type)
    {
        foreach (Tensor parameter in parameters)
        {
            if (parameter.dtype != type && parameter.device_type != TorchSharp.DeviceType.CPU)
                _copies.Add(parameter, parameter.to(type).DetachFromDisposeScope());
        }
    }

    /// <summary>A parameter's copy; null where the calling thread has none of that type.</summary>
    public static Tensor? Of(Tensor parameter, ScalarType type) =>
        s_current is { } current && current.TryGetValue(parameter, out Tensor? copy) && copy.dtype == type ? copy : null;

    /// <summary>Lets the calling thread's layers use the copies, until the result is disposed, on the same thread.</summary>
    public Scope Enter() => Enter(_copies);

    /// <summary>The same of somebody else's copies.</summary>
    /// <param name="copies">By the parameters themselves.</param>
    public static Scope Enter(IReadOnlyDictionary<Tensor, Tensor> copies)
    {
        var scope = new Scope(s_current);
        s_current = copies;
        return scope;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (Tensor copy in _copies.Values)
            copy.Dispose();
        _copies.Clear();
    }

    /// <summary>Ends it.</summary>
    internal readonly ref struct Scope : IDisposable
    {
        private readonly bool _entered;
        private readonly IReadOnlyDictionary<Tensor, Tensor>? _before;

        internal Scope(IReadOnlyDictionary<Tensor, Tensor>? before) => (_entered, _before) = (true, before);

        /// <inheritdoc/>
        public void Dispose()
        {
            if (_entered)
                s_current = _before;
        }
    }
}

/// <summary>A parameter in the type that a layer computes in: itself, its copy, or a conversion that goes with this.</summary>
internal readonly ref struct TypedParameter : IDisposable
{
    private readonly Tensor? _converted;

    /// <summary>Takes what is there, or converts.</summary>
    /// <param name="parameter">The parameter.</param>
    /// <param name="type">What is computed in.</param>
    public TypedParameter(Tensor parameter, ScalarType type)
    {
        if (parameter.dtype == type)
            Tensor = parameter;
        else
            Tensor = TypedParameters.Of(parameter, type) ?? (_converted = parameter.to(type));
    }

    /// <summary>The parameter in that type.</summary>
    public Tensor Tensor { get; }

    /// <inheritdoc/>
    public void Dispose() => _converted?.Dispose();
}
