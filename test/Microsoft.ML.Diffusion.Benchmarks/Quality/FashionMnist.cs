using Microsoft.ML.Data;

namespace Microsoft.ML.Diffusion.Benchmarks;

/// <summary>Debian's Fashion-MNIST, padded with black.</summary>
internal static class FashionMnist
{
    /// <summary>Where the package puts it.</summary>
    public const string DebianFolder = "/usr/share/datasets/fashion-mnist";

    /// <summary>A view with columns Image (bytes) and Label.</summary>
    /// <param name="context">The context.</param>
    /// <param name="folder">The four gzipped IDX files.</param>
    /// <param name="training">60,000 images to train on, or the 10,000 to test with.</param>
    /// <param name="size">Height and width after padding.</param>
    public static IDataView Load(MLContext context, string folder, bool training, int size)
    {
        string name = training ? "train" : "t10k";
        string images = Path.Combine(folder, $"{name}-images-idx3-ubyte.gz");
        if (!File.Exists(images))
            throw new FileNotFoundException($"'{images}' is not here: install Debian's dataset-fashion-mnist, which ./build.sh setup does where it may.", images);
        var options = new IdxOptions { PadTo = size, ClassNames = IdxOptions.FashionMnistClasses };
        return context.Generative.LoadIdx(images, Path.Combine(folder, $"{name}-labels-idx1-ubyte.gz"), options);
    }

    /// <summary>The first images of one of the two sets, bytes of 32x32.</summary>
    public static IEnumerable<byte[]> Images(MLContext context, bool training, int count) =>
        Load(context, DebianFolder, training, 32).GetColumn<byte[]>("Image").Take(count);
}
