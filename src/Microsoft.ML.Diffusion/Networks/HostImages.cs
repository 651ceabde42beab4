namespace Microsoft.ML.Diffusion;

/// <summary>
/// Images between two operators of a <see cref="HostPass"/>. Whoever reads them holds a share (<see cref="Share"/>) and disposes it; with the last one their memory goes back to the pool.
/// On the way back they collect what their readers' gradients add up to, for which they need no memory any more. For one thread.
/// </summary>
internal sealed unsafe class HostImages : IDisposable
{
    private readonly HostPool? _pool;
    private readonly HostImages[] _parts;
    private int _shares = 1;
    private HostImages? _gradient;

    private HostImages(HostPool? pool, ImageMemory memory, params HostImages[] parts) => (_pool, Memory, _parts) = (pool, memory, parts);

    /// <summary>Where they lie; while there is a share.</summary>
    public ImageMemory Memory { get; }

    /// <summary>Their sizes.</summary>
    public ImageShape Shape => Memory.Shape;

    /// <summary>What was measured as they were written; null: nothing.</summary>
    public ChannelMoments? Moments { get; set; }

    /// <summary>The images that they join, of whose gradients theirs is made; empty: they lie in one piece.</summary>
    public IReadOnlyList<HostImages> Parts => _parts;

    /// <summary>Whether their gradient is of use to anybody.</summary>
    public bool NeedsGradient { get; init; } = true;

    /// <summary>Images in memory of a pool, whatever is in it.</summary>
    public static HostImages Rent(HostPool pool, ImageShape shape, bool needsGradient = true) =>
        new(pool, new(pool.Rent(shape.Bytes), shape)) { NeedsGradient = needsGradient };

    /// <summary>Images in memory of somebody else, who keeps it while they are used.</summary>
    public static HostImages Over(ImageMemory memory) => new(null, memory);

    /// <summary>Two batches as one, channel behind channel, without a copy; it holds a share of both.</summary>
    /// <param name="a">[N, H, W, A].</param>
    /// <param name="b">[N, H, W, B].</param>
    public static HostImages Join(HostImages a, HostImages b) => new(null, ImageMemory.Join(a.Memory, b.Memory), a.Share(), b.Share());

    /// <summary>One more share of them, to be disposed.</summary>
    public HostImages Share()
    {
        _shares++;
        return this;
    }

    /// <summary>Their gradient as far as it is added up; stays theirs. Null where nobody added to it.</summary>
    public HostImages? Gradient => _gradient;

    /// <summary>Adds to their gradient.</summary>
    /// <param name="gradient">Of the same shape; its memory may become that of the sum, so that the caller does no more with it than dispose its share.</param>
    public void AddGradient(HostImages gradient)
    {
        if (_gradient is null)
            _gradient = gradient.Share();
        else
            SumKernel.AddOnAllCores(gradient.Memory, _gradient.Memory);
    }

    /// <summary>Hands their gradient over, to be disposed; null where nobody added to it.</summary>
    public HostImages? TakeGradient()
    {
        var gradient = _gradient;
        _gradient = null;
        return gradient;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (--_shares > 0)
            return;
        _pool?.Return(Memory.Numbers, Shape.Bytes);
        foreach (var part in _parts)
            part.Dispose();
    }
}
