using TorchSharp.Modules;
using TorchSharp.Utils;

namespace Microsoft.ML.Diffusion;

/// <summary>A convolution with square kernels: weight [D, C, k, k], bias [D].</summary>
internal sealed class Conv2dLayer : nn.Module<Tensor, Tensor>
{
    private readonly long[] _strides;
    private readonly long[] _padding;
    [ComponentName(Name = "weight")] private readonly Parameter _weight;
    [ComponentName(Name = "bias")] private readonly Parameter? _bias;

    /// <summary>Makes one.</summary>
    /// <param name="inChannels">C.</param>
    /// <param name="outChannels">D.</param>
    /// <param name="kernel">k.</param>
    /// <param name="init">Draws the weights.</param>
    /// <param name="stride">Pixels between two outputs.</param>
    /// <param name="padding">Zeros on every side; null: as many as keep the size at stride 1.</param>
    /// <param name="bias">Whether it has a bias.</param>
    /// <param name="zero">Whether it starts at zero.</param>
    public Conv2dLayer(int inChannels, int outChannels, int kernel, WeightInitializer init, int stride = 1, int? padding = null, bool bias = true, bool zero = false)
        : base(nameof(Conv2dLayer))
    {
        long pad = padding ?? kernel / 2;
        _strides = stride == 1 ? LayerMath.One : [stride, stride];
        _padding = [pad, pad];
        _weight = init.Weight([outChannels, inChannels, kernel, kernel], zero);
        if (bias)
            _bias = init.Bias(outChannels, (long)inChannels * kernel * kernel, zero);
        RegisterComponents();
    }

    /// <summary>Convolves [N, C, H, W] to [N, D, H', W'].</summary>
    public override Tensor forward(Tensor x) => LayerMath.Convolve(x, _weight, _bias, _strides, _padding);
}
