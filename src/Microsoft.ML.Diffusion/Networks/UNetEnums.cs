using System.Text.Json.Serialization;

namespace Microsoft.ML.Diffusion;

/// <summary>The family of U-Net.</summary>
[JsonConverter(typeof(JsonStringEnumConverter<UNetArchitecture>))]
public enum UNetArchitecture
{
    /// <summary>Residual blocks with group norm and full attention at some resolutions: Ho et al. 2020, Nichol and Dhariwal 2021.</summary>
    Residual,

    /// <summary>Weight-standardised convolutions, linear attention at the outer levels, pixel-unshuffle downsampling: the annotated diffusion model of 2022.</summary>
    Annotated,
}

/// <summary>How a residual block is told the timestep and the class.</summary>
[JsonConverter(typeof(JsonStringEnumConverter<TimestepConditioning>))]
public enum TimestepConditioning
{
    /// <summary>A projection of the embedding is added between the two convolutions (Ho et al. 2020).</summary>
    Add,

    /// <summary>FiLM: the second norm is scaled by 1 + s and shifted by b, both projections of the embedding (Nichol and Dhariwal 2021).</summary>
    ScaleShift,
}

/// <summary>How weights are drawn before training. In the residual family the layers that end a residual branch and the output convolution start at zero.</summary>
[JsonConverter(typeof(JsonStringEnumConverter<WeightInitialization>))]
public enum WeightInitialization
{
    /// <summary>PyTorch's own: weights and biases uniform in ±1/√fan_in (improved-diffusion, annotated).</summary>
    KaimingUniform,

    /// <summary>Weights uniform in ±√(3/fan_avg), fan_avg the mean of fan-in and fan-out; biases zero (Ho et al. 2020).</summary>
    VarianceScaling,
}
