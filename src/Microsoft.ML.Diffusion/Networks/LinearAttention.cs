using TorchSharp.Modules;
using TorchSharp.Utils;

namespace Microsoft.ML.Diffusion;

/// <summary>The norm at the end of a linear attention.</summary>
internal enum OutputNorm
{
    /// <summary>A group norm of one group: the annotated model.</summary>
    OneGroup,

    /// <summary><see cref="ChannelLayerNorm"/>.</summary>
    Channels,

    /// <summary><see cref="RmsNorm2d"/>.</summary>
    RootMeanSquare,
}

/// <summary>The versions of linear attention.</summary>
/// <param name="Output">The norm at the end.</param>
/// <param name="DivideValues">Whether the values are divided by the number of pixels.</param>
/// <param name="PreNorm">Whether an <see cref="RmsNorm2d"/> comes first.</param>
/// <param name="MemoryTokens">Learned keys and values that stand before those of the pixels.</param>
internal sealed record LinearAttentionStyle(OutputNorm Output = OutputNorm.OneGroup, bool DivideValues = false, bool PreNorm = false, int MemoryTokens = 0);

/// <summary>
/// Attention in time linear in the pixels (Shen et al. 2018): norm(out(softmax_d(q)/√d · (softmax_T(k)·vᵀ))).
/// </summary>
internal sealed class LinearAttention : nn.Module<Tensor, Tensor>
{
    private readonly LinearAttentionStyle _style;
    private readonly int _heads;
    [ComponentName(Name = "memory")] private readonly Parameter? _memory;
    [ComponentName(Name = "prenorm")] private readonly RmsNorm2d? _preNorm;
    [ComponentName(Name = "qkv")] private readonly Conv2dLayer _qkv;
    [ComponentName(Name = "out")] private readonly Conv2dLayer _out;
    [ComponentName(Name = "norm")] private readonly nn.Module<Tensor, Tensor> _norm;

    /// <summary>Makes one.</summary>
    public LinearAttention(int channels, int heads, int headChannels, LinearAttentionStyle style, double epsilon, WeightInitializer init)
        : base(nameof(LinearAttention))
    {
        _style = style;
        _heads = heads;
        if (style.MemoryTokens > 0)
            _memory = init.Normal([2, heads, headChannels, style.MemoryTokens]);
        if (style.PreNorm)
            _preNorm = new(channels, init);
        _qkv = new(channels, 3 * heads * headChannels, 1, init, bias: false);
        _out = new(heads * headChannels, channels, 1, init);
        _norm = style.Output switch
        {
            OutputNorm.OneGroup => new GroupNormLayer(channels, 1, epsilon, init),
            OutputNorm.Channels => new ChannelLayerNorm(channels, init),
            _ => new RmsNorm2d(channels, init),
        };
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
        using Tensor q = parts.select(1, 0);                        // [N, heads, d, T]
        using Tensor k = WithMemory(parts.select(1, 1), 0);         // [N, heads, d, m + T]
        using Tensor v = WithMemory(parts.select(1, 2), 1);
        using Tensor queries = q.softmax(-2);
        using Tensor keys = k.softmax(-1);
        using Tensor valuesLast = v.transpose(-1, -2);
        using Tensor context = keys.matmul(valuesLast);             // [N, heads, d, e]
        using Tensor scaled = context * Held(1 / Math.Sqrt(width) / (_style.DivideValues ? pixels : 1));
        using Tensor contextLast = scaled.transpose(-1, -2);
        using Tensor mixed = contextLast.matmul(queries);           // [N, heads, e, T]
        using Tensor image = mixed.reshape(shape[0], _heads * width, shape[2], shape[3]);
        using Tensor projected = _out.forward(image);
        return _norm.forward(projected);
    }

    private Tensor WithMemory(Tensor pixels, long index)
    {
        if (_memory is null)
            return pixels;
        using (pixels)
        using (Tensor tokens = _memory.select(0, index))
        using (Tensor rows = tokens.expand([pixels.shape[0], .. tokens.shape]))
            return cat([rows, pixels], -1);
    }
}
