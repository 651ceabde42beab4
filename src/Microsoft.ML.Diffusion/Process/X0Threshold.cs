using System.Text.Json.Serialization;

namespace Microsoft.ML.Diffusion;

/// <summary>How an estimate of x_0 is kept within the images' range.</summary>
[JsonConverter(typeof(JsonStringEnumConverter<X0ThresholdKind>))]
public enum X0ThresholdKind
{
    /// <summary>Left as it is.</summary>
    None,

    /// <summary>Clamped to [−1, 1].</summary>
    Clip,

    /// <summary>Clamped to a quantile of its own magnitudes and scaled back to [−1, 1].</summary>
    Dynamic,
}

/// <summary>
/// Keeps an estimate of x_0 within [−1, 1], the range of the images. Ho et al. 2020 clip at every step without saying so; without it small errors
/// at high noise, multiplied by 1/√ᾱ, drive samples out of range and quality falls sharply.
/// </summary>
public sealed record X0Threshold
{
    /// <summary>Leaves the estimate alone.</summary>
    public static X0Threshold None { get; } = new() { Kind = X0ThresholdKind.None };

    /// <summary>Clamps the estimate to [−1, 1].</summary>
    public static X0Threshold Clip { get; } = new() { Kind = X0ThresholdKind.Clip };

    /// <summary>Clamps each image to the given quantile s ≥ 1 of its magnitudes and divides by s (Saharia et al. 2022, section 2.3).</summary>
    /// <param name="quantile">In (0, 1].</param>
    /// <param name="maximum">The largest s, at least 1; null for no limit.</param>
    public static X0Threshold Dynamic(double quantile = 0.995, double? maximum = null)
        => new() { Kind = X0ThresholdKind.Dynamic, Quantile = quantile, Maximum = maximum };

    /// <summary>What is done.</summary>
    public X0ThresholdKind Kind { get; init; } = X0ThresholdKind.Clip;

    /// <summary>The share of an image's magnitudes that <see cref="X0ThresholdKind.Dynamic"/> leaves unclamped, in (0, 1].</summary>
    public double Quantile
    {
        get;
        init => field = value is > 0 and <= 1 ? value : throw new ArgumentException($"X0Threshold.Quantile is {value}; it lies above 0 and not above 1.");
    } = 0.995;

    /// <summary>The largest magnitude that <see cref="X0ThresholdKind.Dynamic"/> scales down, at least 1; null for no limit.</summary>
    public double? Maximum
    {
        get;
        init => field = value is null or >= 1 ? value : throw new ArgumentException($"X0Threshold.Maximum is {value}; below 1 it would clip valid pixels.");
    }

    /// <summary>Applies it.</summary>
    /// <param name="x0">[N, …] float: estimates of x_0; not changed.</param>
    /// <returns>A tensor that the caller disposes, also where nothing is done.</returns>
    public Tensor Apply(Tensor x0)
    {
        switch (Kind)
        {
            case X0ThresholdKind.None:
                return x0.alias();
            case X0ThresholdKind.Clip:
                return x0.clamp(Held(-1), Held(1));
            default:
                using (NewDisposeScope())
                {
                    var magnitudes = x0.flatten(1).abs();
                    var scale = magnitudes.quantile(tensor(Quantile, magnitudes.dtype, magnitudes.device), 1, keepdim: true).clamp_min(Held(1));
                    if (Maximum is { } maximum)
                        scale = scale.clamp_max(Held(maximum));
                    var shaped = scale.view(Rows.Column(x0));
                    return (x0.minimum(shaped).maximum(-shaped) / shaped).MoveToOuterDisposeScope();
                }
        }
    }
}
