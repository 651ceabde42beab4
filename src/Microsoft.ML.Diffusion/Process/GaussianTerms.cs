namespace Microsoft.ML.Diffusion;

/// <summary>What the bound is made of, elementwise and in nats.</summary>
internal static class GaussianTerms
{
    private const double HalfBin = 1.0 / 255;

    // Below this a probability is float32 noise; the logarithm needs something.
    private const double LeastProbability = 1e-12;

    /// <summary>KL(N(mean1, e^logVariance1) ‖ N(mean2, e^logVariance2)).</summary>
    public static Tensor Kl(Tensor mean1, Tensor logVariance1, Tensor mean2, Tensor logVariance2)
    {
        using var scope = NewDisposeScope();
        return (Held(0.5) * (logVariance2 - logVariance1 - Held(1)).Plus((logVariance1 - logVariance2).exp()).Plus((mean1 - mean2).Squared() * (-logVariance2).exp())).MoveToOuterDisposeScope();
    }

    /// <summary>KL(N(mean, e^logVariance) ‖ N(0, 1)).</summary>
    public static Tensor KlToStandardNormal(Tensor mean, Tensor logVariance)
    {
        using var scope = NewDisposeScope();
        return (Held(0.5) * (logVariance.exp() - logVariance - Held(1)).Plus(mean.Squared())).MoveToOuterDisposeScope();
    }

    /// <summary>
    /// The log probability that a Gaussian gives to the 8-bit level of each pixel: its mass within 1/255 to both sides, and of everything beyond
    /// for the lowest and highest level (Ho et al. 2020, equation 13).
    /// </summary>
    /// <param name="x">Pixels k/127.5 − 1, k = 0 … 255.</param>
    /// <param name="mean">Shaped as <paramref name="x"/>.</param>
    /// <param name="logScale">Half the log variance.</param>
    public static Tensor DiscretizedLogLikelihood(Tensor x, Tensor mean, Tensor logScale)
    {
        using var scope = NewDisposeScope();
        var centered = x - mean;
        var inverse = (-logScale).exp();
        var upper = NormalCdf(inverse * (centered + Held(HalfBin)));
        var lower = NormalCdf(inverse * (centered - Held(HalfBin)));
        var inside = (upper - lower).clamp_min(Held(LeastProbability)).log();
        var lowest = upper.clamp_min(Held(LeastProbability)).log();
        var highest = (Held(1) - lower).clamp_min(Held(LeastProbability)).log();
        return where(x < Held(-0.999), lowest, where(x > Held(0.999), highest, inside)).MoveToOuterDisposeScope();
    }

    /// <summary>The tanh approximation of Φ (Page 1977), which the published likelihoods were computed with; it differs from erf by up to 3e-4.</summary>
    private static Tensor NormalCdf(Tensor x) => Held(0.5) * (Held(1) + (Held(Math.Sqrt(2 / Math.PI)) * x.Plus(Held(0.044715) * x.pow(Held(3)))).tanh());
}
