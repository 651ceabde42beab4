namespace Microsoft.ML.Data;

public enum MLPixelFormat
{
    Unknown = 0,
    Bgra32 = 1,
    Rgba32 = 2,
}

/// <remarks>Colours are premultiplied with alpha, as the bitmaps of the real package are.</remarks>
public sealed class MLImage : IDisposable
{
    private static readonly HashSet<string> _knownExtensions = new(StringComparer.OrdinalIgnoreCase)
    {
        ".bmp", ".png", ".jpg", ".jpeg", ".gif", ".ico", ".astc", ".avif", ".dng", ".heif", ".ktx", ".pkm", ".wbmp", ".webp",
    };

    private readonly int _width;
    private readonly int _height;
    private readonly MLPixelFormat _format;
    private byte[] _pixels;
    private string _tag;

    internal MLImage(int width, int height, MLPixelFormat format, byte[] pixels)
    {
        _width = width;
        _height = height;
        _format = format;
        _pixels = pixels;
    }

    public static MLImage CreateFromStream(Stream imageStream)
    {
        ArgumentNullException.ThrowIfNull(imageStream);
        using var content = new MemoryStream();
        imageStream.CopyTo(content);
        return PixbufCodec.Decode(content.GetBuffer().AsSpan(0, (int)content.Length))
            ?? throw new ArgumentException("Invalid input stream contents", nameof(imageStream));
    }

    public static MLImage CreateFromFile(string imagePath)
    {
        ArgumentNullException.ThrowIfNull(imagePath);
        // A file that is not there and one that holds no image are the same mistake here.
        return (File.Exists(imagePath) ? PixbufCodec.Decode(File.ReadAllBytes(imagePath)) : null)
            ?? throw new ArgumentException("Invalid path", nameof(imagePath));
    }

    public static MLImage CreateFromPixels(int width, int height, MLPixelFormat pixelFormat, ReadOnlySpan<byte> imagePixelData)
    {
        if (pixelFormat is not (MLPixelFormat.Bgra32 or MLPixelFormat.Rgba32))
            throw new ArgumentException("Unsupported pixel format", nameof(pixelFormat));
        if (width <= 0)
            throw new ArgumentException("Invalid width value.", nameof(width));
        if (height <= 0)
            throw new ArgumentException("Invalid height value.", nameof(height));
        if (imagePixelData.Length != width * height * 4)
            throw new ArgumentException($"Invalid {nameof(imagePixelData)} buffer size.");
        return new MLImage(width, height, pixelFormat, imagePixelData.ToArray());
    }

    public MLPixelFormat PixelFormat => Alive(_format);
    public ReadOnlySpan<byte> Pixels => Alive(_pixels);
    public int Width => Alive(_width);
    public int Height => Alive(_height);
    public int BitsPerPixel => Alive(32);

    public string Tag
    {
        get => Alive(_tag);
        set => _tag = Alive(value);
    }

    public byte[] GetBGRPixels
    {
        get
        {
            byte[] straight = Alpha.Unpremultiply(Alive(_pixels));
            (int red, int blue) = _format == MLPixelFormat.Bgra32 ? (2, 0) : (0, 2);
            var bgr = new byte[_width * _height * 3];
            for (int from = 0, to = 0; from < straight.Length; from += 4)
            {
                bgr[to++] = straight[from + blue];
                bgr[to++] = straight[from + 1];
                bgr[to++] = straight[from + red];
            }
            return bgr;
        }
    }

    public void Save(string imagePath)
    {
        byte[] pixels = Alive(_pixels);
        string extension = Path.GetExtension(imagePath);
        if (!_knownExtensions.Contains(extension))
            throw new ArgumentException("Path has invalid image file extension.", nameof(imagePath));
        string type = extension.ToLowerInvariant() switch
        {
            ".png" => "png",
            ".jpg" or ".jpeg" => "jpeg",
            _ => throw new ArgumentException($"Saving image with the format '{extension}' is not supported. Try save it with `Jpeg` or `Png` format.", nameof(imagePath)),
        };
        File.WriteAllBytes(imagePath, PixbufCodec.Encode(_width, _height, _format, pixels, type));
    }

    public void Dispose() => _pixels = null;

    private T Alive<T>(T value) => _pixels != null ? value : throw new InvalidOperationException("Object is disposed.");
}

/// <summary>Between colours as files hold them and colours multiplied with their alpha.</summary>
internal static class Alpha
{
    public static void Premultiply(Span<byte> pixels)
    {
        for (int i = 0; i < pixels.Length; i += 4)
        {
            int alpha = pixels[i + 3];
            for (int c = i; alpha < 255 && c < i + 3; c++)
                pixels[c] = (byte)((pixels[c] * alpha + 127) / 255);
        }
    }

    public static byte[] Unpremultiply(ReadOnlySpan<byte> pixels)
    {
        byte[] straight = pixels.ToArray();
        for (int i = 0; i < straight.Length; i += 4)
        {
            int alpha = straight[i + 3];
            for (int c = i; alpha < 255 && c < i + 3; c++)
                straight[c] = alpha == 0 ? (byte)0 : (byte)Math.Min(255, (straight[c] * 255 + alpha / 2) / alpha);
        }
        return straight;
    }
}
