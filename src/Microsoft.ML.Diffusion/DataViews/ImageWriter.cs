using Microsoft.ML.Data;

namespace Microsoft.ML.Diffusion;

/// <summary>Writes generated values, planar in [−1, 1], as the value of an image column.</summary>
internal static class ImageWriter
{
    /// <summary>Makes the getter of a generated column.</summary>
    /// <param name="format">The column's format.</param>
    /// <param name="current">Gives the current row's image: (channels, height, width), black −1, white 1.</param>
    /// <returns>A <see cref="ValueGetter{TValue}"/> of <see cref="MLImage"/> or of a vector.</returns>
    public static Delegate CreateGetter(ImageFormat format, Func<ReadOnlyMemory<float>> current) => format.Item switch
    {
        // The image that value holds already is not disposed: CreateEnumerable and prediction engines have handed it to the user.
        ImageItem.Image => (ValueGetter<MLImage>)((ref MLImage value) => value = ToImage(format, current().Span)),
        ImageItem.Single => (ValueGetter<VBuffer<float>>)((ref VBuffer<float> value) => Fill(format, current().Span, ref value, v => (float)v)),
        ImageItem.Double => (ValueGetter<VBuffer<double>>)((ref VBuffer<double> value) => Fill(format, current().Span, ref value, v => v)),
        _ => (ValueGetter<VBuffer<byte>>)((ref VBuffer<byte> value) => Fill(format, current().Span, ref value, v => (byte)Math.Round(v))),
    };

    /// <summary>Makes an image; one channel becomes grey, no alpha opaque.</summary>
    public static MLImage ToImage(ImageFormat format, ReadOnlySpan<float> planar)
    {
        int plane = format.Height * format.Width;
        var pixels = new byte[4 * plane];
        for (int i = 0; i < plane; i++)
        {
            byte r = ToByte(planar[i]);
            pixels[4 * i] = format.Channels == 1 ? r : ToByte(planar[2 * plane + i]);
            pixels[4 * i + 1] = format.Channels == 1 ? r : ToByte(planar[plane + i]);
            pixels[4 * i + 2] = r;
            pixels[4 * i + 3] = format.Channels == 4 ? ToByte(planar[3 * plane + i]) : (byte)255;
        }
        return MLImage.CreateFromPixels(format.Width, format.Height, MLPixelFormat.Bgra32, pixels);
    }

    private static byte ToByte(float value) => (byte)Math.Clamp(MathF.Round((value + 1) * 127.5f), 0, 255);

    private static void Fill<T>(ImageFormat format, ReadOnlySpan<float> planar, ref VBuffer<T> destination, Func<double, T> convert)
    {
        var editor = VBufferEditor.Create(ref destination, format.Size);
        double scale = (format.Maximum - format.Minimum) / 2;
        int plane = format.Height * format.Width;
        for (int i = 0; i < planar.Length; i++)
        {
            int target = format.Interleaved ? i % plane * format.Channels + i / plane : i;
            double value = format.Minimum + (planar[i] + 1) * scale;
            editor.Values[target] = convert(Math.Clamp(value, format.Minimum, format.Maximum));
        }
        destination = editor.Commit();
    }
}
