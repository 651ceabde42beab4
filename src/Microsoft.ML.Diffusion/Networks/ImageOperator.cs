namespace Microsoft.ML.Diffusion;

/// <summary>
/// A linear operator on images with its gradients, over memory: what a node of libtorch's graph (<see cref="FusedOperator"/>) and a pass without tensors both run.
/// It reads its input through a norm, where there is one, and adds a residual as it writes.
/// </summary>
/// <param name="outputs">D.</param>
internal abstract unsafe class ImageOperator(int outputs)
{
    /// <summary>The most numbers that kernels count.</summary>
    protected const int Most = int.MaxValue / sizeof(float);

    /// <summary>D.</summary>
    public int Outputs => outputs;

    /// <summary>Whether there are kernels for such an input.</summary>
    /// <param name="x">Its sizes.</param>
    /// <param name="normed">Whether a norm comes before.</param>
    public abstract bool Takes(ImageShape x, bool normed);

    /// <summary>The sizes of the result.</summary>
    /// <param name="x">Those of the input.</param>
    public abstract ImageShape OutputOf(ImageShape x);

    /// <summary>Computes the result.</summary>
    /// <param name="x">[N, H, W, C], the input before its norm.</param>
    /// <param name="norm">The norm, measured; or null.</param>
    /// <param name="layer">Weight and bias.</param>
    /// <param name="addend">[N, H', W', D], added to the result; or none.</param>
    /// <param name="y">[N, H', W', D], written.</param>
    /// <returns>What was measured of the result on the way; null: nothing.</returns>
    public abstract ChannelMoments? Apply(ImageMemory x, NormBatch? norm, LayerMemory layer, ImageMemory addend, ImageMemory y);

    /// <summary>Adds up the gradients of weight and bias, now or by the end of <see cref="DeferredWork"/>; a norm's are added on the way back through it.</summary>
    /// <param name="x">[N, H, W, C], the input before its norm.</param>
    /// <param name="norm">The norm, measured; or null.</param>
    /// <param name="dy">[N, H', W', D].</param>
    /// <param name="dWeight">[D, k, k, C], added to.</param>
    /// <param name="dBias">[D], added to; or null.</param>
    public abstract void AddGradients(ImageMemory x, NormBatch? norm, ImageMemory dy, float* dWeight, float* dBias);

    /// <summary>Computes the gradient of the input, behind the norm.</summary>
    /// <param name="weight">[D, k, k, C].</param>
    /// <param name="dy">[N, H', W', D].</param>
    /// <param name="dx">[N, H, W, C], written.</param>
    public abstract void InputGradient(float* weight, ImageMemory dy, ImageMemory dx);

    /// <summary>What multiplies activations of bfloat16; null: they are float32.</summary>
    protected static MatrixUnit? UnitFor(ImageMemory activations) => activations.Shape.IsNarrow
        ? MatrixUnit.Current ?? throw new InvalidOperationException("The forward pass computed in bfloat16 on a matrix unit, the backward pass has none: both belong inside one use of it.")
        : null;
}
