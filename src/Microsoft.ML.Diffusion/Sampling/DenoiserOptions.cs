namespace Microsoft.ML.Diffusion;

/// <summary>How a network's output is read and steered. Immutable, compared by value.</summary>
public sealed record DenoiserOptions
{
    /// <summary>What the network was trained to predict.</summary>
    public PredictionType Prediction { get; init; }

    /// <summary>Whether the network learned a variance; the fixed kinds mean that it did not.</summary>
    public VarianceType Variance { get; init; } = VarianceType.FixedLarge;

    /// <summary>How x_0 is kept within the range of images.</summary>
    public X0Clipping Clipping { get; init; } = X0Clipping.Clip;

    /// <summary>
    /// The share of values that dynamic thresholding leaves unclipped, in (0, 1] (Saharia et al. 2022, section 2.3). 0.995 in the paper.
    /// </summary>
    public double DynamicPercentile
    {
        get;
        init => field = value is > 0 and <= 1
            ? value
            : throw new ArgumentOutOfRangeException(nameof(DynamicPercentile), value, "DynamicPercentile must lie above 0 and not above 1.");
    } = 0.995;

    /// <summary>
    /// Classifier-free guidance: 1 is none, 0 ignores the class, above 1 exaggerates it (Ho and Salimans 2022, equation 6 with w + 1). Unless it is 1, the model is called with the batch twice,
    /// first with the condition, then without.
    /// </summary>
    public double GuidanceScale
    {
        get;
        init => field = double.IsFinite(value) && value >= 0
            ? value
            : throw new ArgumentOutOfRangeException(nameof(GuidanceScale), value, "GuidanceScale must be a finite number of 0 or more.");
    } = 1;

    /// <summary>φ in 0 … 1: how far the guided output is brought back to the spread of the unguided one, against washed-out images (Lin et al. 2024, equations 15 and 16).</summary>
    public double GuidanceRescale
    {
        get;
        init => field = value is >= 0 and <= 1
            ? value
            : throw new ArgumentOutOfRangeException(nameof(GuidanceRescale), value, "GuidanceRescale must lie in 0 … 1.");
    }

    /// <summary>Whether the model is called with a doubled batch.</summary>
    internal bool IsGuided => GuidanceScale != 1;
}

/// <summary>How an estimate of x_0 is kept within [−1, 1], the range of images.</summary>
public enum X0Clipping
{
    /// <summary>Not at all.</summary>
    None,

    /// <summary>Cut off at −1 and 1. Papers seldom mention it and image quality depends on it.</summary>
    Clip,

    /// <summary>Cut off at a percentile of the row's own absolute values and divided by it, where that exceeds 1 (Saharia et al. 2022): for strong guidance.</summary>
    Dynamic,
}
