using TorchSharp.Utils;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// x + out(attention(qkv(norm(x)))) over the positions of an image (Ho et al. 2020; Wang et al. 2018). The output projection starts at zero.
/// </summary>
internal sealed class AttentionBlock : nn.Module<Tensor, Tensor>
{
    private readonly int _heads;
    [ComponentName(Name = "norm")] private readonly GroupNormLayer? _norm;
    [ComponentName(Name = "qkv")] private readonly LinearLayer _qkv;
    [ComponentName(Name = "out")] private readonly LinearLayer _out;

    /// <summary>Makes one.</summary>
    /// <param name="channels">C; the heads divide it.</param>
    /// <param name="heads">Number of heads.</param>
    /// <param name="groups">Groups of the norm; 0: no norm.</param>
    /// <param name="epsilon">Added to the variance.</param>
    /// <param name="init">Draws the weights.</param>
    public AttentionBlock(int channels, int heads, int groups, double epsilon, WeightInitializer init)
        : base(nameof(AttentionBlock))
    {
        _heads = heads;
        if (groups > 0)
            _norm = new(channels, groups, epsilon, init);
        _qkv = new(channels, 3 * channels, init, outputs: 3);
        _out = new(channels, channels, init, zero: true);
        RegisterComponents();
    }

    /// <summary>Lets every position see every other: [N, C, H, W] to the same.</summary>
    public override Tensor forward(Tensor x)
    {
        long[] shape = x.shape;
        Tensor normed = _norm is null ? x.alias() : _norm.Apply(x, silu: false);
        using Tensor flat = normed.flatten(2);
        normed.Dispose();
        using Tensor tokens = flat.transpose(1, 2);            // [N, H·W, C]
        using Tensor qkv = _qkv.forward(tokens);               // [N, H·W, 3C]
        using Tensor mixed = Attention.Apply(qkv, _heads);     // [N, H·W, C]
        using Tensor projected = _out.forward(mixed);
        using Tensor channelsFirst = projected.transpose(1, 2);
        using Tensor image = channelsFirst.reshape(shape);     // [N, C, H, W]
        return x + image;
    }
}
