namespace Microsoft.ML.Diffusion;

/// <summary>
/// What a network's blocks are told of timestep and class: one projection a block, a row for each (timestep, class). Owns its tensors.
/// </summary>
/// <param name="projections">For each block [M, D]: D channels to add, or their scales and then their shifts.</param>
public sealed class NetworkEmbedding(IReadOnlyList<Tensor> projections) : IDisposable
{
    /// <summary>For each block [M, D]: D channels to add, or their scales and then their shifts.</summary>
    public IReadOnlyList<Tensor> Projections { get; } = projections;

    /// <summary>M, the number of rows.</summary>
    public long Rows => Projections[0].shape[0];

    /// <summary>Some of the rows, as views; for instance those of one step of a sampler that embedded all its timesteps at once.</summary>
    /// <param name="start">The first row.</param>
    /// <param name="count">How many.</param>
    /// <returns>The views; the caller disposes them.</returns>
    public NetworkEmbedding Slice(long start, long count)
    {
        var views = new Tensor[Projections.Count];
        for (int i = 0; i < views.Length; i++)
            views[i] = Projections[i].narrow(0, start, count);
        return new(views);
    }

    /// <summary>The projections in another element type, where the network runs in one.</summary>
    /// <returns>This, or new projections that the caller disposes.</returns>
    internal NetworkEmbedding As(ScalarType type) =>
        Projections[0].dtype == type ? this : new([.. Projections.Select(projection => projection.to(type))]);

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (Tensor projection in Projections)
            projection.Dispose();
    }
}
