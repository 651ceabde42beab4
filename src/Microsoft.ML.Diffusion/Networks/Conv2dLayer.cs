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
    public override Tensor forward(Tensor x) => Run(x, fork: null);

    /// <summary>The same.</summary>
    /// <param name="x">[N, C, H, W].</param>
    /// <param name="fork">The others that read x; or null.</param>
    public Tensor Run(Tensor x, Fork? fork) => LayerMath.Convolve(x, _weight, _bias, _strides, _padding, fork);

    /// <summary>Convolves with what surrounds it; a 3x3 convolution of stride 1.</summary>
    /// <param name="x">[N, C, H, W].</param>
    /// <param name="norm">What comes before; null: nothing.</param>
    /// <param name="addend">[N, D, H, W], added to the result; or null.</param>
    /// <param name="fork">The others that read x; or null.</param>
    /// <returns>[N, D, H, W].</returns>
    public Tensor Apply(Tensor x, NormArguments? norm, Tensor? addend = null, Fork? fork = null) => LayerMath.Convolve(x, _weight, _bias, norm, addend, fork);

    /// <summary>Convolves with one zero to the right and one below alone, whatever the layer's padding: [N, C, H, W] to [N, D, H', W'].</summary>
    /// <param name="x">[N, C, H, W].</param>
    /// <param name="fork">The others that read x; or null.</param>
    public Tensor ApplyAsymmetric(Tensor x, Fork? fork) => LayerMath.ConvolveAsymmetric(x, _weight, _bias, _strides, fork);

    /// <summary>Doubles an image by nearest neighbours and convolves it, 3x3: [N, C, H, W] to [N, D, 2H, 2W].</summary>
    public Tensor ApplyDoubled(Tensor x) => LayerMath.ConvolveDoubled(x, _weight, _bias);
}
