using TorchSharp;

namespace Microsoft.ML.Diffusion;

/// <summary>Writes a transformer into ML.NET's model file, and makes it again from there. ModelFile's loader finds this by its name.</summary>
internal static class DdpmModelLoader
{
    /// <summary>Writes a transformer.</summary>
    /// <param name="context">Where to.</param>
    /// <param name="transformer">What to write.</param>
    public static void Save(ModelSaveContext context, DdpmTransformer transformer)
    {
        var model = transformer.Model;
        string info = (model.Info with { Generation = transformer.Settings }).ToJson();
        DdpmModelFile.Save(context, new DdpmModelDocument(info, [.. model.Network.state_dict().Select(entry => (entry.Key, entry.Value))]));
    }

    /// <summary>Makes the transformer of a model file.</summary>
    /// <param name="env">ML.NET's environment.</param>
    /// <param name="readEntry">Reads an entry by name; false where there is none.</param>
    /// <exception cref="InvalidDataException">The file is damaged or of an unknown version.</exception>
    /// <exception cref="InvalidOperationException">libtorch is missing.</exception>
    public static object Load(object env, Func<string, Action<Stream>, bool> readEntry)
    {
        LibTorch.EnsureLoaded();
        DenoisingNetwork? network = null;
        try
        {
            DdpmModelInfo? info = null;
            DdpmModelFile.Load(readEntry, json =>
            {
                info = DdpmModelInfo.FromJson(json);
                network = info.Network.BuildUninitialized(info.Shape);
                return network.state_dict().Select(entry => (entry.Key, entry.Value));
            });
            return new DdpmTransformer(new DdpmModel(info!, network!, CPU), info!.Generation);
        }
        catch
        {
            network?.Dispose();
            throw;
        }
    }
}
