namespace Microsoft.ML.Diffusion;

internal static partial class ParameterNames
{
    private static readonly Dictionary<string, string> AnnotatedPart = new()
    {
        ["conv1"] = "block1.proj",
        ["norm1"] = "block1.norm",
        ["time"] = "mlp.1",
        ["conv2"] = "block2.proj",
        ["norm2"] = "block2.norm",
        ["skip"] = "res_conv",
    };

    /// <summary>
    /// The state dict of the annotated model's Unet (2022): downs.L.0 and .1 the blocks, .2 the attention, .3 the resampling; ups counted from the coarsest;
    /// mid_block1, mid_attn, mid_block2; init_conv, final_res_block, final_conv; time_mlp.1 and .3.
    /// Inside a block: block1.proj, block1.norm, mlp.1, block2.proj, block2.norm, res_conv; inside an attention: to_qkv, to_out.0, to_out.1.
    /// </summary>
    public static ParameterMap Annotated(UNetOptions options, UNetShape shape) =>
        Map("the annotated diffusion model", options, shape, entry => Same(entry, AnnotatedName(entry, options)));

    /// <summary>The name of a parameter of one block or attention in denoising-diffusion-pytorch; ours without the path to the module.</summary>
    /// <param name="name">Such as "conv1.weight", "qkv.weight", "prenorm.weight", "inner.out.bias".</param>
    /// <param name="linear">Whether it is of a linear attention, where the output projection stands before a norm.</param>
    public static string DenoisingDiffusionPytorch(string name, bool linear)
    {
        string[] parts = name.Split('.');
        if (parts[0] == "inner")
            return $"fn.{DenoisingDiffusionPytorch(name["inner.".Length..], linear)}";
        string kind = parts[^1];
        if (AnnotatedPart.TryGetValue(parts[0], out string? module))
            return $"{module}.{kind}";
        return parts[0] switch
        {
            "memory" => "mem_kv",
            "prenorm" => $"norm.{kind}",
            "qkv" => $"to_qkv.{kind}",
            "out" => linear ? $"to_out.0.{kind}" : $"to_out.{kind}",
            "norm" when linear => $"to_out.1.{kind}",
            _ => name,
        };
    }

    private static string AnnotatedName(ParameterEntry entry, UNetOptions options)
    {
        string[] name = Split(entry);
        string kind = name[^1];
        int last = options.Levels - 1;
        switch (name[0])
        {
            case "embedding":
                return name[1] switch { "linear1" => "time_mlp.1", "linear2" => "time_mlp.3", _ => "label_emb" } + $".{kind}";
            case "stem":
                return $"init_conv.{kind}";
            case "out":
                return name[1] == "conv" ? $"final_conv.{kind}" : $"final_res_block.{Block(name[2..])}";
            case "middle":
                return name[1] == "attention" ? $"mid_attn.fn.{Attention(name[2..], linear: false)}" : $"mid_{name[1]}.{Block(name[2..])}";
        }
        bool down = name[0] == "down";
        int level = int.Parse(name[1]);
        string path = down ? $"downs.{level}" : $"ups.{last - level}";
        return name[2] switch
        {
            "block1" => $"{path}.0.{Block(name[3..])}",
            "block2" => $"{path}.1.{Block(name[3..])}",
            "attention" => $"{path}.2.fn.{Attention(name[3..], linear: true)}",
            // A resampling is a rearrangement and a convolution there; the last level has the convolution alone.
            _ => level == (down ? last : 0) ? $"{path}.3.{kind}" : $"{path}.3.1.{kind}",
        };

        static string Block(string[] rest) => DenoisingDiffusionPytorch(string.Join('.', rest), linear: false);

        static string Attention(string[] rest, bool linear) =>
            rest[0] == "norm" ? string.Join('.', rest) : DenoisingDiffusionPytorch(string.Join('.', rest), linear);
    }
}
