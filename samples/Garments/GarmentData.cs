using Microsoft.ML;
using Microsoft.ML.Data;
using Microsoft.ML.Diffusion;
using Microsoft.ML.Transforms.Image;

namespace Garments;

/// <summary>Pictures to learn from: columns Image and, where there are classes, Label.</summary>
internal sealed record GarmentData(IDataView Images, string Description)
{
    private const string DebianPackage = "/usr/share/datasets/fashion-mnist";

    public bool HasClasses => Images.Schema.GetColumnOrNull("Label") is not null;

    public static GarmentData Load(MLContext mlContext, string? folder, int size) =>
        folder is null ? LoadFashionMnist(mlContext, size) : LoadFolder(mlContext, folder, size);

    private static GarmentData LoadFashionMnist(MLContext mlContext, int size)
    {
        var options = new IdxOptions { PadTo = size, ClassNames = IdxOptions.FashionMnistClasses };
        string images = Path.Combine(DebianPackage, "train-images-idx3-ubyte.gz");
        if (File.Exists(images))
        {
            return new GarmentData(
                mlContext.Generative.LoadIdx(images, Path.Combine(DebianPackage, "train-labels-idx1-ubyte.gz"), options),
                $"Fashion-MNIST, 60,000 images of Debian's dataset-fashion-mnist, padded to {size}x{size}");
        }

        string subset = Path.Combine(AppContext.BaseDirectory, "data");
        return new GarmentData(
            mlContext.Generative.LoadIdx(Path.Combine(subset, "images-idx3-ubyte.gz"), Path.Combine(subset, "labels-idx1-ubyte.gz"), options),
            $"the repository's 2,000 images of Fashion-MNIST, padded to {size}x{size} (Debian's dataset-fashion-mnist is not installed)");
    }

    private static GarmentData LoadFolder(MLContext mlContext, string folder, int size)
    {
        IDataView files = mlContext.Generative.LoadImageFolder(folder);
        var loading = mlContext.Transforms.LoadImages("Loaded", imageFolder: "", "ImagePath")
            .Append(mlContext.Transforms.ResizeImages("Image", size, size, "Loaded", ImageResizingEstimator.ResizingKind.IsoCrop))
            .Append(mlContext.Transforms.DropColumns("Loaded"));
        return new GarmentData(loading.Fit(files).Transform(files), $"{files.GetRowCount():N0} pictures of {folder}, cropped and brought to {size}x{size}");
    }
}
