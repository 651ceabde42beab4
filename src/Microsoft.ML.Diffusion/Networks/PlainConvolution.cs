using TorchSharp.Utils;

namespace Microsoft.ML.Diffusion;

/// <summary>A 3x3 convolution where other resolutions have a resampling one; named like them.</summary>
internal sealed class PlainConvolution : nn.Module<Tensor, Tensor>
{
    [ComponentName(Name = "conv")] private readonly Conv2dLayer _conv;

    public PlainConvolution(int inChannels, int outChannels, WeightInitializer init)
        : base(nameof(PlainConvolution))
    {
        _conv = new(inChannels, outChannels, 3, init);
        RegisterComponents();
    }

    /// <summary>[N, C, H, W] to [N, D, H, W].</summary>
    public override Tensor forward(Tensor x) => _conv.forward(x);
}
