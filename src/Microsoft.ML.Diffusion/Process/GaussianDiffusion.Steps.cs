namespace Microsoft.ML.Diffusion;

public sealed partial class GaussianDiffusion
{
    /// <summary>Draws x_{t−1}: mean + σ·z, without noise at t = 0 (Ho et al. 2020, algorithm 2). Each row may be at a timestep of its own.</summary>
    /// <param name="step">p(x_{t−1} | x_t).</param>
    /// <param name="t">[N] int64.</param>
    /// <param name="noise">z, shaped as the mean.</param>
    public Tensor PSample(ReverseStep step, Tensor t, Tensor noise)
    {
        Check(step.Mean, t);
        CheckAlike(step.Mean, noise, nameof(noise));
        using var scope = NewDisposeScope();
        return step.Mean.Plus(AfterFirst(t, noise) * (Held(0.5) * step.LogVariance).exp() * noise).MoveToOuterDisposeScope();
    }

    /// <summary>
    /// One DDIM step (Song et al. 2020, equations 12 and 16). ε is derived anew from the clipped x_0: taking the network's own would leave the two inconsistent.
    /// </summary>
    /// <param name="x0">The estimate of x_0, [N, C, H, W].</param>
    /// <param name="x">x_t, shaped as <paramref name="x0"/>.</param>
    /// <param name="t">[N] int64.</param>
    /// <param name="noise">z, shaped as <paramref name="x0"/>; unused where <paramref name="eta"/> is 0.</param>
    /// <param name="eta">0 takes the deterministic step, 1 that of DDPM.</param>
    public Tensor DdimStep(Tensor x0, Tensor x, Tensor t, Tensor noise, double eta = 0)
    {
        CheckAlike(x, noise, nameof(noise));
        using var scope = NewDisposeScope();
        var epsilon = EpsilonFromX0(x, t, x0);
        Tensor alphaBar = At(Coefficient.AlphaBar, t, x), previous = At(Coefficient.AlphaBarPrevious, t, x);
        var sigma = Held(eta) * ((Held(1) - previous) / (Held(1) - alphaBar)).sqrt() * (Held(1) - alphaBar / previous).sqrt();
        var mean = (x0 * previous.sqrt()).Plus((Held(1) - previous - sigma.Squared()).sqrt() * epsilon);
        return mean.Plus(AfterFirst(t, noise) * sigma * noise).MoveToOuterDisposeScope();
    }

    /// <summary>One step of DDIM's ODE towards the noise: x_{t+1} from x_t, with ᾱ = 0 after the last step.</summary>
    /// <param name="x0">The estimate of x_0, [N, C, H, W].</param>
    /// <param name="x">x_t, shaped as <paramref name="x0"/>.</param>
    /// <param name="t">[N] int64.</param>
    public Tensor DdimReverseStep(Tensor x0, Tensor x, Tensor t)
    {
        using var scope = NewDisposeScope();
        var epsilon = EpsilonFromX0(x, t, x0);
        var next = At(Coefficient.AlphaBarNext, t, x);
        return (x0 * next.sqrt()).Plus((Held(1) - next).sqrt() * epsilon).MoveToOuterDisposeScope();
    }

    /// <summary>[N, 1, 1, 1]: 0 for rows at t = 0, else 1.</summary>
    private static Tensor AfterFirst(Tensor t, Tensor like) => t.ne(Held(0)).to_type(like.dtype).view(Rows.Column(like));
}
