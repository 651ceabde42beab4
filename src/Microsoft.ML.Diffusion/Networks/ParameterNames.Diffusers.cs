namespace Microsoft.ML.Diffusion;

internal static partial class ParameterNames
{
    private static readonly Dictionary<string, string> DiffusersBlock = new()
    {
        ["norm1"] = "norm1",
        ["conv1"] = "conv1",
        ["time"] = "time_emb_proj",
        ["norm2"] = "norm2",
        ["conv2"] = "conv2",
        ["skip"] = "conv_shortcut",
    };

    /// <summary>The state dict of diffusers' UNet2DModel.</summary>
    /// <param name="options">The network's structure.</param>
    /// <param name="shape">Its images and classes.</param>
    /// <param name="oldAttentionNames">Whether attention is query, key, value and proj_attn, as in files of 2022; otherwise to_q, to_k, to_v and to_out.0.</param>
    public static ParameterMap Diffusers(UNetOptions options, UNetShape shape, bool oldAttentionNames = false) =>
        Map("diffusers", options, shape, entry => Diffusers(entry, options, oldAttentionNames));

    /// <summary>The same, with the attention names that a file has.</summary>
    public static ParameterMap Diffusers(UNetOptions options, UNetShape shape, IEnumerable<string> namesOfFile) =>
        Diffusers(options, shape, namesOfFile.Any(name => name.EndsWith(".query.weight", StringComparison.Ordinal)));

    private static ParameterLink Diffusers(ParameterEntry entry, UNetOptions options, bool old)
    {
        string[] name = Split(entry);
        string kind = name[^1];
        switch (name[0])
        {
            case "embedding":
                return Same(entry, name[1] switch { "linear1" => "time_embedding.linear_1", "linear2" => "time_embedding.linear_2", _ => "class_embedding" } + $".{kind}");
            case "stem":
                return Same(entry, $"conv_in.{kind}");
            case "out":
                return Same(entry, $"{(name[1] == "norm" ? "conv_norm_out" : "conv_out")}.{kind}");
            case "middle":
                return DiffusersPart(entry, name[2..], "mid_block", int.Parse(name[1]), old);
            case "down":
                return DiffusersPart(entry, name[3..], $"down_blocks.{name[1]}", int.Parse(name[2]), old);
            default:
                return DiffusersPart(entry, name[3..], $"up_blocks.{options.Levels - 1 - int.Parse(name[1])}", int.Parse(name[2]), old);
        }
    }

    private static ParameterLink DiffusersPart(ParameterEntry entry, string[] rest, string path, int index, bool old)
    {
        string kind = rest[^1];
        switch (rest[0])
        {
            case "block":
                return Same(entry, $"{path}.resnets.{index}.{DiffusersBlock[rest[1]]}.{kind}");
            case "downsample":
                return Same(entry, $"{path}.downsamplers.0.conv.{kind}");
            case "upsample":
                return Same(entry, $"{path}.upsamplers.0.conv.{kind}");
        }
        string attention = $"{path}.attentions.{index}";
        if (rest[1] == "norm")
            return Same(entry, $"{attention}.group_norm.{kind}");
        if (rest[1] == "out")
            return Same(entry, $"{attention}.{(old ? "proj_attn" : "to_out.0")}.{kind}");
        long[] part = [entry.Shape[0] / 3, .. entry.Shape[1..]];
        string[] names = old ? ["query", "key", "value"] : ["to_q", "to_k", "to_v"];
        return new(entry.Name, entry.Shape, [.. names.Select(projection => new ReferenceParameter($"{attention}.{projection}.{kind}", part))]);
    }
}
