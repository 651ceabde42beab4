using TorchSharp;
using TorchSharp.Modules;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// Adam (Kingma and Ba 2015, algorithm 1; decoupled decay of Loshchilov and Hutter 2019) with gradient clipping and an exponential
/// moving average of the weights, in one pass over flat memory: the parameters, their gradients and all state are views of a few long vectors.
/// </summary>
/// <remarks>Make it once the network is on its device: it gives the parameters new storage, and moving them would take it away again.</remarks>
internal sealed partial class FlatAdam : IDisposable
{
    private readonly AdamOptions _options;
    private readonly Tensor _weights;
    private readonly Tensor _gradients;
    private readonly Tensor _mean;
    private readonly Tensor _square;
    private readonly Tensor _average;
    private readonly List<Tensor> _views = [];
    private readonly TypedWeights? _typed;

    /// <summary>Takes the parameters over: their storage becomes one vector, their gradients another.</summary>
    /// <param name="parameters">Float32 parameters, all on one device.</param>
    /// <param name="options">The optimizer's constants.</param>
    /// <param name="type">What the network computes in, for <see cref="EnterTypedWeights"/>.</param>
    public FlatAdam(IEnumerable<Parameter> parameters, AdamOptions options, ScalarType type = ScalarType.Float32)
    {
        _options = options;
        var trained = parameters.Where(p => p.requires_grad).ToList();
        if (trained.Count == 0)
            throw new ArgumentException("The network has no parameters to train.", nameof(parameters));
        if (trained.Find(p => p.dtype != ScalarType.Float32) is { } odd)
            throw new ArgumentException($"A parameter is {odd.dtype}; the optimizer keeps float32 weights.", nameof(parameters));

        using var noGrad = no_grad();
        using var scope = NewDisposeScope();
        var device = trained[0].device;
        long total = trained.Sum(p => p.numel());
        _weights = zeros(total, device: device).DetachFromDisposeScope();
        _gradients = zeros(total, device: device).DetachFromDisposeScope();
        _mean = zeros(total, device: device).DetachFromDisposeScope();
        _square = zeros(total, device: device).DetachFromDisposeScope();
        long offset = 0;
        foreach (var parameter in trained)
        {
            long count = parameter.numel();
            // The layout stays: convolution weights have their channels last.
            var storage = _weights.as_strided(parameter.shape, parameter.stride(), offset);
            storage.copy_(parameter);
            parameter.set_(storage);
            var gradient = _gradients.as_strided(parameter.shape, parameter.stride(), offset).DetachFromDisposeScope();
            parameter.grad = gradient;
            _views.Add(gradient);
            offset += count;
        }
        _average = _weights.clone().DetachFromDisposeScope();
        if (type != ScalarType.Float32 && device.type != DeviceType.CPU)
            _typed = new TypedWeights(_weights, trained, type);
    }

    /// <summary>Steps taken; a skipped one does not count.</summary>
    public long Steps { get; private set; }

    /// <summary>Numbers in the parameters.</summary>
    public long ParameterCount => _weights.numel();

    /// <summary>Takes one step from the gradients that backward left, then clears them.</summary>
    /// <param name="learningRate">α of this step.</param>
    /// <returns>The gradient's norm before clipping; where it is not finite, nothing but the gradients was changed.</returns>
    public double Step(double learningRate)
    {
        _typed?.AddGradientsTo(_gradients);
        double norm = GradientNorm();
        if (!double.IsFinite(norm))
        {
            ClearGradients();
            return norm;
        }

        Steps++;
        double clip = _options.ClipNorm is { } limit && norm > limit ? limit / (norm + 1e-6) : 1;
        // The average of the first steps would remember the random start for long: its decay grows with the steps (as in TensorFlow's ExponentialMovingAverage).
        double decay = Math.Min(_options.EmaDecay, (1.0 + Steps) / (10.0 + Steps));
        var update = new AdamUpdate(
            (float)clip, (float)_options.Beta1, (float)(1 - _options.Beta1), (float)_options.Beta2, (float)(1 - _options.Beta2),
            (float)(learningRate / (1 - Math.Pow(_options.Beta1, Steps))),
            (float)(1 / Math.Sqrt(1 - Math.Pow(_options.Beta2, Steps))),
            (float)_options.Epsilon, (float)(1 - learningRate * _options.WeightDecay), (float)(1 - decay));
        if (_weights.device.type == DeviceType.CPU)
            UpdateOnCpu(update);
        else
            UpdateOnDevice(update);
        return norm;
    }

    /// <summary>
    /// Has the calling thread's layers compute with the weights as they are now in the network's own type, until the result is disposed, on the same thread. Where that is not float32 and the
    /// weights lie on a GPU, one operator converts them all.
    /// </summary>
    public TypedParameters.Scope EnterTypedWeights() => _typed is { } typed ? typed.Enter(_weights) : default;

    /// <summary>Puts the moving average in the parameters' place, for good: training is over.</summary>
    public void UseAverage()
    {
        using var noGrad = no_grad();
        _weights.copy_(_average);
    }

    /// <summary>The optimizer's vectors by name, for a checkpoint: weights, average, mean and square.</summary>
    public IEnumerable<(string Name, Tensor Tensor)> State =>
        [("weights", _weights), ("average", _average), ("mean", _mean), ("square", _square)];

    /// <summary>Takes up where a checkpoint ended.</summary>
    /// <param name="steps">The steps that were taken.</param>
    /// <param name="load">Gives each vector of <see cref="State"/> by name; disposed here.</param>
    public void Restore(long steps, Func<string, Tensor> load)
    {
        using var noGrad = no_grad();
        foreach (var (name, tensor) in State)
        {
            using var saved = load(name);
            if (saved.numel() != tensor.numel())
                throw new InvalidDataException($"The checkpoint has {saved.numel()} numbers in '{name}', this network {tensor.numel()}: it was written by another network.");
            tensor.copy_(saved);
        }
        Steps = steps;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _typed?.Dispose();
        foreach (var tensor in _views)
            tensor.Dispose();
        foreach (var (_, tensor) in State)
            tensor.Dispose();
        _gradients.Dispose();
    }
}

/// <summary>The scalars of one Adam step. Complements are computed before they are rounded: 1 − 0.999 in float32 is off by 1e-5.</summary>
/// <param name="Clip">The factor on the gradient.</param>
/// <param name="Beta1">β₁.</param>
/// <param name="NewMean">1 − β₁.</param>
/// <param name="Beta2">β₂.</param>
/// <param name="NewSquare">1 − β₂.</param>
/// <param name="Rate">α / (1 − β₁ᵗ).</param>
/// <param name="RootScale">1 / √(1 − β₂ᵗ).</param>
/// <param name="Epsilon">ε.</param>
/// <param name="Keep">1 − α·weight decay.</param>
/// <param name="NewAverage">The share of the new weights in their moving average.</param>
internal readonly record struct AdamUpdate(
    float Clip, float Beta1, float NewMean, float Beta2, float NewSquare, float Rate, float RootScale, float Epsilon, float Keep, float NewAverage);
