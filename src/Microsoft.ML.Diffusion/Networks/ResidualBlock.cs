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

    /// <summary>Projects the activated embedding for this block: [M, E] to [M, D], or [M, 2D] with FiLM.</summary>
    public Tensor Project(Tensor activatedEmbedding) => _time.forward(activatedEmbedding);

    /// <summary>Runs the block.</summary>
    /// <param name="x">[N, C, H, W].</param>
    /// <param name="projection">[N or 1, D or 2D], from <see cref="Project"/>.</param>
    /// <returns>[N, D, H, W].</returns>
    public override Tensor forward(Tensor x, Tensor projection)
    {
        using Tensor entered = _norm1.Apply(x, silu: true);
        using Tensor h = _conv1.forward(entered);              // [N, D, H, W]
        Tensor conditioned;
        if (_film)
        {
            conditioned = _norm2.Apply(h, silu: true, film: projection);
        }
        else
        {
            using Tensor rows = projection.reshape(projection.shape[0], -1, 1, 1);
            using Tensor added = h + rows;
            conditioned = _norm2.Apply(added, silu: true);
        }
        using Tensor dropped = _dropout.Apply(conditioned, training);
        Tensor output = _conv2.forward(dropped);
        if (_skip is null)
            return output.add_(x);
        using Tensor skip = _skip.forward(x);
        return output.add_(skip);
    }
}
