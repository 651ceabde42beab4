namespace Microsoft.ML.Diffusion.Tests;

/// <summary>The exact denoiser of data x_0 ~ N(μ, s²): what a perfectly trained network would say.</summary>
internal sealed class GaussianDenoiser(double mean, double deviation) : IDenoiser
{
    public int Calls { get; private set; }

    public Denoised Denoise(Tensor x, NoiseLevel level)
    {
        Calls++;
        using var scope = NewDisposeScope();
        double variance = deviation * deviation, root = Math.Sqrt(level.AlphaBar);
        var weight = root * variance / (level.AlphaBar * variance + 1 - level.AlphaBar);
        return new Denoised(x.sub(root * mean).mul(weight).add(mean).MoveToOuterDisposeScope());
    }
}

/// <summary>Draws stored beforehand, in order.</summary>
internal sealed class ListedNoise(Tensor draws) : INoiseSource
{
    private int _next;

    public Tensor Next() => draws.select(0, _next++).clone();
}
