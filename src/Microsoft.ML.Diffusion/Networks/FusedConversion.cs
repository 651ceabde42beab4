using TorchSharp;

namespace Microsoft.ML.Diffusion;

/// <summary>float32 to bfloat16 and back, on all cores; its gradient goes the other way.</summary>
internal sealed class FusedConversion : autograd.SingleTensorFunction<FusedConversion>
{
    private const string Settings = "settings";

    /// <inheritdoc/>
    public override string Name => nameof(FusedConversion);

    /// <summary>Converts.</summary>
    /// <param name="x">[N, C, H, W].</param>
    /// <param name="type">The type that is wanted.</param>
    /// <returns>[N, C, H, W]; the caller disposes it.</returns>
    public static Tensor Apply(Tensor x, ScalarType type)
    {
        Tensor y = (x.dtype == type, Takes(x, type), is_grad_enabled()) switch
        {
            (true, _, _) => x.alias(),
            (_, false, _) => x.to(type),
            (_, _, true) => ConvertInGraph(x, type),
            _ => Convert(x, type),
        };
        // What rounding adds to them is below what a norm can tell.
        ChannelMoments.Of(x)?.Describe(y);
        return y;
    }

    /// <inheritdoc/>
    public override Tensor forward(autograd.AutogradContext ctx, params object[] vars)
    {
        var (x, type) = ((Tensor)vars[0], (ScalarType)vars[1]);
        ctx.save_data(Settings, x.dtype);
        return Convert(x, type);
    }

    /// <inheritdoc/>
    public override List<Tensor> backward(autograd.AutogradContext ctx, Tensor grad_output)
    {
        using var scope = NewDisposeScope();
        // TorchSharp hands over a handle of its own and does not free it.
        using Tensor given = grad_output;
        return ReturnedGradients.Pass(Convert(given, (ScalarType)ctx.get_data(Settings)), null);
    }

    private static bool Takes(Tensor x, ScalarType type) =>
        x.device_type == DeviceType.CPU && (x.dtype, type) is (ScalarType.Float32, ScalarType.BFloat16) or (ScalarType.BFloat16, ScalarType.Float32)
        && x.dim() == 4 && x.numel() % Lanes512.Count == 0 && x.numel() is > 0 and <= int.MaxValue / sizeof(float);

    private static Tensor ConvertInGraph(Tensor x, ScalarType type)
    {
        using var scope = NewDisposeScope();
        return apply(x, type).MoveToOuterDisposeScope();
    }

    private static Tensor Convert(Tensor x, ScalarType type)
    {
        using Tensor pixels = ChannelsLast.Pixels(x);
        using Tensor y = empty(pixels.shape, type);
        ImageKernel.Convert(ImageMemory.Of(pixels), ImageMemory.Of(y));
        return y.permute(0, 3, 1, 2);
    }
}
