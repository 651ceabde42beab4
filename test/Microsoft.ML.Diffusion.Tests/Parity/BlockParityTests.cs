using System.Text.Json;

namespace Microsoft.ML.Diffusion.Tests;

/// <summary>Section G: blocks of denoising-diffusion-pytorch and of the annotated model, loaded by their own parameter names.</summary>
[TestClass]
public sealed class BlockParityTests
{
    private const string File = "g_blocks.safetensors";

    private static readonly JsonElement Description = ParityData.Json("g_blocks.json");

    public static IEnumerable<object[]> Cases => Description.GetProperty("cases").EnumerateArray().Select(block => new object[] { block.Text("name") });

    [TestMethod]
    [TestCategory(ParityData.Category)]
    [DynamicData(nameof(Cases))]
    public void Block(string name)
    {
        using var scope = NewDisposeScope();
        using var untracked = no_grad();
        using var data = ParityData.Tensors(File);
        JsonElement description = Description.GetProperty("cases").EnumerateArray().Single(candidate => candidate.Text("name") == name);
        nn.Module module = Build(name, description, data["x"].shape[1]);
        Load(module, name, data, description);

        using var activated = nn.functional.silu(data["time_emb"]);
        var output = module switch
        {
            AnnotatedResidualBlock block => block.forward(data["x"], description.Bool("uses_time_emb") ? block.Projection!.forward(activated) : null),
            nn.Module<Tensor, Tensor> plain => plain.forward(data["x"]),
            _ => throw new AssertFailedException($"'{name}' is a module of an unknown kind."),
        };
        new Tolerance(name.StartsWith("ws_conv", StringComparison.Ordinal) ? 1e-4 : 2e-5).Check(data[$"{name}/output"], output, name);
    }

    private static nn.Module Build(string name, JsonElement description, long inputs)
    {
        JsonElement config = Description.GetProperty("config");
        int channels = (int)inputs, heads = config.Int("heads"), width = config.Int("dh"), groups = config.Int("groups"), time = config.Int("temb");
        int outputs = description.GetProperty("output_shape")[1].GetInt32();
        using var generator = new Generator(0);
        var init = new WeightInitializer(WeightInitialization.KaimingUniform, generator);
        int Memory(int dimension) => description.GetProperty("parameters").GetProperty("mem_kv")[dimension].GetInt32();
        AnnotatedResidualBlock Residual(AnnotatedBlockStyle style) => new(channels, outputs, description.Bool("uses_time_emb") ? time : 0, style with { Groups = groups }, init);
        LinearAttention Linear(LinearAttentionStyle style) => new(channels, heads, width, style, 1e-5, init);

        var kinds = new Dictionary<string, Func<nn.Module>>
        {
            ["ws_conv_add_eps"] = () => new WeightStandardizedConv2d(channels, outputs, 3, StandardizationRule.AddEpsilon, init),
            ["ws_conv_clamp_eps"] = () => new WeightStandardizedConv2d(channels, outputs, 3, StandardizationRule.ClampVariance, init),
            ["resnet_block_ws"] = () => Residual(new()),
            ["resnet_block_head"] = () => Residual(new(Standardization: null, RootMeanSquare: true)),
            ["resnet_block_early_annotated"] = () => Residual(new(Standardization: null, Conditioning: TimestepConditioning.Add)),
            ["linear_attention_ln"] = () => Linear(new(OutputNorm.Channels, DivideValues: true)),
            ["linear_attention_head"] = () => Linear(new(OutputNorm.RootMeanSquare, PreNorm: true, MemoryTokens: Memory(3))),
            ["linear_attention_annotated_gn1"] = () => Linear(new()),
            ["prenorm_residual_linear_attention_gn1"] = () => new PreNormResidual(channels, Linear(new()), 1e-5, init),
            ["attention_cosine"] = () => new PixelAttention(channels, heads, width, new(Cosine: true), init),
            ["attention_plain"] = () => new PixelAttention(channels, heads, width, new(), init),
            ["attention_head"] = () => new PixelAttention(channels, heads, width, new(PreNorm: true, MemoryTokens: Memory(2)), init),
            ["downsample_unshuffle"] = () => new UnshuffleDownsample(channels, outputs, init),
            ["upsample_nearest"] = () => new Upsample(channels, outputs, true, init),
            ["rmsnorm"] = () => new RmsNorm2d(channels, init),
            ["layernorm_channel"] = () => new ChannelLayerNorm(channels, init),
        };
        string? kind = kinds.Keys.Where(candidate => name.StartsWith(candidate, StringComparison.Ordinal)).MaxBy(candidate => candidate.Length);
        return kind is null ? throw new AssertFailedException($"'{name}' is a block of an unknown kind.") : kinds[kind]();
    }

    private static void Load(nn.Module module, string name, ParityTensors data, JsonElement description)
    {
        var wanted = description.GetProperty("parameters").EnumerateObject().Select(entry => entry.Name).ToHashSet();
        bool linear = name.Contains("linear_attention", StringComparison.Ordinal);
        foreach (var (ours, parameter) in module.named_parameters())
        {
            // Norms of one gain call it g, and give it the image's dimensions.
            string reference = ParameterNames.DenoisingDiffusionPytorch(ours, linear);
            string[] candidates = [reference, ours, reference.Replace(".weight", ".g", StringComparison.Ordinal), ours.Replace("weight", "g", StringComparison.Ordinal), ours.Replace("conv.", "1.", StringComparison.Ordinal)];
            string found = candidates.First(wanted.Contains);
            wanted.Remove(found);
            parameter.copy_(data[$"{name}/w/{found}"].reshape(parameter.shape));
        }
        Assert.AreEqual(0, wanted.Count, $"not loaded: {string.Join(", ", wanted)}");
    }
}
