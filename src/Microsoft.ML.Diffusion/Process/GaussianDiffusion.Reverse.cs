namespace Microsoft.ML.Diffusion;

/// <summary>p(x_{t−1} | x_t) as a network's output defines it. Owns its tensors.</summary>
/// <param name="Mean">[N, C, H, W].</param>
/// <param name="Variance">[N, 1, 1, 1], or [N, C, H, W] where it is learned.</param>
/// <param name="LogVariance">Shaped as the variance.</param>
/// <param name="X0">[N, C, H, W]: the estimate of x_0 behind the mean.</param>
public readonly record struct ReverseStep(Tensor Mean, Tensor Variance, Tensor LogVariance, Tensor X0) : IDisposable
{
    /// <inheritdoc/>
    public void Dispose()
    {
        Mean.Dispose();
        Variance.Dispose();
        LogVariance.Dispose();
        X0.Dispose();
    }
}

public sealed partial class GaussianDiffusion
{
    /// <summary>p(x_{t−1} | x_t) from a network's output.</summary>
    /// <param name="output">[N, C, H, W], or [N, 2C, H, W] where the variance is learned: first the prediction, then the variance.</param>
    /// <param name="x">x_t, [N, C, H, W].</param>
    /// <param name="t">[N] int64.</param>
    /// <param name="threshold">Keeps the estimate of x_0 in range before the mean is taken from it; null clips to [−1, 1]. Does not touch the mean of a network that predicts it.</param>
    /// <exception cref="ArgumentException">The output has not the channels that the variance type asks for.</exception>
    public ReverseStep PMeanVariance(Tensor output, Tensor x, Tensor t, X0Threshold? threshold = null)
    {
        Check(x, t);
        using var scope = NewDisposeScope();
        var (prediction, fraction) = Split(output, x);
        var x0 = (threshold ?? X0Threshold.Clip).Apply(PredictX0(prediction, x, t));
        var mean = Prediction == PredictionType.PreviousX
            ? prediction.alias()
            : Combine(Coefficient.PosteriorX0, x0, Coefficient.PosteriorX, x, t);
        var (variance, logVariance) = StepVariance(fraction, x, t);
        scope.MoveToOuter(mean, variance, logVariance);
        scope.MoveToOuter(x0);
        return new ReverseStep(mean, variance, logVariance, x0);
    }

    /// <summary>Splits a network's output into the prediction and, where the variance is learned, the variance channels. Both are views.</summary>
    internal (Tensor Prediction, Tensor? Fraction) Split(Tensor output, Tensor x)
    {
        var channels = x.shape[1];
        var wanted = Variance.IsLearned ? 2 * channels : channels;
        if (output.dim() != x.dim() || output.shape[0] != x.shape[0] || output.shape[1] != wanted)
            throw new ArgumentException(
                $"The network's output has shape [{string.Join(", ", output.shape)}]; for x of [{string.Join(", ", x.shape)}] and variance {Variance} it must have {wanted} channels.", nameof(output));
        return Variance.IsLearned
            ? (output.narrow(1, 0, channels), output.narrow(1, channels, channels))
            : (output.alias(), null);
    }

    private (Tensor Variance, Tensor LogVariance) StepVariance(Tensor? fraction, Tensor x, Tensor t)
    {
        switch (Variance)
        {
            case VarianceType.FixedSmall:
                return (At(Coefficient.PosteriorVariance, t, x), At(Coefficient.PosteriorLogVariance, t, x));
            case VarianceType.FixedLarge:
                return (At(Coefficient.LargeVariance, t, x), At(Coefficient.LargeLogVariance, t, x));
            case VarianceType.Learned:
                return (fraction!.exp(), fraction.alias());
            default:
                // The network's −1 … 1 stands for the share of the way from log β̃ to log β.
                var share = (fraction! + Held(1)) / Held(2);
                var logVariance = (share * At(Coefficient.LogBeta, t, x)).Plus((Held(1) - share) * At(Coefficient.PosteriorLogVariance, t, x));
                return (logVariance.exp(), logVariance);
        }
    }
}
