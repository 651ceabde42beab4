namespace Microsoft.ML.Diffusion;

/// <summary>Dropout that draws from an explicit generator, one for all the blocks of a network.</summary>
internal sealed class DropoutMask(double share, Generator generator)
{
    /// <summary>Draws what is left out; on the CPU, whatever the device of the activations.</summary>
    public Generator Generator { get; set; } = generator;

    /// <summary>Whether anything is left out.</summary>
    /// <param name="training">Whether the module is in training mode.</param>
    public bool Acts(bool training) => training && share > 0;

    /// <summary>Zeroes a share of the activations and scales the rest so that the mean stays; does nothing outside training.</summary>
    /// <param name="x">Any shape; disposed where a new tensor is returned.</param>
    /// <param name="training">Whether the module is in training mode.</param>
    public Tensor Apply(Tensor x, bool training)
    {
        if (!Acts(training))
            return x;
        using Tensor mask = Draw(x.shape, x.dtype, x.device);
        Tensor kept = x * mask;
        x.Dispose();
        return kept;
    }

    /// <summary>Draws factors: 0 for a share of the activations, for the rest what keeps the mean.</summary>
    /// <param name="shape">Any shape.</param>
    /// <param name="type">The element type.</param>
    /// <param name="device">Where the factors are wanted; null: the CPU.</param>
    /// <returns>The caller disposes it.</returns>
    public Tensor Draw(long[] shape, ScalarType type, Device? device = null)
    {
        Tensor mask = empty(shape, type, device);
        DeviceRandom.FillBernoulli(mask, 1 - share, Generator);
        using var scope = NewDisposeScope();
        mask.mul_(Held(1 / (1 - share)));
        return mask;
    }
}
