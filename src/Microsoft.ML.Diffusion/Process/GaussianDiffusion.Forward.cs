namespace Microsoft.ML.Diffusion;

/// <summary>A Gaussian of each row. Owns its tensors.</summary>
/// <param name="Mean">[N, C, H, W].</param>
/// <param name="Variance">[N, 1, 1, 1], or [N, C, H, W] where it is learned.</param>
/// <param name="LogVariance">Shaped as the variance.</param>
public readonly record struct RowGaussian(Tensor Mean, Tensor Variance, Tensor LogVariance) : IDisposable
{
    /// <inheritdoc/>
    public void Dispose()
    {
        Mean.Dispose();
        Variance.Dispose();
        LogVariance.Dispose();
    }
}

public sealed partial class GaussianDiffusion
{
    /// <summary>Noises a batch: x_t = √ᾱ_t·x_0 + √(1−ᾱ_t)·ε, a draw from q(x_t | x_0) (Ho et al. 2020, equation 4).</summary>
    /// <param name="x0">[N, C, H, W].</param>
    /// <param name="t">[N] int64.</param>
    /// <param name="noise">ε, shaped as <paramref name="x0"/>.</param>
    public Tensor QSample(Tensor x0, Tensor t, Tensor noise)
    {
        Check(x0, t);
        CheckAlike(x0, noise, nameof(noise));
        return Combine(Coefficient.SqrtAlphaBar, x0, Coefficient.SqrtOneMinusAlphaBar, noise, t);
    }

    /// <summary>q(x_t | x_0).</summary>
    /// <param name="x0">[N, C, H, W].</param>
    /// <param name="t">[N] int64.</param>
    public RowGaussian QMeanVariance(Tensor x0, Tensor t)
    {
        Check(x0, t);
        using var scale = At(Coefficient.SqrtAlphaBar, t, x0);
        return new RowGaussian(scale * x0, At(Coefficient.OneMinusAlphaBar, t, x0), At(Coefficient.LogOneMinusAlphaBar, t, x0));
    }

    /// <summary>q(x_{t−1} | x_t, x_0) (Ho et al. 2020, equations 6 and 7). Its log variance at t = 0 is that of t = 1.</summary>
    /// <param name="x0">[N, C, H, W].</param>
    /// <param name="x">x_t, shaped as <paramref name="x0"/>.</param>
    /// <param name="t">[N] int64.</param>
    public RowGaussian PosteriorMeanVariance(Tensor x0, Tensor x, Tensor t)
    {
        Check(x0, t);
        CheckAlike(x0, x, nameof(x));
        return new RowGaussian(
            Combine(Coefficient.PosteriorX0, x0, Coefficient.PosteriorX, x, t),
            At(Coefficient.PosteriorVariance, t, x),
            At(Coefficient.PosteriorLogVariance, t, x));
    }

    /// <summary>What the network should have said of x_t: ε, x_0, v or the posterior mean, by <see cref="Prediction"/>.</summary>
    /// <param name="x0">[N, C, H, W].</param>
    /// <param name="x">x_t, shaped as <paramref name="x0"/>.</param>
    /// <param name="t">[N] int64.</param>
    /// <param name="noise">The ε that made x_t.</param>
    public Tensor Target(Tensor x0, Tensor x, Tensor t, Tensor noise)
    {
        Check(x0, t);
        CheckAlike(x0, noise, nameof(noise));
        switch (Prediction)
        {
            case PredictionType.Epsilon:
                return noise.alias();
            case PredictionType.X0:
                return x0.alias();
            case PredictionType.V:
                return Velocity(x0, t, noise);
            default:
                CheckAlike(x0, x, nameof(x));
                return Combine(Coefficient.PosteriorX0, x0, Coefficient.PosteriorX, x, t);
        }
    }

    /// <summary>a_t·first + b_t·second.</summary>
    private Tensor Combine(Coefficient a, Tensor first, Coefficient b, Tensor second, Tensor t)
    {
        using var scope = NewDisposeScope();
        return (At(a, t, first) * first).Plus(At(b, t, second) * second).MoveToOuterDisposeScope();
    }

    /// <summary>a_t·first − b_t·second.</summary>
    private Tensor Difference(Coefficient a, Tensor first, Coefficient b, Tensor second, Tensor t)
    {
        using var scope = NewDisposeScope();
        return (At(a, t, first) * first - At(b, t, second) * second).MoveToOuterDisposeScope();
    }
}
