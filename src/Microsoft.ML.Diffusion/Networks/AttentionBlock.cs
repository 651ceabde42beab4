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
        NormArguments? norm = _norm?.With(silu: false);
        using Tensor qkv = _qkv.Convolve(x, norm);                      // [N, 3C, H, W]
        using Tensor mixed = Attention.ApplyToImages(qkv, _heads);      // [N, C, H, W]
        return _out.Convolve(mixed, addend: x);
    }

    /// <summary>The same in a pass without tensors: [N, H, W, C] to the same, to be disposed.</summary>
    public HostImages Run(HostPass pass, HostImages x)
    {
        using HostImages qkv = _qkv.Run(pass, x, _norm?.With(silu: false));   // [N, H, W, 3C]
        using HostImages mixed = pass.Attend(qkv, _heads);                    // [N, H, W, C]
        return _out.Run(pass, mixed, addend: x);
    }
}
