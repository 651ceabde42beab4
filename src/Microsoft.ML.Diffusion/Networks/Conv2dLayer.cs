using TorchSharp.Modules;
using TorchSharp.Utils;

namespace Microsoft.ML.Diffusion;

/// <summary>A convolution with square kernels: weight [D, C, k, k], bias [D].</summary>
internal sealed class Conv2dLayer : nn.Module<Tensor, Tensor>
{
    private readonly long[] _strides;
    private readonly long[] _padding;
    private readonly int _outputs;
    private readonly int _kernel;
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
        (_outputs, _kernel) = (outChannels, kernel);
        _weight = init.Weight([outChannels, inChannels, kernel, kernel], zero);
        if (bias)
            _bias = init.Bias(outChannels, (long)inChannels * kernel * kernel, zero);
        RegisterComponents();
    }

    /// <summary>Convolves [N, C, H, W] to [N, D, H', W'].</summary>
    public override Tensor forward(Tensor x) => LayerMath.Convolve(x, _weight, _bias, _strides, _padding);

    /// <summary>Convolves with what surrounds it; a 3x3 convolution of stride 1.</summary>
    /// <param name="x">[N, C, H, W].</param>
    /// <param name="norm">What comes before; null: nothing.</param>
    /// <param name="addend">[N, D, H, W], added to the result; or null.</param>
    /// <returns>[N, D, H, W].</returns>
    public Tensor Apply(Tensor x, NormArguments? norm, Tensor? addend = null) => LayerMath.Convolve(x, _weight, _bias, norm, addend);

    /// <summary>Convolves with one zero to the right and one below alone, whatever the layer's padding: [N, C, H, W] to [N, D, H', W'].</summary>
    /// <param name="x">[N, C, H, W].</param>
    public Tensor ApplyAsymmetric(Tensor x) => LayerMath.ConvolveAsymmetric(x, _weight, _bias, _strides);

    /// <summary>Doubles an image by nearest neighbours and convolves it, 3x3: [N, C, H, W] to [N, D, 2H, 2W].</summary>
    public Tensor ApplyDoubled(Tensor x) => LayerMath.ConvolveDoubled(x, _weight, _bias);

    /// <summary>The layer in a pass without tensors.</summary>
    /// <param name="pass">The pass.</param>
    /// <param name="x">[N, H, W, C].</param>
    /// <param name="norm">What comes before; null: nothing.</param>
    /// <param name="film">What the norm is told; or null.</param>
    /// <param name="addend">[N, H', W', D], added to the result; or null.</param>
    /// <param name="to">Where the result is written; null: where there is room.</param>
    /// <returns>[N, H', W', D], to be disposed.</returns>
    public HostImages Run(HostPass pass, HostImages x, NormArguments? norm = null, HostRows? film = null, HostImages? addend = null, HostImages? to = null)
    {
        int stride = (int)_strides[0], padding = (int)_padding[0];
        ImageOperator run = (_kernel, stride, padding) == (3, 1, 1) ? new ConvolutionOperator(_outputs, doubled: false) : new ProductOperator(_outputs, _kernel, stride, padding, padding);
        return Run(pass, run, x, norm, film, addend, to);
    }

    /// <summary><see cref="ApplyAsymmetric"/> in a pass without tensors: [N, H, W, C] to [N, H', W', D], to be disposed.</summary>
    public HostImages RunAsymmetric(HostPass pass, HostImages x) => Run(pass, new ProductOperator(_outputs, _kernel, (int)_strides[0], before: 0, after: 1), x);

    /// <summary><see cref="ApplyDoubled"/> in a pass without tensors: [N, H, W, C] to [N, 2H, 2W, D], to be disposed.</summary>
    public HostImages RunDoubled(HostPass pass, HostImages x) => Run(pass, new ConvolutionOperator(_outputs, doubled: true), x);

    private HostImages Run(HostPass pass, ImageOperator run, HostImages x, NormArguments? norm = null, HostRows? film = null, HostImages? addend = null, HostImages? to = null) =>
        pass.Run(run, x, KnownLayer.Of(_weight, _bias, norm), norm?.Settings, film, addend, to);
}
