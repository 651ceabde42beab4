using System.Globalization;
using System.Text.Json;

namespace Microsoft.ML.Diffusion;

/// <summary>Reads the config.json of a UNet2DModel of Hugging Face diffusers, such as that of google/ddpm-cifar10-32.</summary>
internal static class DiffusersConfig
{
    private static readonly HashSet<string> DownTypes = ["DownBlock2D", "AttnDownBlock2D"];
    private static readonly HashSet<string> UpTypes = ["UpBlock2D", "AttnUpBlock2D"];

    /// <summary>Reads the structure and the shape.</summary>
    /// <param name="json">The text of config.json. What it leaves out has diffusers' own default.</param>
    /// <param name="source">What it is called in messages, usually a file name.</param>
    /// <param name="fallbackSize">Side of the images where the file names none.</param>
    /// <returns>The options and the shape; the recipe is the default one but for the image size, the file has none.</returns>
    /// <exception cref="InvalidDataException">It is not the config of a UNet2DModel, or asks for something that networks here do not have; the message names it.</exception>
    public static (UNetOptions Options, UNetShape Shape) Read(string json, string source = "config.json", int fallbackSize = 32)
    {
        JsonDocument document;
        try
        {
            document = JsonDocument.Parse(json);
        }
        catch (JsonException e)
        {
            throw new InvalidDataException($"{source} is not JSON: {e.Message}", e);
        }
        using (document)
        {
            var reader = new Reader(document.RootElement, source);
            try
            {
                return Read(reader, fallbackSize);
            }
            catch (Exception e) when (e is InvalidOperationException or FormatException or OverflowException)
            {
                throw new InvalidDataException($"{source} has an entry of another kind than a UNet2DModel's: {e.Message}", e);
            }
        }
    }

    private static (UNetOptions Options, UNetShape Shape) Read(Reader reader, int fallbackSize)
    {
        RefuseWhatIsNotHere(reader);
        int[] channels = reader.Integers("block_out_channels", [224, 448, 672, 896]);
        string[] down = reader.Strings("down_block_types", ["DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"]);
        string[] up = reader.Strings("up_block_types", ["AttnUpBlock2D", "AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"]);
        if (channels.Length == 0 || down.Length != channels.Length || up.Length != channels.Length)
            throw reader.Error($"block_out_channels, down_block_types and up_block_types have {channels.Length}, {down.Length} and {up.Length} entries: they must be as many, at least one");
        if ((down.FirstOrDefault(type => !DownTypes.Contains(type)) ?? up.FirstOrDefault(type => !UpTypes.Contains(type))) is { } unknown)
            throw reader.Error($"block type {unknown} is not one of DownBlock2D, AttnDownBlock2D, UpBlock2D, AttnUpBlock2D");

        (int height, int width) = SampleSize(reader, fallbackSize);
        int side = Math.Min(height, width);
        int[] downAttention = [.. Enumerable.Range(0, down.Length).Where(i => down[i] == "AttnDownBlock2D").Select(i => side >> i)];
        int[] upAttention = [.. Enumerable.Range(0, up.Length).Where(i => up[up.Length - 1 - i] == "AttnUpBlock2D").Select(i => side >> i)];
        bool scaleShift = reader.Text("resnet_time_scale_shift", "default") == "scale_shift";
        int groups = reader.Integer("norm_num_groups", 32) ?? 32;
        int inputs = reader.Integer("in_channels", 3) ?? 3, outputs = reader.Integer("out_channels", 3) ?? 3;

        var options = new UNetOptions
        {
            BaseChannels = channels[0],
            ChannelMultipliers = ValueList.Create<double>([.. channels.Select(count => (double)count / channels[0])]),
            BlocksPerResolution = reader.Integer("layers_per_block", 2) ?? 2,
            AttentionResolutions = ValueList.Create<int>(downAttention),
            UpAttentionResolutions = downAttention.SequenceEqual(upAttention) ? null : ValueList.Create<int>(upAttention),
            AttentionHeads = 1,
            AttentionHeadChannels = reader.Integer("attention_head_dim", 8),
            MiddleAttention = reader.Flag("add_attention", true),
            // With scale_shift, diffusers leaves the norm of the bottleneck's attention out unless told otherwise.
            MiddleAttentionNormGroups = reader.Integer("attn_norm_num_groups", null) ?? (scaleShift ? 0 : null),
            Conditioning = scaleShift ? TimestepConditioning.ScaleShift : TimestepConditioning.Add,
            Dropout = reader.Number("dropout", 0),
            NormGroups = groups,
            NormEpsilon = reader.Number("norm_eps", 1e-5),
            CosineFirst = reader.Flag("flip_sin_to_cos", true),
            FrequencyShift = reader.Integer("freq_shift", 0) ?? 0,
            TimeEmbeddingChannels = reader.Integer("time_embedding_dim", null),
            AsymmetricDownsampling = reader.Integer("downsample_padding", 1) == 0,
            CenterInput = reader.Flag("center_input_sample", false),
            Recipe = new() { ImageSize = side },
        };
        var shape = new UNetShape(inputs, height, width, reader.Integer("num_class_embeds", null) ?? 0, LearnedVariance: outputs == 2 * inputs)
        {
            NullClass = false,
            OutputChannels = outputs == inputs || outputs == 2 * inputs ? null : outputs,
        };
        try
        {
            options.Validate(shape);
        }
        catch (ArgumentException e)
        {
            throw reader.Error(e.Message.TrimEnd('.'));
        }
        return (options, shape);
    }

    private static void RefuseWhatIsNotHere(Reader reader)
    {
        reader.Require("_class_name", "UNet2DModel", "UNet2DModel", null);
        reader.Require("time_embedding_type", "positional", "positional");
        reader.Require("mid_block_type", "UNetMidBlock2D", "UNetMidBlock2D");
        reader.Require("act_fn", "silu", "silu", "swish");
        reader.Require("downsample_type", "conv", "conv");
        reader.Require("upsample_type", "conv", "conv");
        reader.Require("resnet_time_scale_shift", "default", "default", "scale_shift");
        reader.Require("class_embed_type", null, [null]);
        if (reader.Number("mid_block_scale_factor", 1) != 1)
            throw reader.Error("mid_block_scale_factor is not 1, which networks here do not have");
        if (reader.Integer("downsample_padding", 1) is not (0 or 1))
            throw reader.Error("downsample_padding is neither 0 nor 1");
    }

    private static (int Height, int Width) SampleSize(Reader reader, int fallback)
    {
        if (reader.Find("sample_size") is not { ValueKind: not JsonValueKind.Null } size)
            return (fallback, fallback);
        return size.ValueKind == JsonValueKind.Array ? (size[0].GetInt32(), size[1].GetInt32()) : (size.GetInt32(), size.GetInt32());
    }

    /// <summary>Entries by name, with diffusers' defaults for those that are not there.</summary>
    private sealed class Reader(JsonElement root, string source)
    {
        public JsonElement? Find(string name) =>
            root.ValueKind == JsonValueKind.Object && root.TryGetProperty(name, out JsonElement value) ? value : null;

        public int? Integer(string name, int? standard) =>
            Find(name) is { } value ? value.ValueKind == JsonValueKind.Null ? null : value.GetInt32() : standard;

        public double Number(string name, double standard) =>
            Find(name) is { ValueKind: not JsonValueKind.Null } value ? value.GetDouble() : standard;

        public bool Flag(string name, bool standard) => Find(name) is { ValueKind: not JsonValueKind.Null } value ? value.GetBoolean() : standard;

        public string? Text(string name, string? standard) => Find(name) is { } value ? value.GetString() : standard;

        public int[] Integers(string name, int[] standard) =>
            Find(name) is { } value ? [.. value.EnumerateArray().Select(item => item.GetInt32())] : standard;

        public string[] Strings(string name, string[] standard) =>
            Find(name) is { } value ? [.. value.EnumerateArray().Select(item => item.GetString() ?? "null")] : standard;

        public void Require(string name, string? standard, params string?[] known)
        {
            string? value = Text(name, standard);
            if (!known.Contains(value))
                throw Error(string.Create(CultureInfo.InvariantCulture, $"{name} is {value ?? "null"}, which networks here do not have"));
        }

        public InvalidDataException Error(string what) => new($"{source} cannot be read as a U-Net: {what}.");
    }
}
