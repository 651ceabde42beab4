using TorchSharp.Modules;
using TorchSharp.Utils;

namespace Microsoft.ML.Diffusion;

/// <summary>Group norm with what follows it: weight [C], bias [C], starting at 1 and 0.</summary>
internal sealed class GroupNormLayer : nn.Module<Tensor, Tensor>
{
    private readonly long _groups;
    private readonly double _epsilon;
    [ComponentName(Name = "weight")] private readonly Parameter _weight;
    [ComponentName(Name = "bias")] private readonly Parameter _bias;

    /// <summary>Makes one.</summary>
    public GroupNormLayer(int channels, int groups, double epsilon, WeightInitializer init)
        : base(nameof(GroupNormLayer))
    {
        _groups = groups;
        _epsilon = epsilon;
        _weight = init.Ones(channels);
        _bias = init.Zeros(channels);
        RegisterComponents();
    }

    /// <summary>[C].</summary>
    public Parameter Weight => _weight;

    /// <summary>[C].</summary>
    public Parameter Bias => _bias;

    /// <summary>The norm alone.</summary>
    public override Tensor forward(Tensor x) => Apply(x, silu: false);

    /// <summary>Norm, FiLM where given, SiLU where asked.</summary>
    /// <param name="x">[N, C, H, W].</param>
    /// <param name="silu">Whether SiLU follows.</param>
    /// <param name="film">[N or 1, 2C], the scales and then the shifts; null: none.</param>
    public Tensor Apply(Tensor x, bool silu, Tensor? film = null)
    {
        NormArguments norm = With(silu, film);
        return NormActivation.Apply(x, norm);
    }

    /// <summary>The same for an operator that the norm is fused into.</summary>
    /// <param name="silu">Whether SiLU follows.</param>
    /// <param name="film">[N or 1, 2C], the scales and then the shifts; null: none.</param>
    /// <returns>The caller disposes it.</returns>
    public NormArguments With(bool silu, Tensor? film = null) => new(_weight, _bias, film, new NormSettings((int)_groups, _epsilon, silu));

    /// <summary>The same where FiLM is in the weight and the bias already.</summary>
    /// <param name="folded">In the type that is computed in.</param>
    /// <param name="silu">Whether SiLU follows.</param>
    public NormArguments With(FoldedNorm folded, bool silu) => new(folded.Weight, folded.Bias, null, new NormSettings((int)_groups, _epsilon, silu));
}
