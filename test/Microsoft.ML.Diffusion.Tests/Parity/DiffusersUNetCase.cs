using System.Text.Json;

namespace Microsoft.ML.Diffusion.Tests;

/// <summary>A network of section E, read from a folder in the layout of the model hub, flat or with a sub-folder unet.</summary>
internal sealed class DiffusersUNetCase : IDisposable
{
    private static readonly JsonElement Descriptions = ParityData.Json("e_hf.json");

    public static IEnumerable<string> Names => Descriptions.EnumerateArray().Select(description => description.Text("name"));

    public DiffusersUNetCase(string name)
    {
        Description = Descriptions.EnumerateArray().Single(candidate => candidate.Text("name") == name);
        Data = ParityData.Tensors(Description.Text("io"));
        string folder = ParityData.PathOf(Description.Text("folder"));
        if (!File.Exists(Path.Combine(folder, "config.json")))
            folder = Path.Combine(folder, "unet");
        WeightFile = Path.Combine(folder, "diffusion_pytorch_model.safetensors");

        var (options, shape) = DiffusersConfig.Read(File.ReadAllText(Path.Combine(folder, "config.json")));
        using var file = SafetensorsFile.Open(WeightFile);
        string[] names = [.. file.Entries.Select(entry => entry.Name)];
        Map = ParameterNames.Diffusers(options, shape, names);
        using var generator = new Generator(0);
        Network = options.Build(shape, generator);
        Map.Load(Network, names, file.Read, WeightFile);
        Network.eval();
    }

    public JsonElement Description { get; }

    /// <summary>Inputs and outputs: x, t, output, and the trajectories where there are any.</summary>
    public ParityTensors Data { get; }

    public ParameterMap Map { get; }

    public DenoisingNetwork Network { get; }

    public string WeightFile { get; }

    public Tensor? Labels => Data.Has("class_labels") ? Data["class_labels"] : Data.Has("y") ? Data["y"] : null;

    public void Dispose()
    {
        Data.Dispose();
        Network.Dispose();
    }
}
