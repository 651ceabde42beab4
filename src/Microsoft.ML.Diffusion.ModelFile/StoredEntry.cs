using System.IO.Compression;
using System.Reflection;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// Entries that are stored as they are. ML.NET deflates every entry, by way of a temporary file; trained weights do not
/// deflate (7 % at 30 MB/s), so that is nearly all the time that saving takes. The archive behind the context takes stored entries as well,
/// and ML.NET reads both. It is a private field, so this is a shortcut only: where it is not found, the entry goes the ordinary way.
/// </summary>
internal static class StoredEntry
{
    private const BindingFlags Any = BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic;

    /// <summary>Opens an entry in the transformer's own folder of the archive, or returns null where there is no shortcut.</summary>
    internal static Stream? TryOpen(ModelSaveContext context, string name)
    {
        object? repository = FieldOf(context, "Repository");
        if (repository is null || FieldOf(repository, "_archive") is not ZipArchive { Mode: ZipArchiveMode.Create } archive)
            return null;
        string directory = FieldOf(context, "Directory") as string ?? "";
        string path = Path.Combine(directory, name).Replace('\\', '/');
        return archive.CreateEntry(path, CompressionLevel.NoCompression).Open();
    }

    private static object? FieldOf(object owner, string name) => owner.GetType().GetField(name, Any)?.GetValue(owner);
}
