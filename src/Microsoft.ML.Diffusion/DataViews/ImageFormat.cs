using System.Text.Json.Serialization;
using Microsoft.ML.Data;
using Microsoft.ML.Transforms.Image;

namespace Microsoft.ML.Diffusion;

/// <summary>How a vector column orders its pixels.</summary>
public enum PixelLayout
{
    /// <summary>Taken from the column's dimensions: planar where the first is 1, 3 or 4, otherwise interleaved where the last is.</summary>
    Auto,

    /// <summary>(channels, height, width), as <c>ExtractPixels</c> gives by default.</summary>
    Planar,

    /// <summary>(height, width, channels), as <c>ExtractPixels</c> gives with <c>interleavePixelColors: true</c>.</summary>
    Interleaved,
}

/// <summary>What an image column holds in each row.</summary>
internal enum ImageItem
{
    /// <summary>An <see cref="MLImage"/>.</summary>
    Image,

    /// <summary>A vector of <see cref="float"/>.</summary>
    Single,

    /// <summary>A vector of <see cref="double"/>.</summary>
    Double,

    /// <summary>A vector of <see cref="byte"/>.</summary>
    Byte,
}

/// <summary>
/// The images of a column: what a row holds, their size, and the range of their values.
/// Read off the training column, stored in the model, and used for the generated column too: image in, image out.
/// </summary>
/// <param name="Item">What a row holds.</param>
/// <param name="Channels">1 (grey), 3 (red, green, blue) or 4 (and alpha).</param>
/// <param name="Height">Rows of pixels.</param>
/// <param name="Width">Pixels in a row.</param>
/// <param name="Interleaved">Whether a vector is (height, width, channels) instead of (channels, height, width).</param>
/// <param name="Flat">Whether a one-channel vector is (height, width), without a dimension for its channel.</param>
/// <param name="Minimum">The value of a vector that means black.</param>
/// <param name="Maximum">The value of a vector that means white.</param>
internal sealed record ImageFormat(
    ImageItem Item, int Channels, int Height, int Width, bool Interleaved, bool Flat, double Minimum, double Maximum)
{
    /// <summary>Values in one image.</summary>
    [JsonIgnore]
    public int Size => Channels * Height * Width;

    /// <summary>The type of a column in this format.</summary>
    public DataViewType ToColumnType()
    {
        if (Item == ImageItem.Image)
            return new ImageDataViewType(Height, Width);
        PrimitiveDataViewType item = Item switch
        {
            ImageItem.Single => NumberDataViewType.Single,
            ImageItem.Double => NumberDataViewType.Double,
            _ => NumberDataViewType.Byte,
        };
        int[] dimensions = Flat ? [Height, Width] : Interleaved ? [Height, Width, Channels] : [Channels, Height, Width];
        return new VectorDataViewType(item, dimensions);
    }

    /// <summary>Reads the format off a column, or says why it cannot hold the images to train on.</summary>
    /// <param name="column">The image column.</param>
    /// <param name="imageChannels">Channels taken from an <see cref="MLImage"/>.</param>
    /// <param name="layout">The order of a vector's pixels.</param>
    /// <param name="minimum">The value of a vector that means black.</param>
    /// <param name="maximum">The value of a vector that means white.</param>
    /// <exception cref="ArgumentOutOfRangeException">The column's type is not one of the supported ones.</exception>
    public static ImageFormat FromColumn(
        DataViewSchema.Column column, int imageChannels, PixelLayout layout, double minimum, double maximum)
    {
        if (column.Type is ImageDataViewType image)
        {
            if (image.Height <= 0 || image.Width <= 0)
            {
                throw Refuse(column, "its images have no fixed size; append "
                    + $"mlContext.Transforms.ResizeImages(\"{column.Name}\", imageWidth: 32, imageHeight: 32) before the trainer");
            }
            return new ImageFormat(ImageItem.Image, imageChannels, image.Height, image.Width, true, false, 0, 255);
        }

        ImageItem? item = (column.Type as VectorDataViewType)?.ItemType switch
        {
            NumberDataViewType { RawType: var type } when type == typeof(float) => ImageItem.Single,
            NumberDataViewType { RawType: var type } when type == typeof(double) => ImageItem.Double,
            NumberDataViewType { RawType: var type } when type == typeof(byte) => ImageItem.Byte,
            _ => null,
        };
        if (item is null)
        {
            throw Refuse(column, "an image column is an MLImage or a vector of Single, Byte or Double with known dimensions; "
                + "load files with mlContext.Transforms.LoadImages, or convert numbers with mlContext.Transforms.Conversion.ConvertType");
        }

        (int channels, int height, int width, bool interleaved, bool flat) = ReadDimensions(column, (VectorDataViewType)column.Type, layout);
        return new ImageFormat(item.Value, channels, height, width, interleaved, flat, minimum, maximum);
    }

    private static (int Channels, int Height, int Width, bool Interleaved, bool Flat) ReadDimensions(
        DataViewSchema.Column column, VectorDataViewType vector, PixelLayout layout)
    {
        var dimensions = vector.Dimensions;
        if (dimensions.Length is not (2 or 3) || dimensions.Any(d => d <= 0))
        {
            throw Refuse(column, "the dimensions of its vector have to say the image's size, as (channels, height, width), "
                + "(height, width, channels) or (height, width): use ExtractPixels, or [VectorType(3, 32, 32)] on the property that it is loaded from");
        }
        if (dimensions.Length == 2)
            return (1, dimensions[0], dimensions[1], false, true);

        bool interleaved = layout switch
        {
            PixelLayout.Planar => false,
            PixelLayout.Interleaved => true,
            _ => !IsChannelCount(dimensions[0]) && IsChannelCount(dimensions[2]),
        };
        int channels = interleaved ? dimensions[2] : dimensions[0];
        if (!IsChannelCount(channels))
        {
            throw Refuse(column, $"its dimensions ({string.Join(", ", dimensions)}) read as {(interleaved ? "interleaved" : "planar")} "
                + $"give {channels} channels; images have 1, 3 or 4");
        }
        return interleaved
            ? (channels, dimensions[0], dimensions[1], true, false)
            : (channels, dimensions[1], dimensions[2], false, false);
    }

    private static bool IsChannelCount(int count) => count is 1 or 3 or 4;

    private static ArgumentOutOfRangeException Refuse(DataViewSchema.Column column, string advice) =>
        new(column.Name, $"Image column '{column.Name}' has type {column.Type}: {advice}.");
}
