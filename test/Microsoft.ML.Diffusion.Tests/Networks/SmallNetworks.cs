namespace Microsoft.ML.Diffusion.Tests;

/// <summary>Networks small enough for a test that touch every option.</summary>
internal static class SmallNetworks
{
    public static UNetOptions Improved { get; } = new()
    {
        BaseChannels = 16,
        ChannelMultipliers = [1, 2],
        BlocksPerResolution = 1,
        AttentionResolutions = [8],
        AttentionHeads = 2,
        NormGroups = 8,
    };

    public static UNetOptions Ho { get; } = UNetOptions.Ho2020 with
    {
        BaseChannels = 16,
        ChannelMultipliers = [1, 2],
        BlocksPerResolution = 1,
        AttentionResolutions = [8],
        NormGroups = 8,
        Dropout = 0,
    };

    public static UNetOptions Annotated { get; } = UNetOptions.Annotated2022 with
    {
        BaseChannels = 8,
        ChannelMultipliers = [1, 2],
        AttentionHeads = 2,
        AttentionHeadChannels = 4,
    };

    /// <summary>One of each kind, by name.</summary>
    public static Dictionary<string, (UNetOptions Options, UNetShape Shape)> Kinds { get; } = new()
    {
        ["improved"] = (Improved, new(3, 16, 16)),
        ["learned variance and classes"] = (Improved, new(3, 16, 16, Classes: 5, LearnedVariance: true)),
        ["ho, not square"] = (Ho, new(3, 16, 24)),
        ["grey"] = (Improved, new(1, 24, 8)),
        ["four channels"] = (Ho, new(4, 16, 16, Classes: 2)),
        ["no learned resampling"] = (Improved with { ConvolutionalResampling = false, BlocksPerResolution = 2 }, new(3, 16, 16)),
        ["attention elsewhere on the way up"] = (Improved with { UpAttentionResolutions = [16], UpAttentionHeads = 4 }, new(3, 16, 16)),
        ["no attention in the middle"] = (Improved with { MiddleAttention = false, AttentionResolutions = [] }, new(3, 16, 16)),
        ["no norm in the middle"] = (Improved with { MiddleAttentionNormGroups = 0, AttentionHeadChannels = 8, CenterInput = true, TimeEmbeddingChannels = 20 }, new(3, 16, 16)),
        ["three resolutions"] = (Improved with { ChannelMultipliers = [1, 1.5, 2], AttentionResolutions = [4, 16], BlocksPerResolution = 2 }, new(3, 16, 16)),
        ["annotated"] = (Annotated, new(1, 12, 20, Classes: 3)),
        ["annotated, added"] = (Annotated with { Conditioning = TimestepConditioning.Add }, new(3, 8, 8, LearnedVariance: true)),
    };

    public static IEnumerable<object[]> Names => Kinds.Keys.Select(name => new object[] { name });

    public static DenoisingNetwork Build(string name, ulong seed = 1)
    {
        var (options, shape) = Kinds[name];
        return Build(options, shape, seed);
    }

    public static DenoisingNetwork Build(UNetOptions options, UNetShape shape, ulong seed = 1)
    {
        using var generator = new Generator(seed);
        return options.Build(shape, generator);
    }

    /// <summary>Gives every parameter random values, so that layers that start at zero count too.</summary>
    public static void Randomize(nn.Module module, ulong seed = 2)
    {
        using var untracked = no_grad();
        using var generator = new Generator(seed);
        foreach (var (name, parameter) in module.named_parameters())
        {
            using var values = randn(parameter.shape, generator: generator);
            using var scaled = values.mul(parameter.dim() > 1 ? 1 / Math.Sqrt(parameter.numel() / parameter.shape[0]) : 0.2);
            parameter.copy_(scaled);
        }
    }

    public static Tensor Noise(long batch, UNetShape shape, ulong seed = 3)
    {
        using var generator = new Generator(seed);
        return randn([batch, shape.Channels, shape.Height, shape.Width], generator: generator);
    }

    public static Tensor? Labels(long batch, UNetShape shape) =>
        shape.Classes == 0 ? null : arange(batch, dtype: int64).remainder_(shape.Classes + 1);

    public static Tensor Timesteps(params float[] values) => tensor(values);
}
