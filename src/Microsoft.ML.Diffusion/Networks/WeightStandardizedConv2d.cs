using TorchSharp.Modules;
using TorchSharp.Utils;

namespace Microsoft.ML.Diffusion;

/// <summary>What keeps the division by a filter's deviation finite.</summary>
internal enum StandardizationRule
{
    /// <summary>√(variance + ε): the annotated model and its source.</summary>
    AddEpsilon,

    /// <summary>√max(variance, ε): an earlier version of the source.</summary>
    ClampVariance,
}

/// <summary>
/// A convolution whose filters are brought to mean 0 and population variance 1 before use (Qiao et al. 2019, equation 5): weight [D, C, k, k], bias [D].
/// </summary>
internal sealed class WeightStandardizedConv2d : nn.Module<Tensor, Tensor>
{
    private const double Epsilon = 1e-5;
    private static readonly long[] One = [1, 1];
    private static readonly long[] FilterDimensions = [1, 2, 3];

    private readonly StandardizationRule _rule;
    private readonly long[] _padding;
    [ComponentName(Name = "weight")] private readonly Parameter _weight;
    [ComponentName(Name = "bias")] private readonly Parameter _bias;

    /// <summary>Makes one that keeps the image's size.</summary>
    public WeightStandardizedConv2d(int inChannels, int outChannels, int kernel, StandardizationRule rule, WeightInitializer init)
        : base(nameof(WeightStandardizedConv2d))
    {
        _rule = rule;
        _padding = [kernel / 2, kernel / 2];
        _weight = init.Weight([outChannels, inChannels, kernel, kernel]);
        _bias = init.Bias(outChannels, (long)inChannels * kernel * kernel);
        RegisterComponents();
    }

    /// <summary>Convolves [N, C, H, W] to [N, D, H, W].</summary>
    public override Tensor forward(Tensor x)
    {
        using Tensor mean = _weight.mean(FilterDimensions, keepdim: true);     // [D, 1, 1, 1]
        using Tensor centred = _weight - mean;
        using Tensor squares = centred * centred;
        using Tensor variance = squares.mean(FilterDimensions, keepdim: true);
        using Tensor safe = _rule == StandardizationRule.AddEpsilon ? variance + Held(Epsilon) : variance.clamp_min(Held(Epsilon));
        using Tensor inverse = safe.rsqrt();
        using Tensor standardized = centred * inverse;
        return LayerMath.Convolve(x, standardized, _bias, One, _padding);
    }
}
