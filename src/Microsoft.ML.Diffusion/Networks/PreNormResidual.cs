using TorchSharp.Utils;

namespace Microsoft.ML.Diffusion;

/// <summary>x + f(norm(x)), the norm a group norm of one group (Rogge and Rasul 2022).</summary>
internal sealed class PreNormResidual : nn.Module<Tensor, Tensor>
{
    [ComponentName(Name = "norm")] private readonly GroupNormLayer _norm;
    [ComponentName(Name = "inner")] private readonly nn.Module<Tensor, Tensor> _inner;

    /// <summary>Wraps a module that keeps the shape.</summary>
    public PreNormResidual(int channels, nn.Module<Tensor, Tensor> inner, double epsilon, WeightInitializer init)
        : base(nameof(PreNormResidual))
    {
        _norm = new(channels, 1, epsilon, init);
        _inner = inner;
        RegisterComponents();
    }

    /// <summary>[N, C, H, W] to the same.</summary>
    public override Tensor forward(Tensor x)
    {
        using Tensor normed = _norm.forward(x);
        using Tensor branch = _inner.forward(normed);
        return x.Plus(branch);
    }
}
