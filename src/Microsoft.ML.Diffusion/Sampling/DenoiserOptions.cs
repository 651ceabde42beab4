namespace Microsoft.ML.Diffusion;

/// <summary>How a network's output is read and steered. Immutable, compared by value.</summary>
public sealed record DenoiserOptions
{
    /// <summary>What the network was trained to predict.</summary>
    public PredictionType Prediction { get; init; }

    /// <summary>Whether the network learned a variance; the fixed kinds mean that it did not.</summary>
    public VarianceType Variance { get; init; } = VarianceType.FixedLarge;

    /// <summary>How x_0 is kept within the range of images.</summary>
    public X0Threshold Threshold { get; init; } = X0Threshold.Clip;

    /// <summary>The network is told t·1000/T instead of t, as it was trained (see <see cref="GaussianDiffusion.RescaleTimesteps"/>).</summary>
    public bool RescaleTimesteps { get; init; }

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
