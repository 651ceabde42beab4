using Microsoft.ML.Data;

namespace Microsoft.ML.Diffusion;

/// <summary>Reads the image of a cursor's current row as planar values in [−1, 1].</summary>
internal abstract class ImageReader(DataViewRow row, ImageFormat format, string columnName)
{
    /// <summary>The column's format.</summary>
    protected ImageFormat Format { get; } = format;

    /// <summary>Makes the reader that fits the column's format.</summary>
    /// <param name="row">The row or cursor to read from.</param>
    /// <param name="column">The image column, active in <paramref name="row"/>.</param>
    /// <param name="format">The format that the column was found to have.</param>
    public static ImageReader Create(DataViewRow row, DataViewSchema.Column column, ImageFormat format) => format.Item switch
    {
        ImageItem.Image => new PictureReader(row, column, format),
        ImageItem.Single => new VectorReader<float>(row, column, format, v => v),
        ImageItem.Double => new VectorReader<double>(row, column, format, v => v),
        _ => new VectorReader<byte>(row, column, format, v => v),
    };

    /// <summary>Reads the current row.</summary>
    /// <param name="destination">Channels·height·width values, (channels, height, width), black −1, white 1.</param>
    /// <exception cref="InvalidOperationException">The row's image is missing, of another size, or has values outside the stated range.</exception>
    public abstract void Read(Span<float> destination);

    /// <summary>The exception for a row whose image cannot be trained on.</summary>
    protected InvalidOperationException Refuse(string why) =>
        new($"Image column '{columnName}', row {row.Position}: {why}.");

    private sealed class VectorReader<T> : ImageReader where T : struct
    {
        private readonly ValueGetter<VBuffer<T>> _getter;
        private readonly Func<T, double> _toDouble;
        private readonly double _scale;
        private readonly double _offset;
        private VBuffer<T> _buffer;
        private T[] _dense = [];

        public VectorReader(DataViewRow row, DataViewSchema.Column column, ImageFormat format, Func<T, double> toDouble)
            : base(row, format, column.Name)
        {
            _getter = row.GetGetter<VBuffer<T>>(column);
            _toDouble = toDouble;
            _scale = 2 / (format.Maximum - format.Minimum);
            _offset = -1 - format.Minimum * _scale;
        }

        public override void Read(Span<float> destination)
        {
            _getter(ref _buffer);
            if (_buffer.Length != Format.Size)
                throw Refuse($"it holds {_buffer.Length} values where {Format.Size} were expected");

            var values = _buffer.GetValues();
            if (!_buffer.IsDense)
            {
                if (_dense.Length == 0)
                    _dense = new T[Format.Size];
                _buffer.CopyTo(_dense);
                values = _dense;
            }

            int plane = Format.Height * Format.Width;
            if (!Format.Interleaved)
            {
                for (int i = 0; i < values.Length; i++)
                    destination[i] = Scale(values[i]);
                return;
            }
            for (int c = 0; c < Format.Channels; c++)
            {
                for (int i = 0; i < plane; i++)
                    destination[c * plane + i] = Scale(values[i * Format.Channels + c]);
            }
        }

        private float Scale(T value)
        {
            double number = _toDouble(value);
            // Written so that NaN fails it too.
            if (!(number >= Format.Minimum && number <= Format.Maximum))
            {
                throw Refuse($"the value {number} is outside the stated pixel range [{Format.Minimum}, {Format.Maximum}]; "
                    + "set Options.PixelMinimum and Options.PixelMaximum to the values that mean black and white, or clean the data");
            }
            return (float)(number * _scale + _offset);
        }
    }

    private sealed class PictureReader(DataViewRow row, DataViewSchema.Column column, ImageFormat format)
        : ImageReader(row, format, column.Name)
    {
        private readonly ValueGetter<MLImage> _getter = row.GetGetter<MLImage>(column);
        private MLImage? _image;

        public override void Read(Span<float> destination)
        {
            _getter(ref _image!);
            if (_image is null)
                throw Refuse("there is no image; the file may be missing or unreadable");
            if (_image.Height != Format.Height || _image.Width != Format.Width)
            {
                throw Refuse($"the image is {_image.Width}x{_image.Height} pixels where the column says "
                    + $"{Format.Width}x{Format.Height}; bring images to one size with mlContext.Transforms.ResizeImages");
            }
            int red = _image.PixelFormat switch
            {
                MLPixelFormat.Rgba32 => 0,
                MLPixelFormat.Bgra32 => 2,
                _ => throw Refuse($"the pixel format {_image.PixelFormat} is not known; Bgra32 and Rgba32 are"),
            };

            var pixels = _image.Pixels;
            int plane = Format.Height * Format.Width;
            for (int i = 0; i < plane; i++)
            {
                var pixel = pixels.Slice(4 * i, 4);
                float r = pixel[red], g = pixel[1], b = pixel[2 - red];
                if (Format.Channels == 1)
                {
                    // Luma of ITU-R BT.601, exact where the three are equal.
                    destination[i] = (r == g && g == b ? r : 0.299f * r + 0.587f * g + 0.114f * b) / 127.5f - 1;
                    continue;
                }
                destination[i] = r / 127.5f - 1;
                destination[plane + i] = g / 127.5f - 1;
                destination[2 * plane + i] = b / 127.5f - 1;
                if (Format.Channels == 4)
                    destination[3 * plane + i] = pixel[3] / 127.5f - 1;
            }
        }
    }
}
