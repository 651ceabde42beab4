namespace Microsoft.ML.Diffusion;

/// <summary>
/// The sinusoidal embedding of a timestep (Vaswani et al. 2017, section 3.5): sin and cos of t·p^(−i/(h − shift)), i = 0 … h − 1, h half of the channels.
/// An odd number of channels ends in a zero.
/// </summary>
/// <param name="channels">Length of an embedding; at least 2.</param>
/// <param name="cosineFirst">Cosines and then sines (improved-diffusion), or the other way (Ho et al. 2020).</param>
/// <param name="shift">0 in improved-diffusion, 1 in Ho et al. 2020.</param>
/// <param name="maximumPeriod">p, 10000 in all of them.</param>
internal sealed class TimestepEmbedding(int channels, bool cosineFirst, int shift, double maximumPeriod = 10_000)
{
    private readonly float[] _frequencies = Frequencies(channels / 2, shift, maximumPeriod);

    /// <summary>Embeds timesteps.</summary>
    /// <param name="timesteps">[N], may be fractional.</param>
    /// <returns>[N, channels] float32.</returns>
    public Tensor Embed(Tensor timesteps)
    {
        using Tensor frequencies = tensor(_frequencies, device: timesteps.device);
        using Tensor t = timesteps.to(float32, copy: true);
        using Tensor column = t.unsqueeze(1);             // [N, 1]
        using Tensor angles = column * frequencies;       // [N, h]
        using Tensor sine = angles.sin();
        using Tensor cosine = angles.cos();
        if (channels % 2 == 0)
            return cosineFirst ? cat([cosine, sine], 1) : cat([sine, cosine], 1);
        using Tensor zero = zeros_like(column);
        return cosineFirst ? cat([cosine, sine, zero], 1) : cat([sine, cosine, zero], 1);
    }

    private static float[] Frequencies(int half, int shift, double maximumPeriod)
    {
        var frequencies = new float[half];
        for (int i = 0; i < half; i++)
            frequencies[i] = (float)Math.Exp(-Math.Log(maximumPeriod) * i / (half - shift));
        return frequencies;
    }
}
