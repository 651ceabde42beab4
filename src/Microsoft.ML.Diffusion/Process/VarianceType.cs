using System.Text.Json.Serialization;

namespace Microsoft.ML.Diffusion;

/// <summary>The variance of the reverse step p(x_{t−1} | x_t).</summary>
[JsonConverter(typeof(JsonStringEnumConverter<VarianceType>))]
public enum VarianceType
{
    /// <summary>The posterior variance β̃_t: right when x_0 is one known point (Ho et al. 2020, section 3.2).</summary>
    FixedSmall,

    /// <summary>The forward variance β_t: right when x_0 is standard normal; only for many steps.</summary>
    FixedLarge,

    /// <summary>Interpolated by the network between log β̃_t and log β_t; doubles the output channels (Nichol and Dhariwal 2021, equation 15).</summary>
    LearnedRange,

    /// <summary>The network's second half of channels is the log variance itself.</summary>
    Learned,
}
