namespace Microsoft.ML.Diffusion;

/// <summary>A parameter as it will be, before anything is built.</summary>
/// <param name="Name">Its dotted name in the network.</param>
/// <param name="Shape">Its shape.</param>
internal readonly record struct ParameterEntry(string Name, long[] Shape)
{
    /// <summary>Number of elements.</summary>
    public long Size => Shape.Aggregate(1L, (product, side) => product * side);
}

/// <summary>Names and shapes of all parameters of a network, computed from its options: what counting and the name maps need.</summary>
internal static class ParameterTable
{
    /// <summary>The parameters of a network; the options are taken to be valid.</summary>
    public static List<ParameterEntry> For(UNetOptions options, UNetShape shape)
    {
        var table = new List<ParameterEntry>();
        AddEmbedding(table, options, shape);
        if (options.Architecture == UNetArchitecture.Annotated)
            AddAnnotated(table, options, shape);
        else
            AddResidual(table, options, shape);
        return table;
    }

    private static void AddResidual(List<ParameterEntry> table, UNetOptions options, UNetShape shape)
    {
        var layout = new UNetLayout(options, shape);
        AddConvolution(table, "stem", shape.Channels, options.BaseChannels, 3);
        foreach (UNetBlock block in layout.Down)
            AddBlock(table, $"down.{block.Level}.{block.Index}", block, options, options.NormGroups);
        foreach (UNetBlock block in layout.Middle)
            AddBlock(table, $"middle.{block.Index}", block, options, options.MiddleAttentionNormGroups ?? options.NormGroups);
        foreach (UNetBlock block in layout.Up)
            AddBlock(table, $"up.{block.Level}.{block.Index}", block, options, options.NormGroups);
        AddNorm(table, "out.norm", layout.OutputChannels);
        AddConvolution(table, "out.conv", layout.OutputChannels, shape.Outputs, 3);
    }

    private static void AddBlock(List<ParameterEntry> table, string path, UNetBlock block, UNetOptions options, int attentionGroups)
    {
        int channels = block.OutChannels;
        AddNorm(table, $"{path}.block.norm1", block.InChannels);
        AddConvolution(table, $"{path}.block.conv1", block.InChannels, channels, 3);
        AddLinear(table, $"{path}.block.time", options.EmbeddingChannels, Told(options, channels));
        AddNorm(table, $"{path}.block.norm2", channels);
        AddConvolution(table, $"{path}.block.conv2", channels, channels, 3);
        if (block.Projects)
            AddConvolution(table, $"{path}.block.skip", block.InChannels, channels, 1);
        if (block.Attention)
        {
            if (attentionGroups > 0)
                AddNorm(table, $"{path}.attention.norm", channels);
            AddLinear(table, $"{path}.attention.qkv", channels, 3 * channels);
            AddLinear(table, $"{path}.attention.out", channels, channels);
        }
        if (block.Resamples && options.ConvolutionalResampling)
            AddConvolution(table, $"{path}.{(block.Up ? "upsample" : "downsample")}.conv", channels, channels, 3);
    }

    private static void AddAnnotated(List<ParameterEntry> table, UNetOptions options, UNetShape shape)
    {
        var layout = new AnnotatedLayout(options);
        int hidden = layout.Heads * layout.HeadChannels, last = options.Levels - 1;
        AddConvolution(table, "stem", shape.Channels, options.BaseChannels, 1);
        for (int i = 0; i <= last; i++)
        {
            AddAnnotatedBlock(table, $"down.{i}.block1", layout.In[i], layout.In[i], options);
            AddAnnotatedBlock(table, $"down.{i}.block2", layout.In[i], layout.In[i], options);
            AddPixelAttention(table, $"down.{i}.attention", layout.In[i], hidden, outputNorm: true);
            AddConvolution(table, $"down.{i}.resample.conv", i < last ? 4 * layout.In[i] : layout.In[i], layout.Out[i], i < last ? 1 : 3);
        }
        int deepest = layout.Out[last];
        AddAnnotatedBlock(table, "middle.block1", deepest, deepest, options);
        AddPixelAttention(table, "middle.attention", deepest, hidden, outputNorm: false);
        AddAnnotatedBlock(table, "middle.block2", deepest, deepest, options);
        for (int i = last; i >= 0; i--)
        {
            AddAnnotatedBlock(table, $"up.{i}.block1", layout.Out[i] + layout.In[i], layout.Out[i], options);
            AddAnnotatedBlock(table, $"up.{i}.block2", layout.Out[i] + layout.In[i], layout.Out[i], options);
            AddPixelAttention(table, $"up.{i}.attention", layout.Out[i], hidden, outputNorm: true);
            AddConvolution(table, $"up.{i}.resample.conv", layout.Out[i], layout.In[i], 3);
        }
        AddAnnotatedBlock(table, "out.block", 2 * options.BaseChannels, options.BaseChannels, options);
        AddConvolution(table, "out.conv", options.BaseChannels, shape.Outputs, 1);
    }

    private static void AddAnnotatedBlock(List<ParameterEntry> table, string path, int inChannels, int outChannels, UNetOptions options)
    {
        AddConvolution(table, $"{path}.conv1", inChannels, outChannels, 3);
        AddNorm(table, $"{path}.norm1", outChannels);
        AddLinear(table, $"{path}.time", options.EmbeddingChannels, Told(options, outChannels));
        AddConvolution(table, $"{path}.conv2", outChannels, outChannels, 3);
        AddNorm(table, $"{path}.norm2", outChannels);
        if (inChannels != outChannels)
            AddConvolution(table, $"{path}.skip", inChannels, outChannels, 1);
    }

    private static void AddPixelAttention(List<ParameterEntry> table, string path, int channels, int hidden, bool outputNorm)
    {
        AddNorm(table, $"{path}.norm", channels);
        table.Add(new($"{path}.inner.qkv.weight", [3 * hidden, channels, 1, 1]));
        AddConvolution(table, $"{path}.inner.out", hidden, channels, 1);
        if (outputNorm)
            AddNorm(table, $"{path}.inner.norm", channels);
    }

    private static void AddEmbedding(List<ParameterEntry> table, UNetOptions options, UNetShape shape)
    {
        AddLinear(table, "embedding.linear1", options.BaseChannels, options.EmbeddingChannels);
        AddLinear(table, "embedding.linear2", options.EmbeddingChannels, options.EmbeddingChannels);
        if (shape.ClassRows > 0)
            table.Add(new("embedding.classes.weight", [shape.ClassRows, options.EmbeddingChannels]));
    }

    private static int Told(UNetOptions options, int channels) =>
        options.Conditioning == TimestepConditioning.ScaleShift ? 2 * channels : channels;

    private static void AddConvolution(List<ParameterEntry> table, string path, int inChannels, int outChannels, int kernel)
    {
        table.Add(new($"{path}.weight", [outChannels, inChannels, kernel, kernel]));
        table.Add(new($"{path}.bias", [outChannels]));
    }

    private static void AddLinear(List<ParameterEntry> table, string path, int inChannels, int outChannels)
    {
        table.Add(new($"{path}.weight", [outChannels, inChannels]));
        table.Add(new($"{path}.bias", [outChannels]));
    }

    private static void AddNorm(List<ParameterEntry> table, string path, int channels)
    {
        table.Add(new($"{path}.weight", [channels]));
        table.Add(new($"{path}.bias", [channels]));
    }
}
