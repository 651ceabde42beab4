namespace Microsoft.ML.Data;

/// <summary>Resizing and greying, close to what the real package's bitmaps give.</summary>
/// <remarks>
/// Fill takes the nearest pixel. Padding and cropping filter: bicubic (Mitchell) upwards, and bilinear from an image
/// halved until it is near the wanted size downwards.
/// </remarks>
internal static class ImageScaling
{
    /// <summary>A box of the destination that the whole source is drawn into; parts of it may lie outside.</summary>
    public readonly record struct Box(int X, int Y, int Width, int Height);

    public static MLImage Fill(MLImage source, int width, int height)
    {
        ReadOnlySpan<byte> from = source.Pixels;
        var pixels = new byte[width * height * 4];
        for (int y = 0, to = 0; y < height; y++)
        {
            int row = (int)((y + 0.5f) * source.Height / height) * source.Width;
            for (int x = 0; x < width; x++, to += 4)
                from.Slice((row + (int)((x + 0.5f) * source.Width / width)) * 4, 4).CopyTo(pixels.AsSpan(to));
        }
        return new MLImage(width, height, source.PixelFormat, pixels);
    }

    public static MLImage Draw(MLImage source, int width, int height, Box box)
    {
        Plane plane = Plane.Of(source);
        float scaleX = (float)box.Width / source.Width, scaleY = (float)box.Height / source.Height;
        float scale = MathF.Sqrt(scaleX * scaleY);
        bool shrinks = scaleX < 1 || scaleY < 1;
        for (int level = (int)MathF.Round(MathF.Max(0, -MathF.Log2(scale))); level > 0 && plane.CanHalve; level--)
            plane = plane.Halve();

        Span<float> colour = stackalloc float[4];
        var pixels = new byte[width * height * 4];
        for (int y = Math.Max(0, box.Y); y < Math.Min(height, box.Y + box.Height); y++)
        {
            float sourceY = (y - box.Y + 0.5f) * plane.Height / box.Height - 0.5f;
            for (int x = Math.Max(0, box.X); x < Math.Min(width, box.X + box.Width); x++)
            {
                float sourceX = (x - box.X + 0.5f) * plane.Width / box.Width - 0.5f;
                plane.Sample(sourceX, sourceY, !shrinks, colour);
                int to = (y * width + x) * 4;
                for (int c = 0; c < 3; c++)
                    pixels[to + c] = (byte)Math.Clamp(MathF.Round(colour[c]), 0, 255);
                pixels[to + 3] = byte.MaxValue;
            }
        }
        return new MLImage(width, height, MLPixelFormat.Bgra32, pixels);
    }

    public static MLImage Grey(MLImage source)
    {
        Plane plane = Plane.Of(source);
        var pixels = new byte[source.Width * source.Height * 4];
        for (int i = 0; i < pixels.Length; i += 4)
        {
            byte grey = (byte)MathF.Round(plane.Values[i] * 0.11f + plane.Values[i + 1] * 0.59f + plane.Values[i + 2] * 0.3f);
            pixels[i] = pixels[i + 1] = pixels[i + 2] = grey;
            pixels[i + 3] = byte.MaxValue;
        }
        return new MLImage(source.Width, source.Height, MLPixelFormat.Bgra32, pixels);
    }

    /// <summary>BGRA in floating point.</summary>
    private sealed class Plane(int width, int height, float[] values)
    {
        public int Width => width;
        public int Height => height;
        public float[] Values => values;
        public bool CanHalve => width > 1 || height > 1;

        public static Plane Of(MLImage image)
        {
            ReadOnlySpan<byte> pixels = image.Pixels;
            var values = new float[pixels.Length];
            bool swap = image.PixelFormat == MLPixelFormat.Rgba32;
            for (int i = 0; i < values.Length; i++)
                values[i] = pixels[swap && i % 2 == 0 ? i ^ 2 : i];
            return new Plane(image.Width, image.Height, values);
        }

        private ReadOnlySpan<float> At(int x, int y)
            => values.AsSpan((Math.Clamp(y, 0, height - 1) * width + Math.Clamp(x, 0, width - 1)) * 4, 4);

        public Plane Halve()
        {
            int newWidth = Math.Max(1, width / 2), newHeight = Math.Max(1, height / 2);
            var half = new float[newWidth * newHeight * 4];
            for (int i = 0; i < half.Length; i++)
            {
                int c = i % 4, x = i / 4 % newWidth * 2, y = i / 4 / newWidth * 2;
                half[i] = (At(x, y)[c] + At(x + 1, y)[c] + At(x, y + 1)[c] + At(x + 1, y + 1)[c]) / 4;
            }
            return new Plane(newWidth, newHeight, half);
        }

        public void Sample(float x, float y, bool cubic, Span<float> colour)
        {
            colour.Clear();
            int left = (int)MathF.Floor(x), top = (int)MathF.Floor(y);
            int first = cubic ? -1 : 0, last = cubic ? 2 : 1;
            for (int dy = first; dy <= last; dy++)
            {
                for (int dx = first; dx <= last; dx++)
                {
                    float weight = Weight(x - left - dx, cubic) * Weight(y - top - dy, cubic);
                    ReadOnlySpan<float> pixel = At(left + dx, top + dy);
                    for (int c = 0; c < 4; c++)
                        colour[c] += weight * pixel[c];
                }
            }
        }

        private static float Weight(float distance, bool cubic)
        {
            float d = MathF.Abs(distance);
            if (!cubic)
                return MathF.Max(0, 1 - d);
            // Mitchell and Netravali 1988, B = C = 1/3.
            return d < 1 ? (7 * d * d * d - 12 * d * d + 16f / 3) / 6 : d < 2 ? (-7f / 3 * d * d * d + 12 * d * d - 20 * d + 32f / 3) / 6 : 0;
        }
    }
}
