using TorchSharp;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// Where the parameters of a network lie, and their gradients, while a thread trains it or draws with it. Operators of ours find both by the parameter and add to the gradient themselves; libtorch
/// would make a view of each at every use, and add their gradients in passes of their own on one core. Only for a training that calls <c>backward()</c>: <c>autograd.grad</c> would find no gradients.
/// </summary>
internal sealed unsafe class ParameterMemory : IDisposable
{
    [ThreadStatic] private static ParameterMemory? s_current;

    private readonly Dictionary<Tensor, ParameterPlace> _places = new(ReferenceEqualityComparer.Instance);
    private readonly Dictionary<object, bool> _answers = [];

    /// <summary>Looks where parameters lie.</summary>
    /// <param name="parameters">
    /// Their memory and that of their gradients must neither move nor go while this is in use. Those that are no float32 on the CPU, or lie otherwise than kernels read them, are passed over.
    /// </param>
    public ParameterMemory(IEnumerable<Tensor> parameters)
    {
        foreach (Tensor parameter in parameters)
        {
            float* numbers = Find(parameter);
            if (numbers is null)
                continue;
            using Tensor? gradient = parameter.requires_grad ? parameter.grad : null;
            _places.Add(parameter, new(numbers, gradient is null ? null : Find(gradient)));
        }
    }

    /// <summary>That of the calling thread; null: it neither trains nor draws.</summary>
    public static ParameterMemory? Current => s_current;

    /// <summary>Memory for passes over the network; goes with this.</summary>
    public HostPool Pool { get; } = new();

    /// <summary>What is known of a parameter; null: nothing.</summary>
    public static ParameterPlace? Of(Tensor parameter) => s_current is { } current && current._places.TryGetValue(parameter, out var place) ? place : null;

    /// <summary>Lets the calling thread's operators know, until the result is disposed, on the same thread.</summary>
    public Scope Enter()
    {
        var scope = new Scope(s_current);
        s_current = this;
        return scope;
    }

    /// <summary>
    /// The first number of a float32 tensor on the CPU whose channels are last in memory, if it has channels and pixels, and row by row otherwise; null where it is of another kind or lies in another way.
    /// </summary>
    public static float* Find(Tensor tensor)
    {
        if (tensor.device_type != DeviceType.CPU || tensor.dtype != ScalarType.Float32)
            return null;
        if (tensor.dim() != 4)
            return tensor.is_contiguous() ? HostMemory.Pointer(tensor) : null;
        using Tensor pixels = tensor.permute(0, 2, 3, 1);
        return pixels.is_contiguous() ? HostMemory.Pointer(pixels) : null;
    }

    /// <summary>The answer to a question that is asked at every step and answered once.</summary>
    /// <param name="question">Compared by value.</param>
    /// <param name="find">Finds the answer.</param>
    public bool Answer<Q>(Q question, Func<Q, bool> find)
        where Q : notnull
    {
        if (!_answers.TryGetValue(question, out bool answer))
            _answers.Add(question, answer = find(question));
        return answer;
    }

    /// <inheritdoc/>
    public void Dispose() => Pool.Dispose();

    /// <summary>Ends it.</summary>
    internal readonly ref struct Scope : IDisposable
    {
        private readonly ParameterMemory? _before;

        internal Scope(ParameterMemory? before) => _before = before;

        /// <inheritdoc/>
        public void Dispose() => s_current = _before;
    }
}

/// <summary>Where a parameter lies.</summary>
/// <param name="numbers">The parameter; [D, k, k, C] of a convolution.</param>
/// <param name="gradient">Its gradient, likewise; null where it has none.</param>
internal sealed unsafe class ParameterPlace(float* numbers, float* gradient)
{
    /// <summary>The parameter; [D, k, k, C] of a convolution.</summary>
    public float* Numbers => numbers;

    /// <summary>Its gradient, likewise; null where it has none.</summary>
    public float* Gradient => gradient;
}
