namespace Microsoft.ML.Diffusion;

/// <summary>A look at a PNG or JPEG file without decoding it: decoders differ in what they let pass, and some show half a picture.</summary>
internal static class PictureFile
{
    private const string Advice = "Replace it or take it out of the folder.";

    // Cameras and editors append a little behind the picture's own end.
    private const int Tail = 1 << 16;

    private static ReadOnlySpan<byte> PngStart => [0x89, (byte)'P', (byte)'N', (byte)'G', 0x0d, 0x0a, 0x1a, 0x0a];

    private static ReadOnlySpan<byte> JpegStart => [0xff, 0xd8, 0xff];

    private static ReadOnlySpan<byte> JpegEnd => [0xff, 0xd9];

    /// <summary>Whether a file's name ends as a picture's does: .png, .jpg or .jpeg, in any case.</summary>
    public static bool HasPictureName(string path) => Path.GetExtension(path).ToUpperInvariant() is ".PNG" or ".JPG" or ".JPEG";

    /// <summary>Refuses a file that does not begin as PNG or JPEG, or lacks their end.</summary>
    /// <exception cref="InvalidDataException">It is neither, or cut short.</exception>
    public static void Check(string path)
    {
        using FileStream file = new(path, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 0);
        Span<byte> start = stackalloc byte[8];
        start = start[..file.ReadAtLeast(start, start.Length, throwOnEndOfStream: false)];
        bool png = start.SequenceEqual(PngStart);
        if (!png && !start.StartsWith(JpegStart))
        {
            throw new InvalidDataException($"'{path}' is named like a picture and {(start.IsEmpty ? "is empty" : "does not begin as PNG or JPEG files do")}. {Advice}");
        }

        var end = new byte[Math.Min(Tail, file.Length)];
        file.Seek(-end.Length, SeekOrigin.End);
        file.ReadExactly(end);
        if (end.AsSpan().LastIndexOf(png ? "IEND"u8 : JpegEnd) < 0)
        {
            throw new InvalidDataException($"'{path}' ends before its picture does: it is cut short. {Advice}");
        }
    }
}
