namespace Microsoft.ML.Diffusion;

/// <summary>
/// Channels of the annotated U-Net: level i takes In[i] channels and hands Out[i] to the next, both on the way down and, mirrored, on the way up.
/// </summary>
internal sealed class AnnotatedLayout
{
    /// <summary>Lays a network out.</summary>
    public AnnotatedLayout(UNetOptions options)
    {
        int[] widths = [options.BaseChannels, .. Enumerable.Range(0, options.Levels).Select(options.LevelChannels)];
        In = widths[..^1];
        Out = widths[1..];
        Heads = options.AttentionHeads;
        HeadChannels = options.AttentionHeadChannels ?? 32;
    }

    /// <summary>Channels in which a level works on the way down.</summary>
    public int[] In { get; }

    /// <summary>Channels in which a level works on the way up.</summary>
    public int[] Out { get; }

    /// <summary>Heads of every attention.</summary>
    public int Heads { get; }

    /// <summary>Channels of a head.</summary>
    public int HeadChannels { get; }

    /// <summary>Every number of channels that a group norm with the options' groups sees.</summary>
    public static IEnumerable<int> NormalizedChannels(UNetOptions options)
    {
        var layout = new AnnotatedLayout(options);
        return layout.In.Concat(layout.Out).Append(options.BaseChannels).Distinct();
    }
}
