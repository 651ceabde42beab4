using System.Text.Json;

namespace Microsoft.ML.Diffusion.Tests;

/// <summary>Section E: diffusers' UNet2DModel: outputs of weights in the hub's layout, names of the published checkpoints, old and new.</summary>
[TestClass]
public sealed class DiffusersParityTests
{
    private static readonly JsonElement Published = ParityData.Json("e_full_parameter_names.json");

    public static IEnumerable<object[]> Cases => DiffusersUNetCase.Names.Select(name => new object[] { name });

    public static IEnumerable<object[]> Checkpoints =>
        from checkpoint in Published.EnumerateObject()
        from old in new[] { true, false }
        select new object[] { checkpoint.Name, old };

    [TestMethod]
    [TestCategory(ParityData.Category)]
    [DynamicData(nameof(Cases))]
    public void Output(string name)
    {
        using var scope = NewDisposeScope();
        using var untracked = no_grad();
        using var unet = new DiffusersUNetCase(name);
        var output = unet.Network.forward(unet.Data["x"], unet.Data["t"], unet.Labels);
        new Tolerance(1e-5).Check(unet.Data["output"], output, "output");
    }

    [TestMethod]
    [TestCategory(ParityData.Category)]
    [DynamicData(nameof(Cases))]
    public void NamesAndShapes(string name)
    {
        using var unet = new DiffusersUNetCase(name);
        CollectionAssert.AreEquivalent(Listed(unet.Description.GetProperty("parameter_names")), Listed(unet.Map));
        Assert.AreEqual(unet.Description.Int("num_parameters"), unet.Network.parameters().Sum(parameter => parameter.numel()));
    }

    [TestMethod]
    [TestCategory(ParityData.Category)]
    [DynamicData(nameof(Cases))]
    public void WeightsComeBackAsTheyWere(string name)
    {
        using var scope = NewDisposeScope();
        using var unet = new DiffusersUNetCase(name);
        using var file = SafetensorsFile.Open(unet.WeightFile);
        var exported = unet.Map.Export(unet.Network).ToDictionary(entry => entry.Name, entry => entry.Tensor);
        CollectionAssert.AreEquivalent(file.Entries.Select(entry => entry.Name).ToArray(), exported.Keys.ToArray());
        foreach (var entry in file.Entries)
            CollectionAssert.AreEqual(Tolerance.Values(file.Read(entry.Name)), Tolerance.Values(exported[entry.Name]), entry.Name);
    }

    [TestMethod]
    [TestCategory(ParityData.Category)]
    [DynamicData(nameof(Checkpoints))]
    public void PublishedCheckpoint(string name, bool oldNames)
    {
        var checkpoint = Published.GetProperty(name);
        var (options, shape) = DiffusersConfig.Read(checkpoint.GetProperty("config").GetRawText());
        var renamed = checkpoint.GetProperty("renamed_in_current_diffusers").EnumerateObject().ToDictionary(entry => entry.Name, entry => entry.Value.GetString()!);
        var want = checkpoint.GetProperty("parameters_old_names").EnumerateObject()
            .Select(entry => Line(!oldNames && renamed.TryGetValue(entry.Name, out var current) ? current : entry.Name, entry.Value.EnumerateArray().Select(side => side.GetInt64())));

        var map = ParameterNames.Diffusers(options, shape, oldNames);
        CollectionAssert.AreEquivalent(want.ToArray(), Listed(map));
        Assert.AreEqual(checkpoint.Int("total_parameters"), options.CountParameters(shape));
    }

    private static string[] Listed(JsonElement names) =>
        [.. names.EnumerateObject().Select(entry => Line(entry.Name, entry.Value.EnumerateArray().Select(side => side.GetInt64())))];

    private static string[] Listed(ParameterMap map) => [.. map.ReferenceParameters.Select(parameter => Line(parameter.Name, parameter.Shape))];

    private static string Line(string name, IEnumerable<long> shape) => $"{name} [{string.Join(", ", shape)}]";
}
