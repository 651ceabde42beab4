namespace Microsoft.ML.Diffusion;

/// <summary>
/// The door to ML.NET's own model file. Its types are internal in Microsoft.ML.Core, so this assembly alone is compiled against
/// their shapes; towards the library it shows only types of the base class library.
/// </summary>
internal static class ModelFile
{
    /// <summary>The name that the model file and ML.NET's component catalog know the loader by; at most 24 characters.</summary>
    internal const string LoadName = "DiffusionDdpm";

    // What the entries mean is versioned by the library in the entries themselves, with messages of its own;
    // this number changes only if an ML.NET header ever has to say something else.
    internal static VersionInfo Version => new(
        modelSignature: "DDPMDIFF",
        verWrittenCur: 0x00010001,
        verReadableCur: 0x00010001,
        verWeCanReadBack: 0x00010001,
        loaderAssemblyName: typeof(ModelFile).Assembly.FullName,
        loaderSignature: LoadName);

    /// <summary>Begins a transformer's part of a model file.</summary>
    /// <param name="modelSaveContext">The ModelSaveContext that ML.NET hands to the transformer.</param>
    /// <returns>Writes one entry: its name, and what writes its bytes.</returns>
    internal static Action<string, Action<Stream>> Begin(object modelSaveContext)
    {
        var context = (ModelSaveContext)modelSaveContext;
        context.CheckAtModel();
        context.SetVersionInfo(Version);
        return (name, write) =>
        {
            using var stored = StoredEntry.TryOpen(context, name);
            if (stored is not null)
                write(stored);
            else
                context.SaveBinaryStream(name, writer => write(writer.BaseStream));
        };
    }
}
