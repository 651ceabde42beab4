using TorchSharp.Utils;

namespace Microsoft.ML.Diffusion;

/// <summary>Halves both sides: each 2x2 pixels become four times the channels, then a 1x1 convolution (Rogge and Rasul 2022).</summary>
internal sealed class UnshuffleDownsample : nn.Module<Tensor, Tensor>
{
    [ComponentName(Name = "conv")] private readonly Conv2dLayer _conv;

    public UnshuffleDownsample(int inChannels, int outChannels, WeightInitializer init)
        : base(nameof(UnshuffleDownsample))
    {
        _conv = new(4 * inChannels, outChannels, 1, init);
        RegisterComponents();
    }

    /// <summary>[N, C, H, W] to [N, D, H/2, W/2].</summary>
    public override Tensor forward(Tensor x)
    {
        using Tensor image = nn.functional.pixel_unshuffle(x, 2);   // [N, 4C, H/2, W/2], channel by channel
        return _conv.forward(image);
    }
}
