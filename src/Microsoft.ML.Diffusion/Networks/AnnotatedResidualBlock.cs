using TorchSharp.Utils;

namespace Microsoft.ML.Diffusion;

/// <summary>The versions of the annotated model's residual block.</summary>
/// <param name="Standardization">How the 3x3 convolutions are weight-standardised; null: plain ones.</param>
/// <param name="RootMeanSquare">Whether the norms are <see cref="RmsNorm2d"/>; otherwise group norms.</param>
/// <param name="Conditioning">How the block is told timestep and class.</param>
/// <param name="Groups">Groups of the group norms.</param>
/// <param name="Epsilon">Added to the variance in the group norms.</param>
internal sealed record AnnotatedBlockStyle(
    StandardizationRule? Standardization = StandardizationRule.AddEpsilon,
    bool RootMeanSquare = false,
    TimestepConditioning Conditioning = TimestepConditioning.ScaleShift,
    int Groups = 8,
    double Epsilon = 1e-5);

/// <summary>
/// skip(x) + SiLU(norm2(conv2(SiLU(FiLM(norm1(conv1(x))))))): convolution first, norm after it, the embedding at the first norm
/// (Rogge and Rasul 2022, after denoising-diffusion-pytorch). Without FiLM the embedding is added after the first SiLU.
/// </summary>
internal sealed class AnnotatedResidualBlock : nn.Module<Tensor, Tensor?, Tensor>
{
    private readonly AnnotatedBlockStyle _style;
    [ComponentName(Name = "conv1")] private readonly nn.Module<Tensor, Tensor> _conv1;
    [ComponentName(Name = "norm1")] private readonly nn.Module<Tensor, Tensor> _norm1;
    [ComponentName(Name = "time")] private readonly LinearLayer? _time;
    [ComponentName(Name = "conv2")] private readonly nn.Module<Tensor, Tensor> _conv2;
    [ComponentName(Name = "norm2")] private readonly nn.Module<Tensor, Tensor> _norm2;
    [ComponentName(Name = "skip")] private readonly Conv2dLayer? _skip;

    /// <summary>Makes one.</summary>
    /// <param name="inChannels">C.</param>
    /// <param name="outChannels">D.</param>
    /// <param name="embeddingChannels">E; 0: the block is told nothing.</param>
    /// <param name="style">Its version.</param>
    /// <param name="init">Draws the weights.</param>
    public AnnotatedResidualBlock(int inChannels, int outChannels, int embeddingChannels, AnnotatedBlockStyle style, WeightInitializer init)
        : base(nameof(AnnotatedResidualBlock))
    {
        _style = style;
        _conv1 = Convolution(inChannels, outChannels, init);
        _norm1 = Norm(outChannels, init);
        if (embeddingChannels > 0)
            _time = new(embeddingChannels, style.Conditioning == TimestepConditioning.ScaleShift ? 2 * outChannels : outChannels, init);
        _conv2 = Convolution(outChannels, outChannels, init);
        _norm2 = Norm(outChannels, init);
        if (inChannels != outChannels)
            _skip = new(inChannels, outChannels, 1, init);
        RegisterComponents();
    }

    /// <summary>Projects the activated embedding for this block: [M, E] to [M, D], or [M, 2D] with FiLM; null where the block is told nothing.</summary>
    public LinearLayer? Projection => _time;

    /// <summary>Runs the block.</summary>
    /// <param name="x">[N, C, H, W].</param>
    /// <param name="projection">[N or 1, D or 2D], from <see cref="Projection"/>; null where the block is told nothing.</param>
    /// <returns>[N, D, H, W].</returns>
    public override Tensor forward(Tensor x, Tensor? projection)
    {
        bool film = _style.Conditioning == TimestepConditioning.ScaleShift;
        using Tensor first = _conv1.forward(x);                                   // [N, D, H, W]
        Tensor h = NormAndActivate(_norm1, first, film ? projection : null);
        if (!film && projection is not null)
        {
            using Tensor rows = projection.reshape(projection.shape[0], -1, 1, 1);
            Tensor added = h.Plus(rows);
            h.Dispose();
            h = added;
        }
        using Tensor second = _conv2.forward(h);
        h.Dispose();
        using Tensor branch = NormAndActivate(_norm2, second, null);
        if (_skip is null)
            return branch.Plus(x);
        using Tensor skip = _skip.forward(x);
        return branch.Plus(skip);
    }

    private static Tensor NormAndActivate(nn.Module<Tensor, Tensor> norm, Tensor x, Tensor? film)
    {
        if (norm is GroupNormLayer groups)
            return groups.Apply(x, silu: true, film);
        Tensor normed = norm.forward(x);
        return NormActivation.Modulate(normed, film, silu: true);
    }

    private nn.Module<Tensor, Tensor> Convolution(int inChannels, int outChannels, WeightInitializer init) =>
        _style.Standardization is { } rule
            ? new WeightStandardizedConv2d(inChannels, outChannels, 3, rule, init)
            : new Conv2dLayer(inChannels, outChannels, 3, init);

    private nn.Module<Tensor, Tensor> Norm(int channels, WeightInitializer init) =>
        _style.RootMeanSquare ? new RmsNorm2d(channels, init) : new GroupNormLayer(channels, _style.Groups, _style.Epsilon, init);
}
