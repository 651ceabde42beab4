namespace Microsoft.ML.Diffusion;

public sealed partial class GaussianDiffusion
{
    /// <summary>v = √ᾱ_t·ε − √(1−ᾱ_t)·x_0 (Salimans and Ho 2022, section 4).</summary>
    /// <param name="x0">[N, C, H, W].</param>
    /// <param name="t">[N] int64.</param>
    /// <param name="noise">ε, shaped as <paramref name="x0"/>.</param>
    public Tensor Velocity(Tensor x0, Tensor t, Tensor noise)
    {
        Check(x0, t);
        CheckAlike(x0, noise, nameof(noise));
        return Difference(Coefficient.SqrtAlphaBar, noise, Coefficient.SqrtOneMinusAlphaBar, x0, t);
    }

    /// <summary>x_0 = x_t/√ᾱ_t − √(1/ᾱ_t − 1)·ε. Infinite where ᾱ_t is 0.</summary>
    /// <param name="x">x_t, [N, C, H, W].</param>
    /// <param name="t">[N] int64.</param>
    /// <param name="epsilon">ε, shaped as <paramref name="x"/>.</param>
    public Tensor X0FromEpsilon(Tensor x, Tensor t, Tensor epsilon)
    {
        Check(x, t);
        CheckAlike(x, epsilon, nameof(epsilon));
        return Difference(Coefficient.SqrtRecipAlphaBar, x, Coefficient.SqrtRecipM1AlphaBar, epsilon, t);
    }

    /// <summary>x_0 = √ᾱ_t·x_t − √(1−ᾱ_t)·v.</summary>
    /// <param name="x">x_t, [N, C, H, W].</param>
    /// <param name="t">[N] int64.</param>
    /// <param name="v">v, shaped as <paramref name="x"/>.</param>
    public Tensor X0FromV(Tensor x, Tensor t, Tensor v)
    {
        Check(x, t);
        CheckAlike(x, v, nameof(v));
        return Difference(Coefficient.SqrtAlphaBar, x, Coefficient.SqrtOneMinusAlphaBar, v, t);
    }

    /// <summary>The x_0 whose posterior mean is <paramref name="previous"/>: equation 7 of Ho et al. 2020, solved for x_0.</summary>
    /// <param name="x">x_t, [N, C, H, W].</param>
    /// <param name="t">[N] int64.</param>
    /// <param name="previous">The mean of x_{t−1}, shaped as <paramref name="x"/>.</param>
    public Tensor X0FromPrevious(Tensor x, Tensor t, Tensor previous)
    {
        Check(x, t);
        CheckAlike(x, previous, nameof(previous));
        return Difference(Coefficient.RecipPosteriorX0, previous, Coefficient.PosteriorXOverX0, x, t);
    }

    /// <summary>ε = (x_t − √ᾱ_t·x_0)/√(1−ᾱ_t).</summary>
    /// <param name="x">x_t, [N, C, H, W].</param>
    /// <param name="t">[N] int64.</param>
    /// <param name="x0">x_0, shaped as <paramref name="x"/>.</param>
    public Tensor EpsilonFromX0(Tensor x, Tensor t, Tensor x0)
    {
        Check(x, t);
        CheckAlike(x, x0, nameof(x0));
        using var scope = NewDisposeScope();
        return ((x - At(Coefficient.SqrtAlphaBar, t, x) * x0) / At(Coefficient.SqrtOneMinusAlphaBar, t, x)).MoveToOuterDisposeScope();
    }

    /// <summary>ε = √ᾱ_t·v + √(1−ᾱ_t)·x_t.</summary>
    /// <param name="x">x_t, [N, C, H, W].</param>
    /// <param name="t">[N] int64.</param>
    /// <param name="v">v, shaped as <paramref name="x"/>.</param>
    public Tensor EpsilonFromV(Tensor x, Tensor t, Tensor v)
    {
        Check(x, t);
        CheckAlike(x, v, nameof(v));
        return Combine(Coefficient.SqrtAlphaBar, v, Coefficient.SqrtOneMinusAlphaBar, x, t);
    }

    /// <summary>The estimate of x_0 in a network's prediction, by <see cref="Prediction"/>.</summary>
    /// <param name="prediction">[N, C, H, W]: the network's output, without the channels of a learned variance.</param>
    /// <param name="x">x_t, shaped as <paramref name="prediction"/>.</param>
    /// <param name="t">[N] int64.</param>
    public Tensor PredictX0(Tensor prediction, Tensor x, Tensor t) => Prediction switch
    {
        PredictionType.Epsilon => X0FromEpsilon(x, t, prediction),
        PredictionType.X0 => prediction.alias(),
        PredictionType.V => X0FromV(x, t, prediction),
        _ => X0FromPrevious(x, t, prediction),
    };
}
