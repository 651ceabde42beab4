using TorchSharp.Modules;
using TorchSharp.Utils;

namespace Microsoft.ML.Diffusion;

/// <summary>The versions of the annotated model's full attention.</summary>
/// <param name="Cosine">Whether queries and keys are brought to length 1 along the pixels and their products multiplied by 10.</param>
/// <param name="PreNorm">Whether an <see cref="RmsNorm2d"/> comes first.</param>
/// <param name="MemoryTokens">Learned keys and values that stand before those of the pixels.</param>
internal sealed record PixelAttentionStyle(bool Cosine = false, bool PreNorm = false, int MemoryTokens = 0);

/// <summary>out(attention(qkv(x))) over pixels, with heads of a width of their own (Rogge and Rasul 2022).</summary>
internal sealed class PixelAttention : nn.Module<Tensor, Tensor>
{
    private const double CosineScale = 10;

    private readonly PixelAttentionStyle _style;
    private readonly int _heads;
    [ComponentName(Name = "memory")] private readonly Parameter? _memory;
    [ComponentName(Name = "prenorm")] private readonly RmsNorm2d? _preNorm;
    [ComponentName(Name = "qkv")] private readonly Conv2dLayer _qkv;
    [ComponentName(Name = "out")] private readonly Conv2dLayer _out;

    /// <summary>Makes one.</summary>
    public PixelAttention(int channels, int heads, int headChannels, PixelAttentionStyle style, WeightInitializer init)
        : base(nameof(PixelAttention))
    {
        _style = style;
        _heads = heads;
        if (style.MemoryTokens > 0)
            _memory = init.Normal([2, heads, style.MemoryTokens, headChannels]);
        if (style.PreNorm)
            _preNorm = new(channels, init);
        _qkv = new(channels, 3 * heads * headChannels, 1, init, bias: false);
        _out = new(heads * headChannels, channels, 1, init);
        RegisterComponents();
    }

    /// <summary>[N, C, H, W] to the same.</summary>
    public override Tensor forward(Tensor x)
    {
        long[] shape = x.shape;
        long pixels = shape[2] * shape[3];
        using Tensor entered = _preNorm is null ? x.alias() : _preNorm.forward(x);
        using Tensor qkv = _qkv.forward(entered);
        long width = qkv.shape[1] / 3 / _heads;
        using Tensor parts = qkv.reshape(shape[0], 3, _heads, width, pixels);
        // Attention divides by √d; the cosine version does not.
        using Tensor q = Tokens(parts.select(1, 0), -1, CosineScale * Math.Sqrt(width));   // [N, heads, T, d]
        using Tensor k = Tokens(parts.select(1, 1), 0, 1);                                 // [N, heads, m + T, d]
        using Tensor v = Tokens(parts.select(1, 2), 1, null);
        using Tensor mixed = Attention.Apply(q, k, v);                                     // [N, heads, T, d]
        using Tensor channelsFirst = mixed.transpose(-1, -2);
        using Tensor image = channelsFirst.reshape(shape[0], _heads * width, shape[2], shape[3]);
        return _out.forward(image);
    }

    private Tensor Tokens(Tensor channelsFirst, long memory, double? cosineScale)
    {
        Tensor h = channelsFirst;
        if (_style.Cosine && cosineScale is { } scale)
        {
            using Tensor unit = RmsNorm2d.Unit(h, -1);
            h.Dispose();
            h = unit * Held(scale);
        }
        Tensor tokens = h.transpose(-1, -2);
        h.Dispose();
        if (_memory is null || memory < 0)
            return tokens;
        using (tokens)
        using (Tensor learned = _memory.select(0, memory))
        using (Tensor rows = learned.expand([tokens.shape[0], .. learned.shape]))
            return cat([rows, tokens], -2);
    }
}
