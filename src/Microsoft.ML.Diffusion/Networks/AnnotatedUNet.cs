using TorchSharp.Utils;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// The U-Net of "The Annotated Diffusion Model" (Rogge and Rasul 2022): weight-standardised convolutions, linear attention at every resolution,
/// pre-norm residual full attention in the bottleneck, pixel-unshuffle on the way down. It has no dropout.
/// </summary>
internal sealed class AnnotatedUNet : DenoisingNetwork
{
    /// <summary>One resolution, on the way down or up.</summary>
    private readonly record struct Stage(AnnotatedResidualBlock Block1, AnnotatedResidualBlock Block2, PreNormResidual Attention, nn.Module<Tensor, Tensor> Resample);

    private readonly ConditionEmbedding _condition;
    private readonly Stage[] _down;
    private readonly Stage[] _up;
    // Tuples, because a module in a field of its own would be registered a second time under the field's name.
    private readonly (AnnotatedResidualBlock Block1, PreNormResidual Attention, AnnotatedResidualBlock Block2) _middle;
    private readonly (AnnotatedResidualBlock Block, Conv2dLayer Convolution) _output;
    private readonly AnnotatedResidualBlock[] _blocks;
    [ComponentName(Name = "embedding")] private readonly ModuleGroup _embeddingGroup = new();
    [ComponentName(Name = "stem")] private readonly Conv2dLayer _stem;
    [ComponentName(Name = "down")] private readonly ModuleGroup _downGroup = new();
    [ComponentName(Name = "middle")] private readonly ModuleGroup _middleGroup = new();
    [ComponentName(Name = "up")] private readonly ModuleGroup _upGroup = new();
    [ComponentName(Name = "out")] private readonly ModuleGroup _outGroup = new();

    /// <summary>Builds one from validated options.</summary>
    public AnnotatedUNet(UNetOptions options, UNetShape shape, Generator generator, bool initialize = true)
        : base(nameof(AnnotatedUNet), options, shape)
    {
        var init = new WeightInitializer(options.Initialization, initialize ? generator : null);
        var layout = new AnnotatedLayout(options);
        var style = new AnnotatedBlockStyle(Conditioning: options.Conditioning, Groups: options.NormGroups, Epsilon: options.NormEpsilon);
        DropoutGenerator = NewDropoutGenerator(generator);
        _condition = new(options, shape, init, NonLinearity.Gelu, _embeddingGroup);
        _stem = new(shape.Channels, options.BaseChannels, 1, init);

        AnnotatedResidualBlock Block(ModuleGroup group, string path, int inChannels, int outChannels) =>
            group.Add(path, new AnnotatedResidualBlock(inChannels, outChannels, options.EmbeddingChannels, style, init));
        PreNormResidual Linear(ModuleGroup group, string path, int channels) =>
            group.Add(path, new PreNormResidual(channels, new LinearAttention(channels, layout.Heads, layout.HeadChannels, new(), options.NormEpsilon, init), options.NormEpsilon, init));

        int last = options.Levels - 1;
        _down = new Stage[options.Levels];
        for (int i = 0; i <= last; i++)
        {
            int channels = layout.In[i], next = layout.Out[i];
            _down[i] = new(
                Block(_downGroup, $"{i}.block1", channels, channels),
                Block(_downGroup, $"{i}.block2", channels, channels),
                Linear(_downGroup, $"{i}.attention", channels),
                _downGroup.Add<nn.Module<Tensor, Tensor>>($"{i}.resample", i < last ? new UnshuffleDownsample(channels, next, init) : new PlainConvolution(channels, next, init)));
        }

        int deepest = layout.Out[last];
        var attention = new PixelAttention(deepest, layout.Heads, layout.HeadChannels, new(), init);
        _middle = (
            Block(_middleGroup, "block1", deepest, deepest),
            _middleGroup.Add("attention", new PreNormResidual(deepest, attention, options.NormEpsilon, init)),
            Block(_middleGroup, "block2", deepest, deepest));

        _up = new Stage[options.Levels];
        for (int i = last; i >= 0; i--)
        {
            int channels = layout.Out[i], next = layout.In[i];
            _up[i] = new(
                Block(_upGroup, $"{i}.block1", channels + next, channels),
                Block(_upGroup, $"{i}.block2", channels + next, channels),
                Linear(_upGroup, $"{i}.attention", channels),
                _upGroup.Add<nn.Module<Tensor, Tensor>>($"{i}.resample", i > 0 ? new Upsample(channels, next, true, init) : new PlainConvolution(channels, next, init)));
        }

        _output = (
            Block(_outGroup, "block", 2 * options.BaseChannels, options.BaseChannels),
            _outGroup.Add("conv", new Conv2dLayer(options.BaseChannels, shape.Outputs, 1, init)));
        _blocks =
        [
            .. _down.SelectMany(stage => new[] { stage.Block1, stage.Block2 }),
            _middle.Block1, _middle.Block2,
            .. _up.Reverse().SelectMany(stage => new[] { stage.Block1, stage.Block2 }),
            _output.Block,
        ];
        RegisterComponents();
    }

    /// <inheritdoc/>
    public override Generator DropoutGenerator { get; set; }

    /// <inheritdoc/>
    public override NetworkEmbedding Embed(Tensor timesteps, Tensor? labels)
    {
        using Tensor activated = _condition.Embed(timesteps, labels);   // [M, E]
        return LinearLayer.Apply(activated, [.. _blocks.Select(block => block.Projection!)]);
    }

    /// <inheritdoc/>
    private protected override Tensor RunTyped(Tensor x, NetworkEmbedding embedding)
    {
        IReadOnlyList<Tensor> projections = embedding.Projections;
        int next = 0;
        var skips = new Stack<Tensor>(2 * _down.Length);
        using Tensor stem = _stem.forward(x);
        Tensor h = stem.alias();
        foreach (Stage stage in _down)
        {
            Tensor first = Replace(h, stage.Block1.forward(h, projections[next++]));
            skips.Push(first);
            using Tensor second = stage.Block2.forward(first, projections[next++]);
            Tensor attended = stage.Attention.forward(second);
            skips.Push(attended);
            h = stage.Resample.forward(attended);
        }

        h = Replace(h, _middle.Block1.forward(h, projections[next++]));
        h = Replace(h, _middle.Attention.forward(h));
        h = Replace(h, _middle.Block2.forward(h, projections[next++]));

        for (int i = _up.Length - 1; i >= 0; i--)
        {
            Stage stage = _up[i];
            h = Join(h, skips.Pop());
            h = Replace(h, stage.Block1.forward(h, projections[next++]));
            h = Join(h, skips.Pop());
            h = Replace(h, stage.Block2.forward(h, projections[next++]));
            h = Replace(h, stage.Attention.forward(h));
            h = Replace(h, stage.Resample.forward(h));
        }

        h = Join(h, stem.alias());
        h = Replace(h, _output.Block.forward(h, projections[next]));
        return Replace(h, _output.Convolution.forward(h));
    }

    private static Tensor Replace(Tensor old, Tensor value)
    {
        old.Dispose();
        return value;
    }

    private static Tensor Join(Tensor h, Tensor skip)
    {
        using (h)
        using (skip)
            return cat([h, skip], 1);
    }
}
