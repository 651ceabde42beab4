namespace Microsoft.ML.Diffusion;

/// <summary>
/// How noisy a batch is: the timestep that the network is told, and the signal that is left.
/// A batch at this level is x = √ᾱ·x_0 + √(1−ᾱ)·ε.
/// </summary>
/// <param name="Timestep">The timestep handed to the network, counted from 0 in steps of the process it was trained on; may be fractional.</param>
/// <param name="AlphaBar">ᾱ in [0, 1]: the share of the variance that is signal.</param>
public readonly record struct NoiseLevel(double Timestep, double AlphaBar)
{
    /// <summary>σ = √((1−ᾱ)/ᾱ): the noise on x/√ᾱ, the scale of Karras et al. 2022; infinite where ᾱ is 0.</summary>
    public double Sigma => Math.Sqrt((1 - AlphaBar) / AlphaBar);
}
