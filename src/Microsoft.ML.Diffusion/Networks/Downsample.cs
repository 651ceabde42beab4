using TorchSharp.Utils;

namespace Microsoft.ML.Diffusion;

/// <summary>Halves both sides: a 3x3 convolution of stride 2, or the mean of 2x2 pixels.</summary>
internal sealed class Downsample : nn.Module<Tensor, Tensor>
{
    private readonly bool _asymmetric;
    [ComponentName(Name = "conv")] private readonly Conv2dLayer? _conv;

    /// <summary>Makes one.</summary>
    /// <param name="channels">C.</param>
    /// <param name="convolutional">Whether by convolution.</param>
    /// <param name="asymmetric">Whether the convolution pads right and bottom only.</param>
    /// <param name="init">Draws the weights.</param>
    public Downsample(int channels, bool convolutional, bool asymmetric, WeightInitializer init)
        : base(nameof(Downsample))
    {
        _asymmetric = asymmetric;
        if (convolutional)
            _conv = new(channels, channels, 3, init, stride: 2, padding: asymmetric ? 0 : 1);
        RegisterComponents();
    }

    /// <summary>[N, C, H, W] to [N, C, H/2, W/2].</summary>
    public override Tensor forward(Tensor x)
    {
        if (_conv is null)
            return nn.functional.avg_pool2d(x, 2, 2);
        return _asymmetric ? _conv.ApplyAsymmetric(x) : _conv.forward(x);
    }

    /// <summary>The same in a pass without tensors: [N, H, W, C] to [N, H/2, W/2, C], to be disposed.</summary>
    public HostImages Run(HostPass pass, HostImages x)
    {
        if (_conv is null)
            return pass.Halve(x);
        return _asymmetric ? _conv.RunAsymmetric(pass, x) : _conv.Run(pass, x);
    }
}
