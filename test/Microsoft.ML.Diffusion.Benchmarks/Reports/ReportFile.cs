using Garments;

namespace Microsoft.ML.Diffusion.Benchmarks;

/// <summary>Text files that appear only when whole, and parts of documents that a command writes.</summary>
internal static class ReportFile
{
    /// <summary>Writes a file and says so.</summary>
    public static void Write(string path, string text)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(path))!);
        WholeFile.Write(path, partial => File.WriteAllText(partial, text));
        Console.WriteLine($"Wrote {path}");
    }

    /// <summary>Replaces what stands in a document between the comments 'NAME:begin' and 'NAME:end'.</summary>
    /// <exception cref="InvalidDataException">The document has no such place.</exception>
    public static void WriteBetweenMarkers(string path, string name, string text)
    {
        string begin = $"<!-- {name}:begin -->", end = $"<!-- {name}:end -->";
        string document = File.ReadAllText(path);
        int from = document.IndexOf(begin, StringComparison.Ordinal), to = document.IndexOf(end, StringComparison.Ordinal);
        if (from < 0 || to < from)
            throw new InvalidDataException($"'{path}' has no lines '{begin}' and '{end}' to write between.");
        Write(path, $"{document[..(from + begin.Length)]}\n{text.TrimEnd('\n')}\n{document[to..]}");
    }
}
