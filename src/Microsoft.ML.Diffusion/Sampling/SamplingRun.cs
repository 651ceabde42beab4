using TorchSharp;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// The bookkeeping that all samplers share: the batch on its way, one dispose scope a step, cancellation, the callback.
/// What a step makes is freed when it ends, but for <see cref="X"/> and what was handed to <see cref="Keep"/>.
/// </summary>
internal class SamplingRun : IDisposable
{
    private readonly SamplingRequest _request;
    private readonly IDisposable _noGrad = no_grad();
    private readonly List<Tensor> _kept = [];
    private DisposeScope? _scope;
    private Tensor? _x;

    /// <param name="request">What is to be drawn.</param>
    /// <param name="levels">Where each step begins, noisiest first, and where the last one ends.</param>
    public SamplingRun(SamplingRequest request, NoiseLevel[] levels)
    {
        _request = request;
        Levels = levels;
    }

    public NoiseLevel[] Levels { get; }

    public int Steps => Levels.Length - 1;

    /// <summary>The batch as it is; setting it frees the one before. Whatever is set belongs to the run.</summary>
    public Tensor X
    {
        get => _x ?? throw new InvalidOperationException("The run has not been started.");
        set
        {
            value.DetachFromDisposeScope();
            _x?.Dispose();
            _x = value;
        }
    }

    protected SamplingRequest Request => _request;

    /// <summary>Begins a step: everything made until the result is disposed goes with it.</summary>
    public IDisposable Step()
    {
        _request.CancellationToken.ThrowIfCancellationRequested();
        return _scope = NewDisposeScope();
    }

    /// <summary>Asks the model for the clean batch behind <see cref="X"/> at the beginning of a step, and shows both to the caller.</summary>
    public Denoised Denoise(int step)
    {
        var denoised = _request.Denoiser.Denoise(X, Levels[step]);
        _request.OnStep?.Invoke(new SamplingStep(step, Steps, Levels[step], X, denoised.X0));
        return denoised;
    }

    public Tensor Noise() => _request.Noise?.Next()
        ?? throw new InvalidOperationException("This sampler adds noise at its steps: give the request a Noise source, for example a PerRowNoise.");

    /// <summary>Lets a tensor live beyond its step: <paramref name="depth"/> of them, the newest first in <see cref="Kept"/>.</summary>
    public void Keep(Tensor value, int depth)
    {
        if (depth == 0)
            return;
        _kept.Insert(0, value.DetachFromDisposeScope());
        if (_kept.Count <= depth)
            return;
        _kept[^1].Dispose();
        _kept.RemoveAt(_kept.Count - 1);
    }

    public IReadOnlyList<Tensor> Kept => _kept;

    /// <summary>The finished batch, handed over to the caller and to the scope that the caller is in.</summary>
    public Tensor Finish() => X.dtype == ScalarType.Float32 ? X.alias() : X.to_type(ScalarType.Float32);

    /// <summary>a·x + b·y (+ c·z), with one new tensor.</summary>
    public static Tensor Combine(double a, Tensor x, double b, Tensor y) => x.mul(a).add_(y, b);

    public void Dispose()
    {
        _scope?.Dispose();
        _x?.Dispose();
        foreach (var tensor in _kept)
            tensor.Dispose();
        _noGrad.Dispose();
    }
}
