using TorchSharp.Utils;

namespace Microsoft.ML.Diffusion;

/// <summary>Doubles both sides: nearest neighbours, then a 3x3 convolution or nothing.</summary>
internal sealed class Upsample : nn.Module<Tensor, Tensor>
{
    [ComponentName(Name = "conv")] private readonly Conv2dLayer? _conv;

    /// <summary>Makes one.</summary>
    /// <param name="inChannels">C.</param>
    /// <param name="outChannels">D; C where there is no convolution.</param>
    /// <param name="convolutional">Whether a convolution follows.</param>
    /// <param name="init">Draws the weights.</param>
    public Upsample(int inChannels, int outChannels, bool convolutional, WeightInitializer init)
        : base(nameof(Upsample))
    {
        if (convolutional)
            _conv = new(inChannels, outChannels, 3, init);
        RegisterComponents();
    }

    /// <summary>[N, C, H, W] to [N, D, 2H, 2W].</summary>
    public override Tensor forward(Tensor x) => _conv is null ? LayerMath.Double(x) : _conv.ApplyDoubled(x);

    /// <summary>The same in a pass without tensors: [N, H, W, C] to [N, 2H, 2W, D], to be disposed.</summary>
    public HostImages Run(HostPass pass, HostImages x) => _conv is null ? pass.Double(x) : _conv.RunDoubled(pass, x);
}
