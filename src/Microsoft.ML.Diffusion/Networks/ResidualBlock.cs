using TorchSharp.Utils;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// skip(x) + conv2(dropout(SiLU(norm2(conv1(SiLU(norm1(x)))))), the embedding added before norm2 (Ho et al. 2020) or scaling and shifting after it
/// (FiLM; Nichol and Dhariwal 2021). The second convolution starts at zero, so the block starts as its skip connection.
/// </summary>
internal sealed class ResidualBlock : nn.Module<Tensor, Tensor, Tensor>
{
    private readonly bool _film;
    private readonly DropoutMask _dropout;
    [ComponentName(Name = "norm1")] private readonly GroupNormLayer _norm1;
    [ComponentName(Name = "conv1")] private readonly Conv2dLayer _conv1;
    [ComponentName(Name = "time")] private readonly LinearLayer _time;
    [ComponentName(Name = "norm2")] private readonly GroupNormLayer _norm2;
    [ComponentName(Name = "conv2")] private readonly Conv2dLayer _conv2;
    [ComponentName(Name = "skip")] private readonly Conv2dLayer? _skip;

    /// <summary>Makes one.</summary>
    /// <param name="inChannels">C.</param>
    /// <param name="outChannels">D.</param>
    /// <param name="options">The network's structure.</param>
    /// <param name="dropout">The network's dropout.</param>
    /// <param name="init">Draws the weights.</param>
    public ResidualBlock(int inChannels, int outChannels, UNetOptions options, DropoutMask dropout, WeightInitializer init)
        : base(nameof(ResidualBlock))
    {
        _film = options.Conditioning == TimestepConditioning.ScaleShift;
        _dropout = dropout;
        _norm1 = new(inChannels, options.NormGroups, options.NormEpsilon, init);
        _conv1 = new(inChannels, outChannels, 3, init);
        _time = new(options.EmbeddingChannels, _film ? 2 * outChannels : outChannels, init);
        _norm2 = new(outChannels, options.NormGroups, options.NormEpsilon, init);
        _conv2 = new(outChannels, outChannels, 3, init, zero: true);
        if (inChannels != outChannels)
            _skip = new(inChannels, outChannels, 1, init);
        RegisterComponents();
    }

    /// <summary>The norm that FiLM follows.</summary>
    public GroupNormLayer ToldNorm => _norm2;

    /// <summary>Projects the activated embedding for this block: [M, E] to [M, D], or [M, 2D] with FiLM.</summary>
    public LinearLayer Projection => _time;

    /// <summary>Runs the block.</summary>
    /// <param name="x">[N, C, H, W].</param>
    /// <param name="projection">[N or 1, D or 2D], from <see cref="Projection"/>.</param>
    /// <returns>[N, D, H, W].</returns>
    public override Tensor forward(Tensor x, Tensor projection) => Apply(x, _norm2.With(silu: true, film: _film ? projection : null), _film ? null : projection);

    /// <summary>The same where the norm knows already what the block is told.</summary>
    /// <param name="x">[N, C, H, W].</param>
    /// <param name="norm">Of <see cref="ToldNorm"/>.</param>
    /// <returns>[N, D, H, W].</returns>
    public Tensor Apply(Tensor x, FoldedNorm norm) => Apply(x, _norm2.With(norm, silu: true), added: null);

    private Tensor Apply(Tensor x, NormArguments second, Tensor? added)
    {
        using Tensor h = _conv1.Apply(x, _norm1.With(silu: true));   // [N, D, H, W]
        using Tensor skip = _skip is null ? x.alias() : _skip.forward(x);
        using Tensor? shifted = added is null ? null : AddRows(h, added);
        Tensor conditioned = shifted ?? h;
        if (!_dropout.Acts(training))
            return _conv2.Apply(conditioned, second, skip);
        Tensor activated = NormActivation.Apply(conditioned, second);
        using Tensor dropped = _dropout.Apply(activated, training);
        return _conv2.Apply(dropped, norm: null, skip);
    }

    /// <summary>The same in a pass without tensors.</summary>
    /// <param name="pass">The pass.</param>
    /// <param name="x">[N, H, W, C].</param>
    /// <param name="projection">[N or 1, D or 2D], from <see cref="Projection"/>.</param>
    /// <returns>[N, H, W, D], to be disposed.</returns>
    public HostImages Run(HostPass pass, HostImages x, HostRows projection)
    {
        NormArguments second = _norm2.With(silu: true);
        HostRows? film = _film ? projection : null;
        using HostImages h = _conv1.Run(pass, x, _norm1.With(silu: true));   // [N, H, W, D]
        using HostImages skip = _skip is null ? x.Share() : _skip.Run(pass, x);
        if (!_film)
            pass.AddRows(h, projection);
        if (!_dropout.Acts(training))
            return _conv2.Run(pass, h, second, film, addend: skip);
        using HostImages activated = pass.Normalize(h, KnownLayer.Of(null, null, second), second.Settings, film);
        pass.Multiply(activated, shape => _dropout.Draw(shape.Sizes, shape.Type));
        return _conv2.Run(pass, activated, addend: skip);
    }

    private static Tensor AddRows(Tensor h, Tensor projection)
    {
        using Tensor rows = projection.reshape(projection.shape[0], -1, 1, 1);
        using Tensor typed = rows.to(h.dtype);
        return h.Plus(typed);
    }
}
