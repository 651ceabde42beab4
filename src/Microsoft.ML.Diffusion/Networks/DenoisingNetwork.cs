using TorchSharp;

namespace Microsoft.ML.Diffusion;

/// <summary>A network that predicts from a noisy image, its timestep and its class.</summary>
public abstract class DenoisingNetwork(string name) : nn.Module<Tensor, Tensor, Tensor?, Tensor>(name)
{
    /// <summary>Runs the network.</summary>
    /// <param name="x">[N, C, H, W] float32: the noisy batch.</param>
    /// <param name="timesteps">[N] float32, may be fractional.</param>
    /// <param name="labels">[N] int64: 0 … K−1 a class, K the null class of classifier-free guidance; null where the network has no classes.</param>
    /// <returns>[N, C or 2C, H, W] float32.</returns>
    public abstract override Tensor forward(Tensor x, Tensor timesteps, Tensor? labels);
}
