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
        byte* from = Bytes(joined), toA = Bytes(da), toB = Bytes(db);
        int first = PixelBytes(da), second = PixelBytes(db), pixels = (int)shape[2], rows = (int)(shape[0] * shape[1]);
        Cores.Run(rows, row =>
        {
            for (nint pixel = (nint)row * pixels; pixel < ((nint)row + 1) * pixels; pixel++)
            {
                byte* source = from + pixel * (first + second);
                Copy(source, toA + pixel * first, first);
                Copy(source + first, toB + pixel * second, second);
            }
        });
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
        byte* fromA = Bytes(pixelsA), fromB = Bytes(pixelsB), to = Bytes(joined);
        int first = PixelBytes(pixelsA), second = PixelBytes(pixelsB), pixels = (int)shape[2], rows = (int)(shape[0] * shape[1]);
        Cores.Run(rows, row =>
        {
            for (nint pixel = (nint)row * pixels; pixel < ((nint)row + 1) * pixels; pixel++)
            {
                byte* target = to + pixel * (first + second);
                Copy(fromA + pixel * first, target, first);
                Copy(fromB + pixel * second, target + first, second);
            }
        });
        return joined.permute(0, 3, 1, 2);
    }

    private static byte* Bytes(Tensor tensor) => (byte*)HostMemory.Pointer(tensor);

    private static int PixelBytes(Tensor pixels) => (int)pixels.shape[3] * (pixels.dtype == ScalarType.BFloat16 ? sizeof(ushort) : sizeof(float));

    private static void Copy(byte* from, byte* to, int count) => new ReadOnlySpan<byte>(from, count).CopyTo(new Span<byte>(to, count));
}
