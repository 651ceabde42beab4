using System.Text;
using System.Text.Json;

namespace Microsoft.ML.Diffusion.Tests;

[TestClass]
public sealed class DdpmModelFileTests
{
    private const string Config = """{"network":{"channels":[32,64]},"timesteps":1000}""";

    [TestMethod]
    public void ComesBackAsItWasSaved()
    {
        using var scope = NewDisposeScope();
        var weights = Weights();
        var entries = Save(weights);
        CollectionAssert.AreEquivalent(new[] { "ddpm.json", "weights.safetensors" }, entries.Keys.ToArray());

        string? config = null;
        var loaded = Empty();
        DdpmModelFile.Load(Reader(entries), json =>
        {
            config = json;
            return loaded;
        });
        Assert.AreEqual(Config, config);
        foreach (var ((name, expected), (_, actual)) in weights.Zip(loaded))
            Assert.IsTrue(expected.Equals(actual), name);

        CollectionAssert.AreEqual(entries["weights.safetensors"], Save(loaded)["weights.safetensors"]);
        CollectionAssert.AreEqual(entries["ddpm.json"], Save(loaded)["ddpm.json"]);
    }

    [TestMethod]
    public void ANewerVersionIsRefusedBeforeAnythingIsBuilt()
    {
        using var scope = NewDisposeScope();
        var entries = Save(Weights());
        entries["ddpm.json"] = Encoding.UTF8.GetBytes(Encoding.UTF8.GetString(entries["ddpm.json"]).Replace("\"version\": 1", "\"version\": 2", StringComparison.Ordinal));
        var error = Assert.ThrowsExactly<InvalidDataException>(() => DdpmModelFile.Load(Reader(entries), _ => throw new AssertFailedException()));
        StringAssert.Contains(error.Message, "format version 2");
        StringAssert.Contains(error.Message, "update the package");
    }

    [TestMethod]
    [DataRow("ddpm.json")]
    [DataRow("weights.safetensors")]
    public void AMissingPartIsNamed(string part)
    {
        using var scope = NewDisposeScope();
        var entries = Save(Weights());
        entries.Remove(part);
        var error = Assert.ThrowsExactly<InvalidDataException>(() => DdpmModelFile.Load(Reader(entries), _ => Empty()));
        StringAssert.Contains(error.Message, part);
        StringAssert.Contains(error.Message, "missing");
    }

    [TestMethod]
    [DataRow("ddpm.json")]
    [DataRow("weights.safetensors")]
    public void EveryTruncationIsRefused(string part)
    {
        using var scope = NewDisposeScope();
        var entries = Save(Weights());
        byte[] whole = entries[part];
        for (int length = 0; length < whole.Length; length += 1 + whole.Length / 97)
        {
            entries[part] = whole[..length];
            var error = Assert.ThrowsExactly<InvalidDataException>(() => DdpmModelFile.Load(Reader(entries), _ => Empty()), $"{length} bytes");
            StringAssert.Contains(error.Message, part);
        }
    }

    [TestMethod]
    public void EveryFlippedBitInTheWeightsIsNoticed()
    {
        using var scope = NewDisposeScope();
        var entries = Save(Weights());
        byte[] whole = entries["weights.safetensors"];
        for (int i = 0; i < whole.Length; i += 1 + whole.Length / 97)
        {
            byte[] flipped = [.. whole];
            flipped[i] ^= 0x10;
            entries["weights.safetensors"] = flipped;
            var error = Assert.ThrowsExactly<InvalidDataException>(() => DdpmModelFile.Load(Reader(entries), _ => Empty()), $"byte {i}");
            StringAssert.Contains(error.Message, "weights.safetensors");
        }
    }

    [TestMethod]
    public void WhatTheContainerCannotReadIsNamedToo()
    {
        var error = Assert.ThrowsExactly<InvalidDataException>(() => DdpmModelFile.Load((_, _) => throw new InvalidDataException("unknown block type"), _ => []));
        StringAssert.Contains(error.Message, "ddpm.json");
        StringAssert.Contains(error.Message, "unknown block type");
    }

    [TestMethod]
    [DataRow("")]
    [DataRow("[]")]
    [DataRow("{\"a\":")]
    public void TheConfigurationMustBeAJsonObject(string config) =>
        Assert.ThrowsExactly<ArgumentException>(() => DdpmModelFile.Write((_, _) => { }, new DdpmModelDocument(config, [])));

    [TestMethod]
    public void TheManifestTellsVersionLengthAndHash()
    {
        using var scope = NewDisposeScope();
        var entries = Save(Weights());
        using var manifest = JsonDocument.Parse(entries["ddpm.json"]);
        var weights = manifest.RootElement.GetProperty("weights");
        Assert.AreEqual(1, manifest.RootElement.GetProperty("version").GetInt32());
        Assert.AreEqual(entries["weights.safetensors"].Length, weights.GetProperty("length").GetInt64());
        Assert.AreEqual(Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(entries["weights.safetensors"])), weights.GetProperty("sha256").GetString());
    }

    private static (string Name, Tensor Tensor)[] Weights() =>
        [("conv.weight", arange(72, dtype: ScalarType.Float32).reshape(4, 2, 3, 3)), ("conv.bias", ones(4)), ("steps", tensor(new[] { 12345L }))];

    private static (string Name, Tensor Tensor)[] Empty() =>
        [("conv.weight", zeros(4, 2, 3, 3)), ("conv.bias", zeros(4)), ("steps", zeros(1, dtype: ScalarType.Int64))];

    private static Dictionary<string, byte[]> Save(IEnumerable<(string Name, Tensor Tensor)> weights)
    {
        var entries = new Dictionary<string, byte[]>();
        DdpmModelFile.Write(
            (name, write) =>
            {
                using var stream = new MemoryStream();
                write(stream);
                entries.Add(name, stream.ToArray());
            },
            new DdpmModelDocument(Config, weights));
        return entries;
    }

    private static Func<string, Action<Stream>, bool> Reader(Dictionary<string, byte[]> entries) => (name, read) =>
    {
        if (!entries.TryGetValue(name, out byte[]? bytes))
            return false;
        read(new MemoryStream(bytes));
        return true;
    };
}
