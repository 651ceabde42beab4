using System.Text.Json.Serialization;

namespace Microsoft.ML.Diffusion;

/// <summary>What training minimises.</summary>
[JsonConverter(typeof(JsonStringEnumConverter<LossType>))]
public enum LossType
{
    /// <summary>L_simple: the mean square error of the prediction (Ho et al. 2020, equation 14). A learned variance adds the bound in full.</summary>
    Simple,

    /// <summary>L_hybrid: L_simple plus the bound times T/1000, the bound teaching the variance alone (Nichol and Dhariwal 2021, equation 16). L_simple where the variance is fixed.</summary>
    Hybrid,

    /// <summary>L_vlb: the bound's term at t, bits per dimension.</summary>
    Bound,

    /// <summary>The bound's term at t times T: an estimate of the whole bound.</summary>
    RescaledBound,

    /// <summary>The mean absolute error of the prediction; a learned variance adds the bound times T/1000.</summary>
    L1,

    /// <summary>Quadratic below <see cref="DiffusionLossOptions.HuberDelta"/>, linear above; a learned variance adds the bound times T/1000.</summary>
    Huber,
}

/// <summary>The training loss as it is written down.</summary>
public sealed record DiffusionLossOptions
{
    /// <summary>What is minimised.</summary>
    public LossType Type { get; init; } = LossType.Simple;

    /// <summary>Where <see cref="LossType.Huber"/> turns from quadratic to linear; above 0.</summary>
    public double HuberDelta
    {
        get;
        init => field = value is > 0 and < double.PositiveInfinity ? value : throw new ArgumentException($"DiffusionLossOptions.HuberDelta is {value}; it must be above 0.");
    } = 1;

    /// <summary>
    /// γ of min-SNR weighting (Hang et al. 2023, section 3.4; 5 in the paper): no timestep weighs more than γ in terms of x_0. Null weighs them alike.
    /// Not for <see cref="LossType.Bound"/> and <see cref="LossType.RescaledBound"/>, nor for <see cref="PredictionType.PreviousX"/>.
    /// </summary>
    public double? MinSnrGamma
    {
        get;
        init => field = value is null or (> 0 and < double.PositiveInfinity) ? value : throw new ArgumentException($"DiffusionLossOptions.MinSnrGamma is {value}; it must be above 0, or null for no weighting.");
    }

    /// <summary>How much noise a whole channel shares, added to each pixel's own: lets a network learn images much darker or lighter than average. 0 for none, 0.1 is usual.</summary>
    public double OffsetNoise
    {
        get;
        init => field = value is >= 0 and < double.PositiveInfinity ? value : throw new ArgumentException($"DiffusionLossOptions.OffsetNoise is {value}; it may not be negative.");
    }
}
