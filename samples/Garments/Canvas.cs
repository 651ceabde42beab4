using Microsoft.ML.Data;

namespace Garments;

/// <summary>A picture in memory, four bytes a pixel: red, green, blue, alpha.</summary>
internal sealed class Canvas
{
    public static readonly Color Paper = new(255, 255, 255), Ink = new(40, 40, 48), Faint = new(226, 226, 232);

    private readonly byte[] _pixels;

    public Canvas(int width, int height)
    {
        (Width, Height) = (width, height);
        _pixels = new byte[width * height * 4];
        Fill(0, 0, width, height, Paper);
    }

    public readonly record struct Color(byte Red, byte Green, byte Blue);

    public int Width { get; }

    public int Height { get; }

    public static Canvas FromGrey(ReadOnlySpan<byte> grey, int width, int height)
    {
        var canvas = new Canvas(width, height);
        for (int i = 0; i < width * height; i++)
        {
            canvas.Set(i % width, i / width, new Color(grey[i], grey[i], grey[i]));
        }

        return canvas;
    }

    public static Canvas FromImage(MLImage image)
    {
        var canvas = new Canvas(image.Width, image.Height);
        ReadOnlySpan<byte> pixels = image.Pixels;
        (int red, int blue) = image.PixelFormat == MLPixelFormat.Bgra32 ? (2, 0) : (0, 2);
        for (int i = 0; i < pixels.Length / 4; i++)
        {
            canvas.Set(i % image.Width, i / image.Width, new Color(pixels[4 * i + red], pixels[4 * i + 1], pixels[4 * i + blue]));
        }

        return canvas;
    }

    public static Canvas Load(string path)
    {
        using MLImage image = MLImage.CreateFromFile(path);
        return FromImage(image);
    }

    public void Save(string path)
    {
        using MLImage image = MLImage.CreateFromPixels(Width, Height, MLPixelFormat.Rgba32, _pixels);
        WholeFile.Write(path, image.Save);
    }

    public void Set(int x, int y, Color color)
    {
        if (x < 0 || y < 0 || x >= Width || y >= Height)
        {
            return;
        }

        int at = (y * Width + x) * 4;
        (_pixels[at], _pixels[at + 1], _pixels[at + 2], _pixels[at + 3]) = (color.Red, color.Green, color.Blue, 255);
    }

    public void Fill(int left, int top, int width, int height, Color color)
    {
        for (int i = 0; i < width * height; i++)
        {
            Set(left + i % width, top + i / width, color);
        }
    }

    public void Line(double x0, double y0, double x1, double y1, Color color, int thickness = 1)
    {
        int steps = (int)Math.Ceiling(Math.Max(Math.Abs(x1 - x0), Math.Abs(y1 - y0))) + 1;
        for (int i = 0; i <= steps; i++)
        {
            Fill((int)Math.Round(x0 + (x1 - x0) * i / steps), (int)Math.Round(y0 + (y1 - y0) * i / steps), thickness, thickness, color);
        }
    }

    public void Draw(Canvas picture, int left, int top, int scale)
    {
        for (int i = 0; i < picture.Width * picture.Height; i++)
        {
            ReadOnlySpan<byte> pixel = picture._pixels.AsSpan(i * 4, 3);
            Fill(left + i % picture.Width * scale, top + i / picture.Width * scale, scale, scale, new Color(pixel[0], pixel[1], pixel[2]));
        }
    }

    /// <summary>Writes text in the tiny font; a character is 6 pixels wide and 7 high, times the scale.</summary>
    public void Text(string text, int left, int top, Color color, int scale = 1)
    {
        foreach (char character in text)
        {
            ReadOnlySpan<byte> columns = TinyFont.Columns(character);
            for (int i = 0; i < columns.Length * 7; i++)
            {
                if ((columns[i / 7] >> (i % 7) & 1) != 0)
                {
                    Fill(left + i / 7 * scale, top + i % 7 * scale, scale, scale, color);
                }
            }

            left += 6 * scale;
        }
    }

    /// <summary>The largest difference of one colour value, 0 to 255; 255 where the sizes differ.</summary>
    public int LargestDifference(Canvas other) => Width != other.Width || Height != other.Height
        ? 255
        : _pixels.Zip(other._pixels, (a, b) => Math.Abs(a - b)).Max();
}
