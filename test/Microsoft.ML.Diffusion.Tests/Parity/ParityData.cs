using System.Text.Json;

namespace Microsoft.ML.Diffusion.Tests;

/// <summary>The folder of golden vectors: DIFFUSION_PARITY, or the project's copy.</summary>
internal static class ParityData
{
    /// <summary>The category of every test that reads the folder.</summary>
    public const string Category = "Parity";

    public static string Folder { get; } = Environment.GetEnvironmentVariable("DIFFUSION_PARITY") is { Length: > 0 } named
        ? Path.GetFullPath(named)
        : Path.Combine(AppContext.BaseDirectory, "Parity", "data");

    /// <summary>The full path of a file or folder in there.</summary>
    public static string PathOf(params string[] parts) => Path.Combine([Folder, .. parts]);

    /// <summary>A JSON file; the elements stay valid.</summary>
    public static JsonElement Json(params string[] parts)
    {
        using var document = JsonDocument.Parse(File.ReadAllBytes(PathOf(parts)));
        return document.RootElement.Clone();
    }

    /// <summary>Every tensor of a safetensors file.</summary>
    public static ParityTensors Tensors(params string[] parts) => new(PathOf(parts));

    /// <summary>The tensors' names in a safetensors file, in order, without their data.</summary>
    public static string[] Names(params string[] parts)
    {
        using var file = SafetensorsFile.Open(PathOf(parts));
        return [.. file.Entries.Select(entry => entry.Name).Order(StringComparer.Ordinal)];
    }

    public static int Int(this JsonElement element, string name) => element.GetProperty(name).GetInt32();

    public static double Double(this JsonElement element, string name) => element.GetProperty(name).GetDouble();

    public static bool Bool(this JsonElement element, string name) => element.GetProperty(name).GetBoolean();

    public static string Text(this JsonElement element, string name) => element.GetProperty(name).GetString()!;

    public static int[] Ints(this JsonElement element, string name) => [.. element.GetProperty(name).EnumerateArray().Select(value => value.GetInt32())];

    public static double[] Doubles(this JsonElement element, string name) => [.. element.GetProperty(name).EnumerateArray().Select(value => value.GetDouble())];
}

/// <summary>The tensors of one file, by name; disposes them.</summary>
internal sealed class ParityTensors : IDisposable
{
    private readonly Dictionary<string, Tensor> _tensors;

    public ParityTensors(string path)
    {
        using var file = SafetensorsFile.Open(path);
        _tensors = file.ReadAll();
    }

    public IEnumerable<string> Names => _tensors.Keys;

    public Tensor this[string name] => _tensors.TryGetValue(name, out var tensor) ? tensor : throw new AssertFailedException($"The parity file holds no tensor '{name}'.");

    public bool Has(string name) => _tensors.ContainsKey(name);

    public void Dispose()
    {
        foreach (var tensor in _tensors.Values)
            tensor.Dispose();
    }
}
