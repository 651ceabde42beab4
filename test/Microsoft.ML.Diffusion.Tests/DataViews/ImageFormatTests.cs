using Microsoft.ML.Data;
using Microsoft.ML.Transforms.Image;

namespace Microsoft.ML.Diffusion.Tests;

[TestClass]
public sealed class ImageFormatTests
{
    [TestMethod]
    [DataRow(new[] { 3, 8, 6 }, PixelLayout.Auto, 3, 8, 6, false)]
    [DataRow(new[] { 8, 6, 3 }, PixelLayout.Auto, 3, 8, 6, true)]
    [DataRow(new[] { 8, 6 }, PixelLayout.Auto, 1, 8, 6, false)]
    [DataRow(new[] { 1, 8, 3 }, PixelLayout.Auto, 1, 8, 3, false)]
    [DataRow(new[] { 4, 8, 3 }, PixelLayout.Interleaved, 3, 4, 8, true)]
    public void ReadsDimensions(int[] dimensions, PixelLayout layout, int channels, int height, int width, bool interleaved)
    {
        var format = ImageFormat.FromColumn(Column(new VectorDataViewType(NumberDataViewType.Single, dimensions)), 3, layout, 0, 255);
        Assert.AreEqual((channels, height, width, interleaved), (format.Channels, format.Height, format.Width, format.Interleaved));
        Assert.AreEqual(new VectorDataViewType(NumberDataViewType.Single, dimensions), format.ToColumnType(), "what comes out has the type of what came in");
    }

    [TestMethod]
    public void AnImageColumnHasTheSizeOfItsType()
    {
        var format = ImageFormat.FromColumn(Column(new ImageDataViewType(20, 30)), 1, PixelLayout.Auto, 0, 1);
        Assert.AreEqual((1, 20, 30), (format.Channels, format.Height, format.Width));
        Assert.AreEqual(new ImageDataViewType(20, 30), format.ToColumnType());
    }

    public static IEnumerable<object[]> Refused =>
    [
        [new ImageDataViewType(), "ResizeImages"],
        [NumberDataViewType.Single, "MLImage or a vector"],
        [TextDataViewType.Instance, "LoadImages"],
        [new VectorDataViewType(NumberDataViewType.Int32, 3, 8, 8), "ConvertType"],
        [new VectorDataViewType(NumberDataViewType.Single), "dimensions"],
        [new VectorDataViewType(NumberDataViewType.Single, 192), "dimensions"],
        [new VectorDataViewType(NumberDataViewType.Single, 5, 8, 8), "1, 3 or 4"],
    ];

    [TestMethod]
    [DynamicData(nameof(Refused))]
    public void RefusesOtherColumnsByNameWithAdvice(DataViewType type, string advice)
    {
        var error = Assert.ThrowsExactly<ArgumentOutOfRangeException>(() => ImageFormat.FromColumn(Column(type), 3, PixelLayout.Auto, 0, 255));
        StringAssert.Contains(error.Message, "'Pixels'");
        StringAssert.Contains(error.Message, advice);
    }

    private static DataViewSchema.Column Column(DataViewType type)
    {
        var builder = new DataViewSchema.Builder();
        builder.AddColumn("Pixels", type);
        return builder.ToSchema()[0];
    }
}
