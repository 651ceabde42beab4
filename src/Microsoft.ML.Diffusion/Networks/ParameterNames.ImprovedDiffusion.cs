namespace Microsoft.ML.Diffusion;

internal static partial class ParameterNames
{
    private static readonly Dictionary<string, string> ImprovedBlock = new()
    {
        ["norm1"] = "in_layers.0",
        ["conv1"] = "in_layers.2",
        ["time"] = "emb_layers.1",
        ["norm2"] = "out_layers.0",
        ["conv2"] = "out_layers.3",
        ["skip"] = "skip_connection",
    };

    /// <summary>
    /// The state dict of improved-diffusion's UNetModel (Nichol and Dhariwal 2021). Its modules are counted through: input_blocks.0 is the stem,
    /// then one number a block and one a downsampling; output_blocks has one number a block, upsampling included.
    /// </summary>
    public static ParameterMap ImprovedDiffusion(UNetOptions options, UNetShape shape) =>
        Map("improved-diffusion", options, shape, entry => Improved(entry, options, shape));

    private static ParameterLink Improved(ParameterEntry entry, UNetOptions options, UNetShape shape)
    {
        string[] name = Split(entry);
        string kind = name[^1];
        switch (name[0])
        {
            case "embedding":
                return Same(entry, name[1] switch { "linear1" => "time_embed.0", "linear2" => "time_embed.2", _ => "label_emb" } + $".{kind}");
            case "stem":
                return Same(entry, $"input_blocks.0.0.{kind}");
            case "out":
                return Same(entry, $"out.{(name[1] == "norm" ? 0 : 2)}.{kind}");
            case "middle":
                int index = int.Parse(name[1]);
                // middle.0 is a block and its attention, middle.1 a block: 0, 1 and 2 there; 0 and 1 where there is no attention.
                return ImprovedPart(entry, name[2..], "middle_block", index == 0 ? 0 : options.MiddleAttention ? 2 : 1, HeadsAt(options, options.Levels - 1, up: false));
        }

        int level = int.Parse(name[1]), block = int.Parse(name[2]);
        if (name[0] == "down")
        {
            int number = 1 + level * (options.BlocksPerResolution + 1) + block;
            return name[3] == "downsample"
                ? Same(entry, $"input_blocks.{number + 1}.0.op.{kind}")
                : ImprovedPart(entry, name[3..], $"input_blocks.{number}", 0, HeadsAt(options, level, up: false));
        }
        int output = (options.Levels - 1 - level) * (options.BlocksPerResolution + 1) + block;
        if (name[3] != "upsample")
            return ImprovedPart(entry, name[3..], $"output_blocks.{output}", 0, HeadsAt(options, level, up: true));
        bool attention = new UNetLayout(options, shape).Up.Any(candidate => candidate.Level == level && candidate.Attention);
        return Same(entry, $"output_blocks.{output}.{(attention ? 2 : 1)}.conv.{kind}");
    }

    private static ParameterLink ImprovedPart(ParameterEntry entry, string[] rest, string path, int position, int heads)
    {
        string kind = rest[^1];
        if (rest[0] == "block")
            return Same(entry, $"{path}.{position}.{ImprovedBlock[rest[1]]}.{kind}");
        // 1-d convolutions there: weights have a third dimension.
        int trailing = kind == "weight" && rest[1] != "norm" ? 1 : 0;
        return rest[1] switch
        {
            "norm" => Same(entry, $"{path}.{position + 1}.norm.{kind}"),
            "qkv" => Same(entry, $"{path}.{position + 1}.qkv.{kind}", trailing, heads),
            _ => Same(entry, $"{path}.{position + 1}.proj_out.{kind}", trailing),
        };
    }

    private static int HeadsAt(UNetOptions options, int level, bool up) => options.HeadsFor(options.LevelChannels(level), up);
}
