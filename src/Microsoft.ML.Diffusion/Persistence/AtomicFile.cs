namespace Microsoft.ML.Diffusion;

/// <summary>Writes whole files: a reader sees the old content or the new, never a part, whatever happens in between.</summary>
internal static class AtomicFile
{
    /// <summary>Writes beside the file, brings the bytes to the disk, then takes the file's place in one step.</summary>
    /// <param name="path">The file; replaced where it exists.</param>
    /// <param name="write">Writes the content. Where it throws, the file stays as it was and nothing is left behind.</param>
    /// <exception cref="DirectoryNotFoundException">The folder does not exist.</exception>
    public static void Write(string path, Action<Stream> write)
    {
        string full = Path.GetFullPath(path);
        // The same folder, because a rename is atomic only within one file system.
        string temporary = $"{full}.{Guid.NewGuid():N}.tmp";
        try
        {
            using (var stream = new FileStream(temporary, FileMode.CreateNew, FileAccess.ReadWrite, FileShare.None, bufferSize: 1 << 16))
            {
                write(stream);
                stream.Flush(flushToDisk: true);
            }
            File.Move(temporary, full, overwrite: true);
        }
        catch
        {
            File.Delete(temporary);
            throw;
        }
    }
}
