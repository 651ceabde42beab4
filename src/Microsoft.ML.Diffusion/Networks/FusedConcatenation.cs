using TorchSharp;

namespace Microsoft.ML.Diffusion;

/// <summary>Joins the channels of two batches whose channels are last in memory, and takes the gradient apart again: copies shared out over the cores.</summary>
internal sealed class FusedConcatenation : autograd.MultiTensorFunction<FusedConcatenation>
{
    private const string Settings = "settings";

    /// <inheritdoc/>
    public override string Name => nameof(FusedConcatenation);

    /// <summary>Joins.</summary>
    /// <param name="a">[N, A, H, W].</param>
    /// <param name="b">[N, B, H, W].</param>
    /// <returns>[N, A + B, H, W].</returns>
    public static Tensor Apply(Tensor a, Tensor b)
    {
        bool narrow = a.dtype == ScalarType.BFloat16 && b.dtype == a.dtype && a.device_type == DeviceType.CPU && a.numel() > 0;
        if (!(narrow || HostKernels.Take(a, b)) || a.numel() + b.numel() > int.MaxValue / sizeof(float))
            return cat([a, b], 1);
        Tensor joined = is_grad_enabled() ? JoinInGraph(a, b) : Join(a, b);
        ChannelMoments.Join(ChannelMoments.Of(a), ChannelMoments.Of(b))?.Describe(joined);
        return joined;
    }

    /// <inheritdoc/>
    public override List<Tensor> forward(autograd.AutogradContext ctx, params object[] vars)
    {
        var (a, b) = ((Tensor)vars[0], (Tensor)vars[1]);
        ctx.save_data(Settings, a.shape[1]);
        return [Join(a, b)];
    }

    /// <inheritdoc/>
    public override List<Tensor> backward(autograd.AutogradContext ctx, List<Tensor> grad_outputs)
    {
        using var scope = NewDisposeScope();
        // TorchSharp hands over a handle of its own and does not free it.
        using Tensor given = grad_outputs[0];
        Tensor joined = ChannelsLast.Pixels(given);
        long[] shape = joined.shape;
        long channels = (long)ctx.get_data(Settings);
        Tensor da = empty([shape[0], shape[1], shape[2], channels], joined.dtype), db = empty([shape[0], shape[1], shape[2], shape[3] - channels], joined.dtype);
        ImageKernel.Split(ImageMemory.Of(joined), ImageMemory.Of(da), ImageMemory.Of(db));
        return ReturnedGradients.Pass(da.permute(0, 3, 1, 2), db.permute(0, 3, 1, 2));
    }

    private static Tensor JoinInGraph(Tensor a, Tensor b)
    {
        using var scope = NewDisposeScope();
        return apply(a, b)[0].MoveToOuterDisposeScope();
    }

    private static Tensor Join(Tensor a, Tensor b)
    {
        using Tensor pixelsA = ChannelsLast.Pixels(a);
        using Tensor pixelsB = ChannelsLast.Pixels(b);
        long[] shape = pixelsA.shape;
        using Tensor joined = empty([shape[0], shape[1], shape[2], shape[3] + pixelsB.shape[3]], a.dtype);
        ImageKernel.Join(ImageMemory.Of(pixelsA), ImageMemory.Of(pixelsB), ImageMemory.Of(joined));
        return joined.permute(0, 3, 1, 2);
    }
}
