namespace Microsoft.ML.Diffusion;

/// <summary>A network as the process sees it: raw output for a noisy batch; conditioning is the caller's business.</summary>
/// <param name="x">[N, C, H, W] float32, the noisy batch x_t.</param>
/// <param name="timesteps">[N] float32, one a row, in steps of the process that the network was trained on.</param>
/// <returns>[N, C, H, W] float32, or [N, 2C, H, W] where the variance is learned; the caller disposes it.</returns>
public delegate Tensor DenoisingModel(Tensor x, Tensor timesteps);
