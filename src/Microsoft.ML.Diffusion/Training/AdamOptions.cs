namespace Microsoft.ML.Diffusion;

/// <summary>What <see cref="FlatAdam"/> is told once.</summary>
internal sealed record AdamOptions
{
    /// <summary>β₁, the decay of the gradient's running mean.</summary>
    public double Beta1 { get; init; } = 0.9;

    /// <summary>β₂, the decay of the gradient's running square.</summary>
    public double Beta2 { get; init; } = 0.999;

    /// <summary>ε, added to the root of the running square.</summary>
    public double Epsilon { get; init; } = 1e-8;

    /// <summary>Decoupled weight decay (AdamW): each step takes away this share, times the learning rate, of each weight.</summary>
    public double WeightDecay { get; init; }

    /// <summary>The largest norm that the gradient of a step may have; longer ones are scaled down. Null for no limit.</summary>
    public double? ClipNorm { get; init; } = 1;

    /// <summary>The decay of the weights' exponential moving average, once warmed up.</summary>
    public double EmaDecay { get; init; } = 0.9999;
}
