using System.Globalization;

namespace Microsoft.ML.Diffusion.Tests;

/// <summary>Section C: sinusoidal embeddings of timesteps, one test a tensor.</summary>
[TestClass]
public sealed class TimestepEmbeddingParityTests
{
    private const string File = "c_timestep_embedding.safetensors";

    public static IEnumerable<object[]> Cases => ParityData.Names(File).Where(name => name != "t").Select(name => new object[] { name });

    [TestMethod]
    [TestCategory(ParityData.Category)]
    [DynamicData(nameof(Cases))]
    public void Embedding(string name)
    {
        using var scope = NewDisposeScope();
        using var data = ParityData.Tensors(File);
        string[] parts = name.Split('/');
        int Setting(string key, int standard) => parts.FirstOrDefault(part => part.StartsWith(key, StringComparison.Ordinal)) is { } part
            ? int.Parse(part[key.Length..], CultureInfo.InvariantCulture)
            : standard;

        var (cosineFirst, shift) = parts[0] switch
        {
            "improved" => (true, 0),
            "ho" or "lucid" => (false, 1),
            "diffusers" => (Setting("flip", 1) == 1, Setting("shift", 0)),
            _ => throw new AssertFailedException($"'{name}' is an embedding of an unknown kind."),
        };
        var embedding = new TimestepEmbedding(Setting("dim", 0), cosineFirst, shift, Setting("period", 10_000));
        new Tolerance(2e-4).Check(data[name], embedding.Embed(data["t"]), name);
    }
}
