namespace Microsoft.ML.Diffusion;

/// <summary>How images and labels of a pair of IDX files become columns.</summary>
public sealed class IdxOptions
{
    /// <summary>The images' column.</summary>
    public string ImageColumnName { get; init; } = "Image";

    /// <summary>The labels' column; not made where no label file is given.</summary>
    public string LabelColumnName { get; init; } = "Label";

    /// <summary>
    /// Brings smaller images to this height and width in pixels by a border of zero bytes (black), half of it on each side;
    /// null leaves them as they are.
    /// </summary>
    public int? PadTo { get; init; }

    /// <summary>
    /// True: a vector of Single with values in [−1, 1], byte 0 → −1 and byte 255 → 1; tell the trainer (PixelMinimum, PixelMaximum).
    /// False: a vector of Byte as stored, black 0 and white 255 or whatever the file means by them.
    /// </summary>
    public bool Scale { get; init; }

    /// <summary>The classes' names for labels 0, 1, …; null names them "0", "1", … up to the largest label in the file.</summary>
    public IReadOnlyList<string>? ClassNames { get; init; }

    /// <summary>The ten classes of Fashion-MNIST, in the order of its labels.</summary>
    public static IReadOnlyList<string> FashionMnistClasses { get; } =
        ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"];
}
