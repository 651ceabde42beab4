using TorchSharp.Modules;
using TorchSharp.Utils;

namespace Microsoft.ML.Diffusion;

/// <summary>A linear layer: weight [D, C], bias [D].</summary>
internal sealed class LinearLayer : nn.Module<Tensor, Tensor>
{
    private readonly int _outputs;
    [ComponentName(Name = "weight")] private readonly Parameter _weight;
    [ComponentName(Name = "bias")] private readonly Parameter _bias;

    /// <summary>Makes one.</summary>
    /// <param name="inChannels">C.</param>
    /// <param name="outChannels">D.</param>
    /// <param name="init">Draws the weights.</param>
    /// <param name="zero">Whether it starts at zero.</param>
    /// <param name="outputs">How many layers of equal size are fused in it.</param>
    public LinearLayer(int inChannels, int outChannels, WeightInitializer init, bool zero = false, int outputs = 1)
        : base(nameof(LinearLayer))
    {
        _outputs = outChannels;
        _weight = init.Weight([outChannels, inChannels], zero, outputs);
        _bias = init.Bias(outChannels, inChannels, zero);
        RegisterComponents();
    }

    /// <summary>Maps […, C] to […, D].</summary>
    public override Tensor forward(Tensor x) => LayerMath.Multiply(x, _weight, _bias);

    /// <summary>Runs layers that read the same rows.</summary>
    /// <param name="x">[M, C].</param>
    /// <param name="layers">The layers.</param>
    /// <returns>A row of each layer for each row; the caller disposes it.</returns>
    public static NetworkEmbedding Apply(Tensor x, IReadOnlyList<LinearLayer> layers)
    {
        if (x.device_type != TorchSharp.DeviceType.CPU)
            return new(ApplyJoined(x, layers), [.. layers.Select(layer => layer._outputs)]);
        return FusedProjections.TryApply(x, [.. layers.Select(layer => ((Tensor)layer._weight, (Tensor)layer._bias))]) is { } all
            ? new(all, 0, all.Rows)
            : new([.. layers.Select(layer => layer.forward(x))]);
    }

    /// <summary>One product in place of many: [M, C] to [M, D₁ + D₂ + …]. A GPU is done with each of them before the next is called.</summary>
    internal static Tensor ApplyJoined(Tensor x, IReadOnlyList<LinearLayer> layers)
    {
        using Tensor weights = cat([.. layers.Select(layer => (Tensor)layer._weight)]), biases = cat([.. layers.Select(layer => (Tensor)layer._bias)]);
        using TypedParameter w = new(weights, x.dtype), b = new(biases, x.dtype);
        return nn.functional.linear(x, w.Tensor, b.Tensor);
    }

    /// <summary>Maps the channels of every pixel: [N, C, H, W] to [N, D, H, W]. The same as <see cref="forward"/> on rows of pixels, through the faster convolutions.</summary>
    /// <param name="x">[N, C, H, W].</param>
    /// <param name="norm">What comes before; null: nothing.</param>
    /// <param name="addend">[N, D, H, W], added to the result; or null.</param>
    public Tensor Convolve(Tensor x, NormArguments? norm = null, Tensor? addend = null) => LayerMath.Project(x, _weight, _bias, norm, addend);

    /// <summary><see cref="Convolve"/> in a pass without tensors.</summary>
    /// <param name="pass">The pass.</param>
    /// <param name="x">[N, H, W, C].</param>
    /// <param name="norm">What comes before; null: nothing.</param>
    /// <param name="addend">[N, H, W, D], added to the result; or null.</param>
    /// <returns>[N, H, W, D], to be disposed.</returns>
    public HostImages Run(HostPass pass, HostImages x, NormArguments? norm = null, HostImages? addend = null) =>
        pass.Run(new ProductOperator(_outputs), x, KnownLayer.Of(_weight, _bias, norm), norm?.Settings, addend: addend);
}
