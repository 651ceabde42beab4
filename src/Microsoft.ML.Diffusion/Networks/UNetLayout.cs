namespace Microsoft.ML.Diffusion;

/// <summary>One residual block of a U-Net with what follows it.</summary>
/// <param name="Level">The resolution, 0 the finest.</param>
/// <param name="Index">Position among the blocks of its level (of the bottleneck: 0 and 1).</param>
/// <param name="Up">Whether it is on the way up.</param>
/// <param name="InChannels">Channels that enter; on the way up with those of the skip connection.</param>
/// <param name="OutChannels">Channels that leave.</param>
/// <param name="Heads">Heads of the attention that follows; 0: none follows.</param>
/// <param name="Resamples">Whether the resolution changes after it.</param>
internal sealed record UNetBlock(int Level, int Index, bool Up, int InChannels, int OutChannels, int Heads, bool Resamples)
{
    /// <summary>Whether attention follows.</summary>
    public bool Attention => Heads > 0;

    /// <summary>Whether the residual connection needs a 1x1 convolution.</summary>
    public bool Projects => InChannels != OutChannels;
}

/// <summary>
/// The blocks of a residual U-Net in the order in which a batch meets them: what the network's constructor, the parameter count and the name maps walk along.
/// </summary>
internal sealed class UNetLayout
{
    /// <summary>Lays a network out.</summary>
    /// <param name="options">Its structure.</param>
    /// <param name="shape">Its images; without them no attention is placed outside the bottleneck.</param>
    public UNetLayout(UNetOptions options, UNetShape? shape = null)
    {
        int levels = options.Levels, blocks = options.BlocksPerResolution, channels = options.BaseChannels;
        bool[] downAttention = shape is null ? new bool[levels] : options.AttentionLevels(options.AttentionResolutions, nameof(options.AttentionResolutions), shape);
        bool[] upAttention = shape is null || options.UpAttentionResolutions is null
            ? downAttention
            : options.AttentionLevels(options.UpAttentionResolutions, nameof(options.UpAttentionResolutions), shape);

        var skips = new Stack<int>([channels]);
        for (int level = 0; level < levels; level++)
        {
            int width = options.LevelChannels(level);
            for (int index = 0; index < blocks; index++)
            {
                bool resamples = index == blocks - 1 && level < levels - 1;
                Down.Add(new(level, index, false, channels, width, downAttention[level] ? options.HeadsFor(width, up: false) : 0, resamples));
                channels = width;
                skips.Push(channels);
                if (resamples)
                    skips.Push(channels);
            }
        }

        Middle.Add(new(levels - 1, 0, false, channels, channels, options.MiddleAttention ? options.HeadsFor(channels, up: false) : 0, false));
        Middle.Add(new(levels - 1, 1, false, channels, channels, 0, false));

        for (int level = levels - 1; level >= 0; level--)
        {
            int width = options.LevelChannels(level);
            for (int index = 0; index <= blocks; index++)
            {
                Up.Add(new(level, index, true, channels + skips.Pop(), width, upAttention[level] ? options.HeadsFor(width, up: true) : 0, index == blocks && level > 0));
                channels = width;
            }
        }
        OutputChannels = channels;
    }

    /// <summary>The way down, each block's output kept as a skip connection, so is each resampled one.</summary>
    public List<UNetBlock> Down { get; } = [];

    /// <summary>The bottleneck's two blocks.</summary>
    public List<UNetBlock> Middle { get; } = [];

    /// <summary>The way up.</summary>
    public List<UNetBlock> Up { get; } = [];

    /// <summary>Channels that enter the output's norm.</summary>
    public int OutputChannels { get; }
}
