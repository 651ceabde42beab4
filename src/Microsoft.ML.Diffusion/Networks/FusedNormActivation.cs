using TorchSharp;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// Group norm, FiLM and SiLU of a batch as one operator with a gradient of its own, over <see cref="NormBatch"/>.
/// It keeps its input alone for the way back, where plain operators keep four tensors of that size. Differentiable once.
/// </summary>
internal sealed unsafe class FusedNormActivation : autograd.SingleTensorFunction<FusedNormActivation>
{
    private const string Settings = "settings";

    /// <inheritdoc/>
    public override string Name => nameof(FusedNormActivation);

    /// <summary>Runs it where it can.</summary>
    /// <param name="x">[N, C, H, W]; not changed.</param>
    /// <param name="norm">The norm.</param>
    /// <returns>[N, C, H, W] with the channels last in memory; null where the plain operators have to do it.</returns>
    public static Tensor? TryApply(Tensor x, NormArguments norm)
    {
        long channels = x.shape[1];
        if (!HostKernels.TakeImages(x, norm.Weight, norm) || !NormBatch.Takes(channels) || (x.dtype == ScalarType.BFloat16 && !MatrixUnit.Takes(channels, channels)))
            return null;
        using (Tensor pixels = x.permute(0, 2, 3, 1))
        {
            if (!pixels.is_contiguous())
                return null;
        }
        if (is_grad_enabled())
        {
            // The graph holds what it needs by handles of its own: all that was made on the way, TorchSharp's copy of the output's shape too, can go.
            using var scope = NewDisposeScope();
            return apply(x, norm.Weight, norm.Bias, norm.Film!, norm.Settings, ChannelMoments.Of(x)!).MoveToOuterDisposeScope();
        }
        var (y, statistics) = Forward(x, norm.Weight, norm.Bias, norm.Film, norm.Settings, ChannelMoments.Of(x));
        statistics.Dispose();
        return y;
    }

    /// <inheritdoc/>
    public override Tensor forward(autograd.AutogradContext ctx, params object[] vars)
    {
        var (x, weight, bias) = ((Tensor)vars[0], (Tensor)vars[1], (Tensor)vars[2]);
        var (film, settings) = ((Tensor?)vars[3], (NormSettings)vars[4]);
        var (y, statistics) = Forward(x, weight, bias, film, settings, (ChannelMoments?)vars[5]);
        ctx.save_for_backward([x, weight, bias, film!, statistics]);
        ctx.save_data(Settings, settings);
        ctx.set_materialize_grads(false);
        return y;
    }

    /// <inheritdoc/>
    public override List<Tensor> backward(autograd.AutogradContext ctx, Tensor grad_output)
    {
        using var scope = NewDisposeScope();
        // TorchSharp hands over a handle of its own and does not free it.
        using Tensor given = grad_output;
        var saved = ctx.get_saved_variables();
        var settings = (NormSettings)ctx.get_data(Settings);
        var (x, weight, bias, film) = (saved[0], saved[1], saved[2], (Tensor?)saved[3]);
        var norm = new NormBatch(
            ImageMemory.Of(x.permute(0, 2, 3, 1)), HostMemory.Pointer(weight), HostMemory.Pointer(bias), ImageRows.Of(film?.contiguous()), HostMemory.Pointer(saved[4]), settings);
        Tensor dx = given.permute(0, 2, 3, 1).contiguous().clone();
        var gradients = NormGradients.Compute(norm, ImageMemory.Of(dx), film);
        return ReturnedGradients.Pass([dx.permute(0, 3, 1, 2), .. gradients, null, null]);
    }

    private static (Tensor Y, Tensor Statistics) Forward(Tensor x, Tensor weight, Tensor bias, Tensor? film, NormSettings settings, ChannelMoments? known)
    {
        using Tensor pixels = x.permute(0, 2, 3, 1);
        using Tensor? rows = film?.contiguous();
        using Tensor result = empty(pixels.shape, pixels.dtype);
        var images = ImageMemory.Of(pixels);
        Tensor statistics = NormGradients.NewStatistics(images.Shape, settings);
        var norm = new NormBatch(images, HostMemory.Pointer(weight), HostMemory.Pointer(bias), ImageRows.Of(rows), HostMemory.Pointer(statistics), settings);
        norm.Measure(known);
        norm.ApplyToAll(HostMemory.Pointer(result));
        return (result.permute(0, 3, 1, 2), statistics);
    }
}
