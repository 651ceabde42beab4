namespace Microsoft.ML.Diffusion;

/// <summary>Standard normal noise, one draw after the other. A sampler asks for one a step (two where its documentation says so), in order.</summary>
public interface INoiseSource
{
    /// <summary>The next draw.</summary>
    /// <returns>[N, C, H, W] float32 on the device of the batch; the caller disposes it.</returns>
    Tensor Next();
}
