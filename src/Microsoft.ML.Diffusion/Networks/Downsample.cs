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
    public override Tensor forward(Tensor x) => Run(x, fork: null);

    /// <summary>The same.</summary>
    /// <param name="x">[N, C, H, W].</param>
    /// <param name="fork">The others that read x; or null.</param>
    public Tensor Run(Tensor x, Fork? fork)
    {
        if (_conv is not null)
            return _asymmetric ? _conv.ApplyAsymmetric(x, fork) : _conv.Run(x, fork);
        fork?.Fill(x);
        return nn.functional.avg_pool2d(x, 2, 2);
    }
}
