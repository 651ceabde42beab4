namespace Microsoft.ML.Diffusion;

/// <summary>
/// What a network's blocks are told of timestep and class: one projection a block, a row for each (timestep, class). Owns its tensors.
/// </summary>
public sealed class NetworkEmbedding : IDisposable
{
    private readonly long _first;
    private readonly int[] _widths = [];
    private IReadOnlyList<Tensor>? _projections;

    /// <summary>Wraps.</summary>
    /// <param name="projections">For each block [M, D]: D channels to add, or their scales and then their shifts.</param>
    public NetworkEmbedding(IReadOnlyList<Tensor> projections)
    {
        _projections = projections;
        Rows = projections[0].shape[0];
    }

    /// <summary>Wraps what <see cref="FusedProjections"/> made.</summary>
    /// <param name="all">All rows of the first block, then those of the next.</param>
    /// <param name="first">The first row that counts.</param>
    /// <param name="rows">M.</param>
    internal NetworkEmbedding(ProjectedRows all, long first, long rows) => (All, _first, Rows) = (all, first, rows);

    /// <summary>Wraps all blocks' projections side by side.</summary>
    /// <param name="joined">[M, D₁ + D₂ + …]; disposed with this.</param>
    /// <param name="widths">Those of each block.</param>
    internal NetworkEmbedding(Tensor joined, int[] widths) => (Joined, _widths, Rows) = (joined, widths, joined.shape[0]);

    /// <summary>For each block [M, D]: D channels to add, or their scales and then their shifts.</summary>
    public IReadOnlyList<Tensor> Projections => _projections ??= All?.Split(_first, Rows) ?? SplitJoined();

    /// <summary>M, the number of rows.</summary>
    public long Rows { get; }

    /// <summary>All blocks' rows in one tensor, these and others; null: each block has its own.</summary>
    internal ProjectedRows? All { get; }

    /// <summary>[M, D₁ + D₂ + …], all blocks' projections side by side; null: they are not.</summary>
    internal Tensor? Joined { get; }

    private Tensor Any => All?.Numbers ?? Joined ?? Projections[0];

    /// <summary>Some of the rows, as views; for instance those of one step of a sampler that embedded all its timesteps at once.</summary>
    /// <param name="start">The first row.</param>
    /// <param name="count">How many.</param>
    /// <returns>The views; the caller disposes them.</returns>
    /// <exception cref="ArgumentOutOfRangeException">There are no such rows.</exception>
    public NetworkEmbedding Slice(long start, long count)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(start);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(start + count, Rows, nameof(count));
        if (All is { } all)
            return new(all.Alias(), _first + start, count);
        return Joined is { } joined ? new(joined.narrow(0, start, count), _widths) : new([.. Projections.Select(projection => projection.narrow(0, start, count))]);
    }

    /// <summary>The projections in another element type, where the network runs in one.</summary>
    /// <returns>This, or new projections that the caller disposes.</returns>
    internal NetworkEmbedding As(ScalarType type)
    {
        if (Any.dtype == type)
            return this;
        if (All is { } all)
            return new(all with { Numbers = all.Numbers.to(type) }, _first, Rows);
        return Joined is { } joined ? new(joined.to(type), _widths) : new([.. Projections.Select(projection => projection.to(type))]);
    }

    /// <summary>Takes the tensors out of the current dispose scope.</summary>
    internal void DetachFromDisposeScope()
    {
        All?.Numbers.DetachFromDisposeScope();
        Joined?.DetachFromDisposeScope();
        foreach (Tensor projection in _projections ?? [])
            projection.DetachFromDisposeScope();
    }

    /// <summary>What each block of a pass is told, in memory.</summary>
    /// <param name="gradient">Memory as large as <see cref="All"/>, where the gradients are added to; null for none.</param>
    internal unsafe HostRows[] ToHost(float* gradient)
    {
        var all = All!;
        float* numbers = HostMemory.Pointer(all.Numbers);
        var rows = new HostRows[all.Widths.Length];
        long offset = 0;
        for (int i = 0; i < rows.Length; offset += all.Rows * all.Widths[i++])
        {
            long start = offset + _first * all.Widths[i];
            rows[i] = new(new(numbers + start, Rows > 1), gradient is null ? null : gradient + start);
        }
        return rows;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        All?.Numbers.Dispose();
        Joined?.Dispose();
        foreach (Tensor projection in _projections ?? [])
            projection.Dispose();
    }

    private Tensor[] SplitJoined()
    {
        var views = new Tensor[_widths.Length];
        long first = 0;
        for (int i = 0; i < views.Length; first += _widths[i++])
            views[i] = Joined!.narrow(1, first, _widths[i]);
        return views;
    }
}

/// <summary>What several linear layers made of the same rows.</summary>
/// <param name="Numbers">All rows of the first layer, then those of the next, and so on.</param>
/// <param name="Rows">How many rows.</param>
/// <param name="Widths">Numbers of a row, for each layer.</param>
internal sealed record ProjectedRows(Tensor Numbers, long Rows, int[] Widths)
{
    /// <summary>The same once more; the caller disposes its tensor.</summary>
    public ProjectedRows Alias() => this with { Numbers = Numbers.alias() };

    /// <summary>Views of some rows: [count, D] for each layer; the caller disposes them.</summary>
    public Tensor[] Split(long first, long count)
    {
        var views = new Tensor[Widths.Length];
        long offset = 0;
        for (int i = 0; i < views.Length; offset += Rows * Widths[i++])
        {
            using Tensor run = Numbers.narrow(0, offset + first * Widths[i], count * Widths[i]);
            views[i] = run.view(count, Widths[i]);
        }
        return views;
    }
}
