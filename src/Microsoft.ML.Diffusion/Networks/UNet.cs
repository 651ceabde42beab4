using TorchSharp;
using TorchSharp.Utils;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// The U-Net of Ho et al. 2020 and of Nichol and Dhariwal 2021: residual blocks and attention over several resolutions, every output of the way down
/// handed across to the way up.
/// </summary>
internal sealed partial class UNet : DenoisingNetwork
{
    /// <summary>A block with what follows it.</summary>
    private readonly record struct Stage(ResidualBlock Block, AttentionBlock? Attention, Downsample? Down, Upsample? Up);

    private readonly bool _fillsMatrixUnit;
    private readonly ConditionEmbedding _condition;
    private readonly NormFolding? _folding;
    private readonly DropoutMask _dropout;
    private readonly Stage[] _down;
    private readonly Stage[] _middle;
    private readonly Stage[] _up;
    [ComponentName(Name = "embedding")] private readonly ModuleGroup _embeddingGroup = new();
    [ComponentName(Name = "stem")] private readonly Conv2dLayer _stem;
    [ComponentName(Name = "down")] private readonly ModuleGroup _downGroup = new();
    [ComponentName(Name = "middle")] private readonly ModuleGroup _middleGroup = new();
    [ComponentName(Name = "up")] private readonly ModuleGroup _upGroup = new();
    [ComponentName(Name = "out")] private readonly ModuleGroup _outGroup = new();
    // A tuple, because a module in a field of its own would be registered a second time under the field's name.
    private readonly (GroupNormLayer Norm, Conv2dLayer Convolution) _output;

    /// <summary>Builds one from validated options.</summary>
    public UNet(UNetOptions options, UNetShape shape, Generator generator, bool initialize = true)
        : base(nameof(UNet), options, shape)
    {
        var init = new WeightInitializer(options.Initialization, initialize ? generator : null);
        var layout = new UNetLayout(options, shape);
        _fillsMatrixUnit = layout.Down.Concat(layout.Middle).Concat(layout.Up).All(block => MatrixUnit.Takes(block.InChannels, block.OutChannels));
        _dropout = new(options.Dropout, NewDropoutGenerator(generator));
        _condition = new(options, shape, init, NonLinearity.Silu, _embeddingGroup);
        _stem = new(shape.Channels, options.BaseChannels, 3, init);
        _down = [.. layout.Down.Select(block => Add(_downGroup, $"{block.Level}.{block.Index}", block, init))];
        _middle = [.. layout.Middle.Select(block => Add(_middleGroup, $"{block.Index}", block, init))];
        _up = [.. layout.Up.Select(block => Add(_upGroup, $"{block.Level}.{block.Index}", block, init))];
        if (options.Conditioning == TimestepConditioning.ScaleShift)
            _folding = new([.. _down.Concat(_middle).Concat(_up).Select(stage => stage.Block.ToldNorm)]);
        _output = (
            _outGroup.Add("norm", new GroupNormLayer(layout.OutputChannels, options.NormGroups, options.NormEpsilon, init)),
            _outGroup.Add("conv", new Conv2dLayer(layout.OutputChannels, shape.Outputs, 3, init, zero: true)));
        RegisterComponents();
    }

    /// <inheritdoc/>
    public override Generator DropoutGenerator
    {
        get => _dropout.Generator;
        set => _dropout.Generator = value ?? throw new ArgumentNullException(nameof(value));
    }

    /// <inheritdoc/>
    public override NetworkEmbedding Embed(Tensor timesteps, Tensor? labels)
    {
        using Tensor activated = _condition.Embed(timesteps, labels);   // [M, E]
        return LinearLayer.Apply(activated, [.. _down.Concat(_middle).Concat(_up).Select(stage => stage.Block.Projection)]);
    }

    /// <inheritdoc/>
    /// <remarks>Norms read it as float32 whatever the activations are.</remarks>
    private protected override ScalarType EmbeddingType(Tensor x) => ScalarType.Float32;

    /// <inheritdoc/>
    private protected override Tensor RunTyped(Tensor x, NetworkEmbedding embedding)
    {
        using Tensor entering = Centred(x);
        if (HostNetwork.TryRun(this, entering, embedding) is { } output)
            return output;
        var skips = new Stack<Tensor>(_down.Length + Options.Levels);
        using Tensor laidOut = entering.device_type == DeviceType.CPU ? ChannelsLast.Of(entering) : entering.contiguous();
        using FoldedNorms? norms = embedding.Joined is { } joined ? _folding?.Fold(joined, x.dtype) : null;
        Tensor bottleneck = Contract(laidOut, embedding, skips, norms);
        return Expand(bottleneck, embedding, skips, x.dtype, norms);
    }

    /// <summary>The way down and the bottleneck.</summary>
    /// <param name="x">[N, C, H, W].</param>
    /// <param name="embedding">N rows or one.</param>
    /// <param name="skips">Takes what the way up needs: the input of every block and of every downsampling.</param>
    /// <param name="norms">What the blocks are told, folded into their norms; null: the embedding tells them.</param>
    /// <returns>The bottleneck's output at the coarsest resolution.</returns>
    internal Tensor Contract(Tensor x, NetworkEmbedding embedding, Stack<Tensor> skips, FoldedNorms? norms = null)
    {
        Tensor h = _stem.forward(x);
        if (Narrows(h))
        {
            using Tensor wide = h;
            h = FusedConversion.Apply(wide, ScalarType.BFloat16);
        }
        int next = 0;
        foreach (Stage stage in _down)
        {
            skips.Push(ChannelMoments.Alias(h));
            h = RunBlock(stage, h, next++, embedding, norms);
            if (stage.Down is not { } down)
                continue;
            skips.Push(h);
            h = down.forward(h);
        }
        skips.Push(ChannelMoments.Alias(h));
        foreach (Stage stage in _middle)
            h = RunBlock(stage, h, next++, embedding, norms);
        return h;
    }

    /// <summary>The way up and the output; disposes the bottleneck's output and the skip connections.</summary>
    /// <param name="bottleneck">The bottleneck's output.</param>
    /// <param name="embedding">N rows or one.</param>
    /// <param name="skips">From the way down.</param>
    /// <param name="type">What the last norm and convolution compute in.</param>
    /// <param name="norms">What the blocks are told, folded into their norms; null: the embedding tells them.</param>
    internal Tensor Expand(Tensor bottleneck, NetworkEmbedding embedding, Stack<Tensor> skips, ScalarType type, FoldedNorms? norms = null)
    {
        Tensor h = bottleneck;
        int next = _down.Length + _middle.Length;
        foreach (Stage stage in _up)
        {
            Tensor joined;
            using (h)
            using (Tensor skip = skips.Pop())
                joined = FusedConcatenation.Apply(h, skip);   // [N, C + S, H, W]
            h = RunBlock(stage, joined, next++, embedding, norms);
            if (stage.Up is { } up)
            {
                Tensor large = up.forward(h);
                h.Dispose();
                h = large;
            }
        }
        using (h)
        using (Tensor last = FusedConversion.Apply(h, type))
            return _output.Convolution.Apply(last, _output.Norm.With(silu: true));
    }

    /// <summary>Whether the blocks compute in bfloat16 although the network was called with float32: where a matrix unit is to be used and the channels fill it.</summary>
    private bool Narrows(Tensor h) => _fillsMatrixUnit && MatrixUnit.Current is not null && h.dtype == ScalarType.Float32 && h.device_type == DeviceType.CPU;

    private Tensor Centred(Tensor x)
    {
        if (!Options.CenterInput)
            return x.alias();
        using Tensor doubled = x * Held(2);
        return doubled - Held(1);
    }

    /// <summary>Runs a block and its attention; disposes its input.</summary>
    private static Tensor RunBlock(Stage stage, Tensor h, int index, NetworkEmbedding embedding, FoldedNorms? norms)
    {
        using Tensor input = h;
        using FoldedNorm? norm = norms?.Of(index);
        Tensor output = norm is null ? stage.Block.forward(input, embedding.Projections[index]) : stage.Block.Apply(input, norm);
        if (stage.Attention is not { } attention)
            return output;
        using (output)
            return attention.forward(output);
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        if (disposing)
            _folding?.Dispose();
        base.Dispose(disposing);
    }

    private Stage Add(ModuleGroup group, string path, UNetBlock block, WeightInitializer init)
    {
        var residual = group.Add($"{path}.block", new ResidualBlock(block.InChannels, block.OutChannels, Options, _dropout, init));
        AttentionBlock? attention = null;
        if (block.Attention)
        {
            int groups = ReferenceEquals(group, _middleGroup) ? Options.MiddleAttentionNormGroups ?? Options.NormGroups : Options.NormGroups;
            attention = group.Add($"{path}.attention", new AttentionBlock(block.OutChannels, block.Heads, groups, Options.NormEpsilon, init));
        }
        if (!block.Resamples)
            return new(residual, attention, null, null);
        if (block.Up)
            return new(residual, attention, null, group.Add($"{path}.upsample", new Upsample(block.OutChannels, block.OutChannels, Options.ConvolutionalResampling, init)));
        var down = new Downsample(block.OutChannels, Options.ConvolutionalResampling, Options.AsymmetricDownsampling, init);
        return new(residual, attention, group.Add($"{path}.downsample", down), null);
    }
}
