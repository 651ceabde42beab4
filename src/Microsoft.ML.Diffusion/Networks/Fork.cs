namespace Microsoft.ML.Diffusion;

/// <summary>
/// The further readers of a tensor that an operator of ours reads: a residual connection, a skip connection. In training they get it out of the operator's node of the graph,
/// so that all gradients meet there and our kernels add them on every core; libtorch would add them on one, into memory of their own.
/// </summary>
internal sealed class Fork : IDisposable
{
    private readonly List<Tensor?> _ways = [];

    /// <summary>How many readers there are.</summary>
    public int Readers { get; private set; }

    /// <summary>The tensor as one reader gets it; belongs to the fork.</summary>
    /// <param name="reader">From <see cref="Add"/>.</param>
    public Tensor this[int reader] => _ways[reader]!;

    /// <summary>Adds a reader, before the operator runs.</summary>
    /// <returns>Its number.</returns>
    public int Add() => Readers++;

    /// <summary>Hands a reader's tensor over; the caller disposes it.</summary>
    /// <param name="reader">From <see cref="Add"/>.</param>
    public Tensor Take(int reader)
    {
        Tensor way = this[reader];
        _ways[reader] = null;
        return way;
    }

    /// <summary>Gives every reader the tensor itself: where there is no graph, and with operators that are not ours.</summary>
    /// <param name="x">The tensor; not disposed.</param>
    public void Fill(Tensor x) => Fill(Enumerable.Range(0, Readers).Select(_ => x.alias()), ChannelMoments.Of(x));

    /// <summary>Gives every reader its own.</summary>
    /// <param name="ways">As many as there are readers; they belong to the fork from now on.</param>
    /// <param name="moments">What is known of the tensor; null: nothing.</param>
    public void Fill(IEnumerable<Tensor> ways, ChannelMoments? moments)
    {
        foreach (Tensor way in ways)
        {
            moments?.Describe(way);
            _ways.Add(way);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var way in _ways)
            way?.Dispose();
    }
}
