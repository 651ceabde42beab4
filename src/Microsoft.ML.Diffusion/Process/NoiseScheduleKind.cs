using System.Text.Json.Serialization;

namespace Microsoft.ML.Diffusion;

/// <summary>The formula behind a noise schedule; u runs over [0, 1] in T steps.</summary>
[JsonConverter(typeof(JsonStringEnumConverter<NoiseScheduleKind>))]
public enum NoiseScheduleKind
{
    /// <summary>β from 1e-4 to 0.02 in even steps (Ho et al. 2020, section 4), times 1000/T so that any T ends equally noisy (Nichol and Dhariwal 2021).</summary>
    Linear,

    /// <summary>β from 1e-4 to 0.02 in even steps, whatever T is: with few steps the last image is far from noise.</summary>
    UnscaledLinear,

    /// <summary>√β from √1e-4 to √0.02 in even steps, whatever T is.</summary>
    Quadratic,

    /// <summary>√β from √0.00085 to √0.012 in even steps, whatever T is: the latent diffusion models' schedule (Rombach et al. 2022).</summary>
    ScaledLinear,

    /// <summary>β from 1e-4 to 0.02 along a sigmoid over [−6, 6], whatever T is.</summary>
    Sigmoid,

    /// <summary>ᾱ(u) = cos²((u + s)/(1 + s)·π/2), each β at most 0.999 (Nichol and Dhariwal 2021, equation 17).</summary>
    Cosine,

    /// <summary>ᾱ(u) along a falling sigmoid, scaled to run from 1 to 0, each β at most 0.999 (Jabri et al. 2022).</summary>
    SigmoidAlphaBar,

    /// <summary>√ᾱ(u) whose log signal-to-noise ratio is Laplace distributed, each β at most 0.999 (Hang and Gu 2024), as diffusers computes it.</summary>
    Laplace,

    /// <summary>ᾱ(u) = e^(−12u): every β alike.</summary>
    Exponential,
}
