using TorchSharp.Modules;
using TorchSharp.Utils;

namespace Microsoft.ML.Diffusion;

/// <summary>Each pixel's channels scaled to root mean square 1 (Zhang and Sennrich 2019): x/‖x‖·√C·weight, weight [C].</summary>
internal sealed class RmsNorm2d : nn.Module<Tensor, Tensor>
{
    private readonly double _root;
    [ComponentName(Name = "weight")] private readonly Parameter _weight;

    public RmsNorm2d(int channels, WeightInitializer init)
        : base(nameof(RmsNorm2d))
    {
        _root = Math.Sqrt(channels);
        _weight = init.Ones(channels);
        RegisterComponents();
    }

    /// <summary>[N, C, H, W] to the same.</summary>
    public override Tensor forward(Tensor x)
    {
        using Tensor unit = Unit(x, 1);
        using Tensor factor = _weight * Held(_root);
        using Tensor column = factor.view(1, -1, 1, 1);
        return unit * column;
    }

    /// <summary>x divided by its Euclidean length along a dimension, a length below 1e-12 counted as that.</summary>
    public static Tensor Unit(Tensor x, long dimension)
    {
        using Tensor squares = x * x;
        using Tensor sum = squares.sum(dimension, keepdim: true);
        using Tensor length = sum.sqrt();
        using Tensor safe = length.clamp_min(Held(1e-12));
        return x / safe;
    }
}

/// <summary>Each pixel's channels brought to mean 0 and variance 1 (Ba et al. 2016, over channels): weight [C], no bias.</summary>
internal sealed class ChannelLayerNorm : nn.Module<Tensor, Tensor>
{
    private const double Epsilon = 1e-5;

    private static readonly long[] ChannelDimension = [1];

    [ComponentName(Name = "weight")] private readonly Parameter _weight;

    public ChannelLayerNorm(int channels, WeightInitializer init)
        : base(nameof(ChannelLayerNorm))
    {
        _weight = init.Ones(channels);
        RegisterComponents();
    }

    /// <summary>[N, C, H, W] to the same.</summary>
    public override Tensor forward(Tensor x)
    {
        using Tensor mean = x.mean(ChannelDimension, keepdim: true);
        using Tensor centred = x - mean;
        using Tensor squares = centred * centred;
        using Tensor variance = squares.mean(ChannelDimension, keepdim: true);
        using Tensor safe = variance + Held(Epsilon);
        using Tensor inverse = safe.rsqrt();
        using Tensor standard = centred * inverse;
        using Tensor column = _weight.view(1, -1, 1, 1);
        return standard * column;
    }
}
