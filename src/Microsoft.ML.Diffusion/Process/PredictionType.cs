using System.Text.Json.Serialization;

namespace Microsoft.ML.Diffusion;

/// <summary>What the network's output stands for, given x_t = √ᾱ_t·x_0 + √(1−ᾱ_t)·ε.</summary>
[JsonConverter(typeof(JsonStringEnumConverter<PredictionType>))]
public enum PredictionType
{
    /// <summary>The noise ε (Ho et al. 2020, equation 14).</summary>
    Epsilon,

    /// <summary>The clean image x_0.</summary>
    X0,

    /// <summary>The velocity v = √ᾱ_t·ε − √(1−ᾱ_t)·x_0 (Salimans and Ho 2022).</summary>
    V,

    /// <summary>The mean of the previous step, x_{t−1}.</summary>
    PreviousX,
}
