namespace Microsoft.ML.Diffusion;

/// <summary>
/// The bookkeeping that all samplers share: the batch on its way, one dispose scope a step, cancellation, the callback.
/// What a step makes is freed when it ends, but for <see cref="X"/> and what was handed to <see cref="Keep"/>.
/// </summary>
internal class SamplingRun : IDisposable
{
    private readonly SamplingRequest _request;
    private readonly IDisposable _noGrad;
    private readonly List<Tensor> _kept = [];
    private Tensor? _x;

    /// <param name="request">What is to be drawn.</param>
    /// <param name="steps">How many steps the run has.</param>
    public SamplingRun(SamplingRequest request, int steps)
    {
        if (request.Start.dim() != 4)
            throw new ArgumentException($"A run starts with a batch [N, C, H, W], not with [{string.Join(", ", request.Start.shape)}].", nameof(request));
        _request = request;
        Steps = steps;
        _noGrad = no_grad();
    }

    public int Steps { get; }

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

    /// <summary>Tells the model which levels will come.</summary>
    protected internal void Expect(IReadOnlyList<NoiseLevel> levels) => _request.Denoiser.Expect(levels);

    /// <summary>Begins a step: everything made until the result is disposed goes with it.</summary>
    public IDisposable Step()
    {
        _request.CancellationToken.ThrowIfCancellationRequested();
        return NewDisposeScope();
    }

    /// <summary>Asks the model for the clean batch behind the one at the beginning of a step, and shows both to the caller.</summary>
    /// <param name="step">0 … Steps−1.</param>
    /// <param name="x">x = √ᾱ·x_0 + √(1−ᾱ)·ε.</param>
    /// <param name="level">ᾱ of <paramref name="x"/>.</param>
    public Denoised Ask(int step, Tensor x, NoiseLevel level)
    {
        var denoised = _request.Denoiser.Denoise(x, level);
        _request.OnStep?.Invoke(new SamplingStep(step, Steps, level, x, denoised.X0));
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
    public virtual Tensor Finish() => X.alias();

    /// <summary>a·x + b·y with one new tensor.</summary>
    public static Tensor Combine(double a, Tensor x, double b, Tensor y) => x.mul(Held(a)).add_(y, Held(b));

    public virtual void Dispose()
    {
        _x?.Dispose();
        foreach (var tensor in _kept)
            tensor.Dispose();
        _noGrad.Dispose();
    }
}
