using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Microsoft.ML.Data;

/// <summary>Image files through GDK-PixBuf (Debian: libgdk-pixbuf-2.0-0), which needs no display.</summary>
internal static unsafe partial class PixbufCodec
{
    private const string Pixbuf = "libgdk_pixbuf-2.0.so.0";
    private const string GObject = "libgobject-2.0.so.0";
    private const string GLib = "libglib-2.0.so.0";

    /// <summary>The image, or null where there is none. One that breaks off is black from there on, as in the real package.</summary>
    public static MLImage Decode(ReadOnlySpan<byte> file)
    {
        nint loader = NewLoader();
        try
        {
            // Until a row is read its memory is whatever was there before.
            Connect(loader, "area-prepared", &Blacken, 0, 0, 0);
            bool sound;
            fixed (byte* start = file)
                sound = file.Length > 0 && Write(loader, start, (nuint)file.Length, 0);
            Close(loader, 0);
            nint image = sound ? Image(loader) : 0;
            return image == 0 ? null : Copy(image);
        }
        finally
        {
            Unref(loader);
        }
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void Blacken(nint loader, nint data)
    {
        if (Image(loader) is var image && image != 0)
            Fill(image, 0);
    }

    private static MLImage Copy(nint image)
    {
        int width = Width(image), height = Height(image), stride = Stride(image);
        int channels = Channels(image);
        byte* source = Pixels(image);
        var pixels = new byte[width * height * 4];
        for (int y = 0, to = 0; y < height; y++)
        {
            byte* from = source + (nint)y * stride;
            for (int x = 0; x < width; x++, from += channels, to += 4)
            {
                pixels[to] = from[2];
                pixels[to + 1] = from[1];
                pixels[to + 2] = from[0];
                pixels[to + 3] = channels == 4 ? from[3] : byte.MaxValue;
            }
        }
        Alpha.Premultiply(pixels);
        return new MLImage(width, height, MLPixelFormat.Bgra32, pixels);
    }

    /// <param name="pixels">Premultiplied; a JPEG takes them as they are, since it has no alpha.</param>
    /// <param name="type">"png" or "jpeg", the latter at its best quality.</param>
    public static byte[] Encode(int width, int height, MLPixelFormat format, byte[] pixels, string type)
    {
        bool jpeg = type == "jpeg";
        byte[] rgba = jpeg ? (byte[])pixels.Clone() : Alpha.Unpremultiply(pixels);
        bool opaque = true;
        for (int i = 0; i < rgba.Length; i += 4)
        {
            if (format == MLPixelFormat.Bgra32)
                (rgba[i], rgba[i + 2]) = (rgba[i + 2], rgba[i]);
            opaque &= rgba[i + 3] == byte.MaxValue;
        }
        if (jpeg || opaque)
            rgba = [.. rgba.Where((_, i) => i % 4 != 3)];
        fixed (byte* start = rgba)
        {
            int channels = jpeg || opaque ? 3 : 4;
            nint image = FromData(start, 0, channels == 4, 8, width, height, width * channels, 0, 0);
            try
            {
                string[] keys = jpeg ? ["quality", null] : [null];
                string[] values = jpeg ? ["100", null] : [null];
                if (!SaveToBuffer(image, out byte* buffer, out nuint size, type, keys, values, 0))
                    throw new InvalidOperationException($"GDK-PixBuf could not write a {type} image.");
                byte[] file = new ReadOnlySpan<byte>(buffer, (int)size).ToArray();
                Free(buffer);
                return file;
            }
            finally
            {
                Unref(image);
            }
        }
    }

    [LibraryImport(Pixbuf, EntryPoint = "gdk_pixbuf_loader_new")]
    private static partial nint NewLoader();

    [LibraryImport(Pixbuf, EntryPoint = "gdk_pixbuf_loader_write")]
    [return: MarshalAs(UnmanagedType.Bool)]
    private static partial bool Write(nint loader, byte* data, nuint count, nint error);

    [LibraryImport(Pixbuf, EntryPoint = "gdk_pixbuf_loader_close")]
    [return: MarshalAs(UnmanagedType.Bool)]
    private static partial bool Close(nint loader, nint error);

    [LibraryImport(Pixbuf, EntryPoint = "gdk_pixbuf_loader_get_pixbuf")]
    private static partial nint Image(nint loader);

    [LibraryImport(Pixbuf, EntryPoint = "gdk_pixbuf_fill")]
    private static partial void Fill(nint image, uint rgba);

    [LibraryImport(Pixbuf, EntryPoint = "gdk_pixbuf_get_width")]
    private static partial int Width(nint image);

    [LibraryImport(Pixbuf, EntryPoint = "gdk_pixbuf_get_height")]
    private static partial int Height(nint image);

    [LibraryImport(Pixbuf, EntryPoint = "gdk_pixbuf_get_rowstride")]
    private static partial int Stride(nint image);

    [LibraryImport(Pixbuf, EntryPoint = "gdk_pixbuf_get_n_channels")]
    private static partial int Channels(nint image);

    [LibraryImport(Pixbuf, EntryPoint = "gdk_pixbuf_get_pixels")]
    private static partial byte* Pixels(nint image);

    [LibraryImport(Pixbuf, EntryPoint = "gdk_pixbuf_new_from_data")]
    private static partial nint FromData(byte* data, int colorspace, [MarshalAs(UnmanagedType.Bool)] bool hasAlpha, int bits, int width, int height,
        int stride, nint destroy, nint destroyData);

    [LibraryImport(Pixbuf, EntryPoint = "gdk_pixbuf_save_to_bufferv", StringMarshalling = StringMarshalling.Utf8)]
    [return: MarshalAs(UnmanagedType.Bool)]
    private static partial bool SaveToBuffer(nint image, out byte* buffer, out nuint size, string type, string[] keys, string[] values, nint error);

    [LibraryImport(GObject, EntryPoint = "g_signal_connect_data", StringMarshalling = StringMarshalling.Utf8)]
    private static partial nuint Connect(nint instance, string signal, delegate* unmanaged[Cdecl]<nint, nint, void> handler, nint data, nint destroy, int flags);

    [LibraryImport(GObject, EntryPoint = "g_object_unref")]
    private static partial void Unref(nint instance);

    [LibraryImport(GLib, EntryPoint = "g_free")]
    private static partial void Free(byte* memory);
}
