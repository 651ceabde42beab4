using System.Buffers.Binary;
using System.IO.Compression;
using System.Text;
using Microsoft.ML.Data;

namespace GarmentServer;

/// <summary>Writes PNG into memory; MLImage writes into files only.</summary>
internal static class Png
{
    public static byte[] EncodeGrey(ReadOnlySpan<byte> pixels, int width, int height) => Encode(pixels, width, height, channels: 1);

    public static byte[] Encode(MLImage image)
    {
        ReadOnlySpan<byte> pixels = image.Pixels;
        int red = image.PixelFormat == MLPixelFormat.Bgra32 ? 2 : 0;
        var colours = new byte[pixels.Length / 4 * 3];
        for (int i = 0; i < colours.Length / 3; i++)
        {
            (colours[3 * i], colours[3 * i + 1], colours[3 * i + 2]) = (pixels[4 * i + red], pixels[4 * i + 1], pixels[4 * i + 2 - red]);
        }

        return Encode(colours, image.Width, image.Height, channels: 3);
    }

    private static byte[] Encode(ReadOnlySpan<byte> pixels, int width, int height, int channels)
    {
        var header = new byte[13];
        BinaryPrimitives.WriteInt32BigEndian(header, width);
        BinaryPrimitives.WriteInt32BigEndian(header.AsSpan(4), height);
        (header[8], header[9]) = (8, (byte)(channels == 1 ? 0 : 2));

        using var packed = new MemoryStream();
        using (var zlib = new ZLibStream(packed, CompressionLevel.Optimal, leaveOpen: true))
        {
            int row = width * channels;
            for (int y = 0; y < height; y++)
            {
                zlib.WriteByte(0);
                zlib.Write(pixels.Slice(y * row, row));
            }
        }

        using var png = new MemoryStream();
        png.Write([0x89, (byte)'P', (byte)'N', (byte)'G', 13, 10, 26, 10]);
        Chunk(png, "IHDR", header);
        Chunk(png, "IDAT", packed.ToArray());
        Chunk(png, "IEND", []);
        return png.ToArray();
    }

    private static void Chunk(Stream png, string name, ReadOnlySpan<byte> data)
    {
        byte[] body = [.. Encoding.ASCII.GetBytes(name), .. data];
        Span<byte> number = stackalloc byte[4];
        BinaryPrimitives.WriteInt32BigEndian(number, data.Length);
        png.Write(number);
        png.Write(body);
        uint crc = uint.MaxValue;
        foreach (byte b in body)
        {
            crc ^= b;
            for (int bit = 0; bit < 8; bit++)
            {
                crc = (crc & 1) == 0 ? crc >> 1 : (crc >> 1) ^ 0xEDB88320;
            }
        }

        BinaryPrimitives.WriteUInt32BigEndian(number, ~crc);
        png.Write(number);
    }
}
