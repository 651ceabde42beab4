namespace Microsoft.ML.Diffusion.Tests;

/// <summary>
/// A data set whose best denoiser is known: pixels from N(mean, deviation²), each on its own. Everything that L_1 … L_T depend on is quadratic in x_0 and ε,
/// so a batch that takes mean ± deviation and ε = ±1 in every combination has their expectations exactly, without sampling error.
/// </summary>
internal sealed class GaussianData(double mean, double deviation)
{
    public double Mean => mean;

    /// <summary>[1, 1, 2, 2] float64: the four combinations' x_0.</summary>
    public Tensor X0() => tensor(new[] { mean + deviation, mean + deviation, mean - deviation, mean - deviation }).view(1, 1, 2, 2);

    /// <summary>[1, 1, 2, 2] float64: the four combinations' ε.</summary>
    public static Tensor Noise() => tensor(new[] { 1.0, -1, 1, -1 }).view(1, 1, 2, 2);

    /// <summary>Var(x_0 | x_t).</summary>
    public double Uncertainty(double alphaBar)
    {
        var variance = deviation * deviation;
        return variance * (1 - alphaBar) / (alphaBar * variance + 1 - alphaBar);
    }

    /// <summary>E(x_0 | x_t), where ᾱ is one number a row.</summary>
    public Tensor Denoise(Tensor x, Tensor alphaBar)
    {
        var variance = deviation * deviation;
        return (variance * alphaBar.sqrt() * x + (1 - alphaBar) * mean) / (alphaBar * variance + 1 - alphaBar);
    }

    /// <summary>The best network there is for a process, whatever it predicts; a learned variance is that of the true reverse step.</summary>
    public DenoisingModel BestModel(GaussianDiffusion diffusion) => (x, timesteps) =>
    {
        using var scope = NewDisposeScope();
        var t = timesteps.to(ScalarType.Int64);
        var x0 = Denoise(x, diffusion.At(Coefficient.AlphaBar, t, x));
        var prediction = diffusion.Prediction switch
        {
            PredictionType.Epsilon => diffusion.EpsilonFromX0(x, t, x0),
            PredictionType.V => diffusion.Velocity(x0, t, diffusion.EpsilonFromX0(x, t, x0)),
            PredictionType.PreviousX => diffusion.PosteriorMeanVariance(x0, x, t).Mean,
            _ => x0,
        };
        if (diffusion.Variance != VarianceType.Learned)
            return prediction.MoveToOuterDisposeScope();
        var logVariance = Array.ConvertAll(t.data<long>().ToArray(), step => Math.Log(StepVariance(diffusion, (int)step)));
        return cat([prediction, tensor(logVariance).view(-1, 1, 1, 1).expand_as(prediction)], 1).MoveToOuterDisposeScope();
    };

    /// <summary>Var(x_{t−1} | x_t) = β̃_t + (weight of x_0)²·Var(x_0 | x_t).</summary>
    public double StepVariance(GaussianDiffusion diffusion, int t)
    {
        var weight = diffusion.Coefficients.PosteriorMeanOfX0[t];
        return diffusion.Coefficients.PosteriorVariance[t] + weight * weight * Uncertainty(diffusion.Schedule.AlphasCumprod[t]);
    }
}
