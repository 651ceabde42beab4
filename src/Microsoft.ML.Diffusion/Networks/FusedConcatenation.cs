using TorchSharp;

namespace Microsoft.ML.Diffusion;

/// <summary>Joins the channels of two batches whose channels are last in memory, and takes the gradient apart again: copies shared out over the cores.</summary>
internal sealed unsafe class FusedConcatenation : autograd.MultiTensorFunction<FusedConcatenation>
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
        if (!HostKernels.Take(a, b) || a.numel() + b.numel() > int.MaxValue / sizeof(float))
            return cat([a, b], 1);
        if (!is_grad_enabled())
            return Join(a, b);
        using var scope = NewDisposeScope();
        return apply(a, b)[0].MoveToOuterDisposeScope();
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
        var (first, second) = ((int)(long)ctx.get_data(Settings), (int)(shape[3] - (long)ctx.get_data(Settings)));
        Tensor da = empty([shape[0], shape[1], shape[2], first], float32), db = empty([shape[0], shape[1], shape[2], second], float32);
        float* from = HostMemory.Pointer(joined), toA = HostMemory.Pointer(da), toB = HostMemory.Pointer(db);
        int pixels = (int)shape[2], rows = (int)(shape[0] * shape[1]);
        Cores.Run(rows, row =>
        {
            for (nint pixel = (nint)row * pixels; pixel < ((nint)row + 1) * pixels; pixel++)
            {
                float* source = from + pixel * (first + second);
                ImageSource.Copy(source, toA + pixel * first, first);
                ImageSource.Copy(source + first, toB + pixel * second, second);
            }
        });
        return ReturnedGradients.Pass(da.permute(0, 3, 1, 2), db.permute(0, 3, 1, 2));
    }

    private static Tensor Join(Tensor a, Tensor b)
    {
        using Tensor pixelsA = ChannelsLast.Pixels(a);
        using Tensor pixelsB = ChannelsLast.Pixels(b);
        long[] shape = pixelsA.shape;
        int first = (int)shape[3], second = (int)pixelsB.shape[3], pixels = (int)shape[2], rows = (int)(shape[0] * shape[1]);
        using Tensor joined = empty([shape[0], shape[1], shape[2], first + second], float32);
        float* fromA = HostMemory.Pointer(pixelsA), fromB = HostMemory.Pointer(pixelsB), to = HostMemory.Pointer(joined);
        Cores.Run(rows, row =>
        {
            for (nint pixel = (nint)row * pixels; pixel < ((nint)row + 1) * pixels; pixel++)
            {
                float* target = to + pixel * (first + second);
                ImageSource.Copy(fromA + pixel * first, target, first);
                ImageSource.Copy(fromB + pixel * second, target + first, second);
            }
        });
        return joined.permute(0, 3, 1, 2);
    }
}
