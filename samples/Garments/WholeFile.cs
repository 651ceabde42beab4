namespace Garments;

/// <summary>Files that appear under their name only when whole.</summary>
internal static class WholeFile
{
    /// <param name="path">The file's final name.</param>
    /// <param name="write">Writes the file under the temporary name it is given, which keeps the extension.</param>
    public static void Write(string path, Action<string> write)
    {
        string partial = Path.ChangeExtension(path, $".partial{Path.GetExtension(path)}");
        try
        {
            write(partial);
            File.Move(partial, path, overwrite: true);
        }
        finally
        {
            File.Delete(partial);
        }
    }
}
