using System.Globalization;
using System.Text.Json.Serialization;

namespace Microsoft.ML.Diffusion;

public sealed partial record UNetOptions
{
    /// <summary>Number of resolutions.</summary>
    internal int Levels => ChannelMultipliers.Count;

    /// <summary>What both sides of an image must be a multiple of: 2^(resolutions − 1).</summary>
    [JsonIgnore]
    public int SizeMultiple => 1 << (Levels - 1);

    /// <summary>Channels after the embedding's linear layers.</summary>
    internal int EmbeddingChannels => TimeEmbeddingChannels ?? 4 * BaseChannels;

    /// <summary>Channels of a level, 0 the finest.</summary>
    internal int LevelChannels(int level) => (int)Math.Round(ChannelMultipliers[level] * BaseChannels);

    /// <summary>Checks that the options agree with each other and with a shape.</summary>
    /// <param name="shape">The images and classes.</param>
    /// <exception cref="ArgumentNullException"><paramref name="shape"/> is null.</exception>
    /// <exception cref="ArgumentException">They do not; the message names the option and what would do.</exception>
    public void Validate(UNetShape shape)
    {
        ArgumentNullException.ThrowIfNull(shape);
        shape.Validate();
        ValidateScalars();
        ValidateMultipliers();
        ValidateSize(shape);
        if (Architecture == UNetArchitecture.Residual)
        {
            _ = AttentionLevels(AttentionResolutions, nameof(AttentionResolutions), shape);
            if (UpAttentionResolutions is { } up)
                _ = AttentionLevels(up, nameof(UpAttentionResolutions), shape);
        }
        ValidateGroups();
        ValidateHeads(shape);
    }

    /// <summary>For each level, whether full attention follows its blocks: an entry r means the finest level whose shorter side is at most r.</summary>
    internal bool[] AttentionLevels(ValueList<int> resolutions, string name, UNetShape shape)
    {
        var levels = new bool[Levels];
        int side = Math.Min(shape.Height, shape.Width);
        foreach (int resolution in resolutions)
        {
            int level = 0;
            while (level < Levels && side >> level > resolution)
                level++;
            if (level == Levels)
            {
                throw new ArgumentException(
                    $"{name} asks for attention at {resolution}, but the coarsest resolution of {shape.Height}x{shape.Width} images is {side >> (Levels - 1)}: " +
                    $"give {side >> (Levels - 1)} or more, or add a resolution to {nameof(ChannelMultipliers)}.");
            }
            levels[level] = true;
        }
        return levels;
    }

    /// <summary>Heads of an attention over so many channels.</summary>
    internal int HeadsFor(int channels, bool up) =>
        AttentionHeadChannels is { } width ? Math.Max(1, channels / width) : up ? UpAttentionHeads ?? AttentionHeads : AttentionHeads;

    private void ValidateScalars()
    {
        RequireKnown(Architecture, nameof(Architecture));
        RequireKnown(Conditioning, nameof(Conditioning));
        RequireKnown(Initialization, nameof(Initialization));
        if (AttentionResolutions is null)
            throw new ArgumentException($"{nameof(AttentionResolutions)} is null: give [] for no attention outside the bottleneck.");
        RequirePositive(BaseChannels, nameof(BaseChannels));
        RequirePositive(BlocksPerResolution, nameof(BlocksPerResolution));
        RequirePositive(AttentionHeads, nameof(AttentionHeads));
        RequirePositive(UpAttentionHeads ?? 1, nameof(UpAttentionHeads));
        RequirePositive(AttentionHeadChannels ?? 1, nameof(AttentionHeadChannels));
        RequirePositive(NormGroups, nameof(NormGroups));
        RequirePositive(TimeEmbeddingChannels ?? 1, nameof(TimeEmbeddingChannels));
        if (MiddleAttentionNormGroups < 0)
            throw new ArgumentException($"{nameof(MiddleAttentionNormGroups)} is {MiddleAttentionNormGroups}: give null for {nameof(NormGroups)}, 0 for no norm, or a number of groups.");
        if (!(Dropout >= 0 && Dropout < 1))
            throw new ArgumentException(Invariant($"{nameof(Dropout)} is {Dropout}: give a share of at least 0 and less than 1."));
        if (!(NormEpsilon > 0 && double.IsFinite(NormEpsilon)))
            throw new ArgumentException(Invariant($"{nameof(NormEpsilon)} is {NormEpsilon}: give a small positive number such as 1e-5."));
        if (!(MaximumPeriod > 1 && double.IsFinite(MaximumPeriod)))
            throw new ArgumentException(Invariant($"{nameof(MaximumPeriod)} is {MaximumPeriod}: give a number above 1, usually 10000."));
        if (FrequencyShift < 0 || BaseChannels / 2 - FrequencyShift < 1)
            throw new ArgumentException($"{nameof(FrequencyShift)} is {FrequencyShift}: it must be at least 0 and less than half of {nameof(BaseChannels)} ({BaseChannels / 2}).");
    }

    private void ValidateMultipliers()
    {
        if (ChannelMultipliers is null or { Count: 0 })
            throw new ArgumentException($"{nameof(ChannelMultipliers)} is empty: give one multiple of {nameof(BaseChannels)} for each resolution, such as [1, 2, 2, 2].");
        if (Levels > 16)
            throw new ArgumentException($"{nameof(ChannelMultipliers)} has {Levels} entries: more than 16 resolutions make no sense.");
        foreach (double multiplier in ChannelMultipliers)
        {
            double channels = multiplier * BaseChannels;
            if (!(channels >= 1 && Math.Abs(channels - Math.Round(channels)) < 1e-6 * channels))
                throw new ArgumentException(Invariant($"{nameof(ChannelMultipliers)} has {multiplier}, which makes {channels} of {nameof(BaseChannels)} {BaseChannels}: every level needs a whole number of channels."));
        }
    }

    private void ValidateSize(UNetShape shape)
    {
        int multiple = SizeMultiple;
        if (shape.Height % multiple == 0 && shape.Width % multiple == 0)
            return;
        throw new ArgumentException(
            $"Images of {shape.Height}x{shape.Width} pixels (height x width) do not fit {Levels} resolutions, which halve {Levels - 1} times: both sides must be multiples of {multiple}. " +
            $"Valid next to these: height {NextValid(shape.Height, multiple)}, width {NextValid(shape.Width, multiple)}. " +
            $"Resize or pad the images, or take fewer {nameof(ChannelMultipliers)}.");
    }

    private static string NextValid(int side, int multiple)
    {
        int below = side / multiple * multiple;
        return side % multiple == 0 ? $"{side}" : below == 0 ? $"{multiple}" : $"{below} or {below + multiple}";
    }

    /// <summary>Every number of channels that a group norm of the network sees.</summary>
    private IEnumerable<int> NormalizedChannels()
    {
        if (Architecture == UNetArchitecture.Annotated)
            return AnnotatedLayout.NormalizedChannels(this);
        var layout = new UNetLayout(this);
        return layout.Down.Concat(layout.Middle).Concat(layout.Up)
            .SelectMany(block => new[] { block.InChannels, block.OutChannels }).Distinct();
    }

    private void ValidateGroups()
    {
        int[] channels = [.. NormalizedChannels()];
        foreach (int count in channels)
        {
            if (count % NormGroups != 0)
            {
                int largest = Enumerable.Range(1, NormGroups).Last(groups => channels.All(c => c % groups == 0));
                throw new ArgumentException($"{nameof(NormGroups)} is {NormGroups}, which does not divide the {count} channels of one of the norms: the largest number below that divides all of them is {largest}.");
            }
        }
        if (MiddleAttention && MiddleAttentionNormGroups is > 0 and var middle && LevelChannels(Levels - 1) % middle != 0)
            throw new ArgumentException($"{nameof(MiddleAttentionNormGroups)} is {middle}, which does not divide the bottleneck's {LevelChannels(Levels - 1)} channels.");
    }

    private void ValidateHeads(UNetShape shape)
    {
        if (Architecture == UNetArchitecture.Annotated)
            return;
        var layout = new UNetLayout(this, shape);
        foreach (UNetBlock block in layout.Down.Concat(layout.Middle).Concat(layout.Up).Where(block => block.Attention))
        {
            if (AttentionHeadChannels is { } width && block.OutChannels % width != 0)
                throw new ArgumentException($"{nameof(AttentionHeadChannels)} is {width}, which does not divide the {block.OutChannels} channels at an attention.");
            if (block.OutChannels % block.Heads != 0)
                throw new ArgumentException($"{(block.Up && UpAttentionHeads is not null ? nameof(UpAttentionHeads) : nameof(AttentionHeads))} is {block.Heads}, which does not divide the {block.OutChannels} channels at an attention.");
        }
    }

    private static void RequireKnown<T>(T value, string name)
        where T : struct, Enum
    {
        if (!Enum.IsDefined(value))
            throw new ArgumentException($"{name} has no value numbered {Convert.ToInt32(value, CultureInfo.InvariantCulture)}: give one of {string.Join(", ", Enum.GetNames<T>())}.");
    }

    private static void RequirePositive(int value, string name)
    {
        if (value < 1)
            throw new ArgumentException($"{name} is {value}: it must be at least 1.");
    }

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
