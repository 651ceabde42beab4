using BenchmarkDotNet.Attributes;

namespace Microsoft.ML.Diffusion.Benchmarks;

/// <summary>Weights to a .safetensors file and back: 9.6 million parameters, 38 MB.</summary>
[MemoryDiagnoser]
public class SafetensorsBenchmarks
{
    private readonly string _path = Path.Combine(Path.GetTempPath(), $"{Guid.NewGuid():N}.safetensors");
    private DenoisingNetwork _network = null!;

    /// <summary>Builds the network and writes a first file.</summary>
    [GlobalSetup]
    public void SetUp()
    {
        _network = UNetOptions.Compact.Build(new UNetShape(3, 32, 32, 0, false), new Generator(1, CPU));
        Save();
    }

    /// <summary>Removes the file.</summary>
    [GlobalCleanup]
    public void Clean()
    {
        File.Delete(_path);
        _network.Dispose();
    }

    /// <summary>Writes.</summary>
    [Benchmark]
    public void Save() => SafetensorsFile.Write(_path, _network.named_parameters().Select(p => (p.name, (Tensor)p.parameter)));

    /// <summary>Reads into the network.</summary>
    [Benchmark]
    public void Load()
    {
        using var off = no_grad();
        using SafetensorsFile file = SafetensorsFile.Open(_path);
        file.ReadInto(_network.named_parameters().Select(p => (p.name, (Tensor)p.parameter)));
    }
}
