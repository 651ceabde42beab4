using System.Text.Json;

namespace Microsoft.ML.Diffusion.Tests;

/// <summary>A network of section D, built from its description and filled by the reference's own parameter names.</summary>
internal sealed class ImprovedUNetCase : IDisposable
{
    private static readonly JsonElement Descriptions = ParityData.Json("d_unet.json");

    public static IEnumerable<string> Names => Descriptions.EnumerateArray().Select(description => description.Text("name"));

    public ImprovedUNetCase(string name)
    {
        Description = Descriptions.EnumerateArray().Single(candidate => candidate.Text("name") == name);
        Data = ParityData.Tensors(Description.Text("file"));
        JsonElement config = Description.GetProperty("config");
        long[] size = Data["x"].shape;
        int side = (int)Math.Min(size[2], size[3]);
        int inputs = config.Int("in_channels"), outputs = config.Int("out_channels");
        int? up = Optional(config, "num_heads_upsample");
        var options = new UNetOptions
        {
            BaseChannels = config.Int("model_channels"),
            ChannelMultipliers = ValueList.Create<double>(config.Doubles("channel_mult")),
            BlocksPerResolution = config.Int("num_res_blocks"),
            AttentionResolutions = ValueList.Create<int>([.. config.Ints("attention_resolutions").Where(factor => factor <= 1 << (config.Doubles("channel_mult").Length - 1)).Select(factor => side / factor)]),
            AttentionHeads = Optional(config, "num_heads") ?? 1,
            UpAttentionHeads = up is null or -1 ? null : up,
            Conditioning = Flag(config, "use_scale_shift_norm", false) ? TimestepConditioning.ScaleShift : TimestepConditioning.Add,
            NormEpsilon = 1e-5,
            ConvolutionalResampling = Flag(config, "conv_resample", true),
        };
        var shape = new UNetShape(inputs, (int)size[2], (int)size[3], Optional(config, "num_classes") ?? 0, outputs == 2 * inputs)
        {
            NullClass = false,
            OutputChannels = outputs == inputs || outputs == 2 * inputs ? null : outputs,
        };
        Map = ParameterNames.ImprovedDiffusion(options, shape);
        using var generator = new Generator(0);
        Network = (UNet)options.Build(shape, generator);
        Network.eval();
        LoadWeights();
    }

    public JsonElement Description { get; }

    public ParityTensors Data { get; }

    public ParameterMap Map { get; }

    public UNet Network { get; }

    public Tensor? Labels => Data.Has("y") ? Data["y"] : null;

    public void Dispose()
    {
        Data.Dispose();
        Network.Dispose();
    }

    private void LoadWeights()
    {
        string weights = Description.Text("weights");
        if (weights != "rule")
        {
            using var file = SafetensorsFile.Open(ParityData.PathOf(weights));
            Map.Load(Network, [.. file.Entries.Select(entry => entry.Name)], file.Read, weights);
            return;
        }
        var shapes = Description.GetProperty("state_dict").EnumerateObject().ToDictionary(
            entry => entry.Name, entry => entry.Value.EnumerateArray().Select(side => side.GetInt64()).ToArray());
        ulong seed = (ulong)Description.Int("weight_seed");
        Map.Load(Network, shapes.Keys, name => HashWeights.Make(name, shapes[name], seed), "the rule of the golden vectors");
    }

    private static int? Optional(JsonElement config, string name) =>
        config.TryGetProperty(name, out JsonElement value) && value.ValueKind == JsonValueKind.Number ? value.GetInt32() : null;

    private static bool Flag(JsonElement config, string name, bool standard) =>
        config.TryGetProperty(name, out JsonElement value) ? value.GetBoolean() : standard;
}
