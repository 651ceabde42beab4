namespace Microsoft.ML.Diffusion;

/// <summary>How <see cref="GenerativeCatalog.EvaluateLikelihood(ITransformer, IDataView, LikelihoodOptions)"/> evaluates.</summary>
public sealed record LikelihoodOptions
{
    /// <summary>Timesteps of the process to evaluate, evenly spaced; null for all of them, which is the bound of the literature and costs one network run a timestep and image.</summary>
    public int? Steps { get; init; }

    /// <summary>Rows to evaluate at the most; null for all.</summary>
    public long? MaximumRows { get; init; }

    /// <summary>Images evaluated together.</summary>
    public int BatchSize { get; init; } = 16;

    /// <summary>Decides the noise, together with each row's id.</summary>
    public int Seed { get; init; }

    /// <summary>Looked at before each network run.</summary>
    public CancellationToken CancellationToken { get; init; }
}
