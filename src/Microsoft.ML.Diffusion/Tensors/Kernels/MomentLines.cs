namespace Microsoft.ML.Diffusion;

/// <summary>
/// Where a kernel that writes images leaves what the norm after it will ask for, measured while they lie in its cache: of each line, some pixels of an image that follow each other in
/// memory, and each channel the mean and the sum of the squared distances from it. Lines do not depend on how a kernel divides its work, so that the norm's bits do not either.
/// </summary>
/// <param name="memory">[lines, 2, channels]: means, then sums; null: nobody asks.</param>
/// <param name="pixels">Pixels of a line; they divide those of an image.</param>
/// <param name="channels">Channels of the images.</param>
internal readonly unsafe struct MomentLines(float* memory, int pixels, int channels)
{
    /// <summary>Rows of pixels of a 3x3 convolution's line: a tile's, of which all kernels write whole ones.</summary>
    public const int Rows = ConvolutionTiles.Side;

    /// <summary>Whether a norm will ask.</summary>
    public bool AreWanted => memory is not null;

    /// <summary>Pixels of a line.</summary>
    public int Pixels => pixels;

    /// <summary>Measures some channels of a line.</summary>
    /// <param name="images">The first image's first pixel.</param>
    /// <param name="line">Which line, counted over the batch.</param>
    /// <param name="first">The first channel.</param>
    /// <param name="count">How many, a multiple of the register's lanes.</param>
    /// <typeparam name="L">The register.</typeparam>
    /// <typeparam name="E">The images' numbers.</typeparam>
    public void Measure<L, E>(E* images, nint line, int first, int count)
        where L : unmanaged, ILanes<L>
        where E : unmanaged, IElement<E, L>
    {
        float* means = memory + line * 2 * channels + first;
        NormKernel<L, E>.Moments(images + line * pixels * channels + first, pixels, count, channels, means, means + channels);
    }
}
