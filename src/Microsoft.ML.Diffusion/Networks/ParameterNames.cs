namespace Microsoft.ML.Diffusion;

/// <summary>
/// Names of parameters, ours beside the reference systems':
/// <list type="table">
/// <listheader><term>ours</term><description>improved-diffusion; diffusers</description></listheader>
/// <item><term>embedding.linear1, .linear2</term><description>time_embed.0, .2; time_embedding.linear_1, .linear_2</description></item>
/// <item><term>embedding.classes</term><description>label_emb; class_embedding</description></item>
/// <item><term>stem</term><description>input_blocks.0.0; conv_in</description></item>
/// <item><term>down.L.B.block</term><description>input_blocks.N.0; down_blocks.L.resnets.B</description></item>
/// <item><term>down.L.B.attention</term><description>input_blocks.N.1; down_blocks.L.attentions.B</description></item>
/// <item><term>down.L.B.downsample.conv</term><description>input_blocks.N+1.0.op; down_blocks.L.downsamplers.0.conv</description></item>
/// <item><term>middle.0, middle.1</term><description>middle_block.0/.1/.2; mid_block.resnets.0/.1, mid_block.attentions.0</description></item>
/// <item><term>up.L.B.block</term><description>output_blocks.N.0; up_blocks.(levels−1−L).resnets.B</description></item>
/// <item><term>up.L.B.upsample.conv</term><description>output_blocks.N.(1 or 2).conv; up_blocks.….upsamplers.0.conv</description></item>
/// <item><term>out.norm, out.conv</term><description>out.0, out.2; conv_norm_out, conv_out</description></item>
/// <item><term>block: norm1, conv1, time, norm2, conv2, skip</term><description>in_layers.0, in_layers.2, emb_layers.1, out_layers.0, out_layers.3, skip_connection; norm1, conv1, time_emb_proj, norm2, conv2, conv_shortcut</description></item>
/// <item><term>attention: norm, qkv, out</term><description>norm, qkv (head by head), proj_out; group_norm, to_q + to_k + to_v, to_out.0 (before 2023: query + key + value, proj_attn)</description></item>
/// </list>
/// The annotated family's names are in <see cref="Annotated"/>.
/// </summary>
internal static partial class ParameterNames
{
    /// <summary>The map for a residual network; ours on the left of <see cref="ParameterMap.Links"/>.</summary>
    private static ParameterMap Map(string system, UNetOptions options, UNetShape shape, Func<ParameterEntry, ParameterLink> link)
    {
        options.Validate(shape);
        return new(system, [.. ParameterTable.For(options, shape).Select(link)]);
    }

    /// <summary>A link without any change but the name, and perhaps trailing dimensions of 1.</summary>
    private static ParameterLink Same(ParameterEntry entry, string reference, int trailing = 0, int heads = 0)
    {
        long[] shape = [.. entry.Shape, .. Enumerable.Repeat(1L, trailing)];
        return new(entry.Name, entry.Shape, [new(reference, shape)], heads);
    }

    /// <summary>Splits "down.0.1.block.norm1.weight" at its dots.</summary>
    private static string[] Split(ParameterEntry entry) => entry.Name.Split('.');
}
