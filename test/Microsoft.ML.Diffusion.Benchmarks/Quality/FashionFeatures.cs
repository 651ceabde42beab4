namespace Microsoft.ML.Diffusion.Benchmarks;

/// <summary>
/// A fixed feature extractor for 32x32 grey images: three 3x3 convolutions (32, 64, 64 channels) with ReLU and 2x2 mean pooling and a projection of their
/// 1,024 outputs to 64, all with random weights of a fixed seed, then whitening by the mean and the covariance of the first 10,000 training images.
/// Nothing is learned from any model, so nothing favours one; real images have about mean 0 and covariance 1, so no
/// direction decides alone: noise that a pixel-wise measure would hardly see counts as much as a wrong shape.
/// </summary>
internal sealed class FashionFeatures : IDisposable
{
    /// <summary>The length of a feature vector.</summary>
    public const int Length = 64;

    private const int Side = 32, Batch = 250, WhiteningImages = 10_000;
    // A thousandth of the mean variance is added to every direction, so that those in which real images hardly differ do not decide alone.
    private const double Shrinkage = 1e-3;

    private readonly Tensor[] _convolutions;
    private readonly Tensor _projection;
    private readonly double[] _mean = new double[Length];
    private readonly double[,] _factor;

    /// <summary>Makes the extractor.</summary>
    /// <param name="training">Images of the training set.</param>
    public FashionFeatures(IEnumerable<byte[]> training)
    {
        var random = new RandomWeights(20200619);
        _convolutions = [random.Normal(Math.Sqrt(2 / 9.0), 32, 1, 3, 3), random.Normal(Math.Sqrt(2 / 288.0), 64, 32, 3, 3), random.Normal(Math.Sqrt(2 / 576.0), 64, 64, 3, 3)];
        _projection = random.Normal(1 / 32.0, 1024, Length);
        float[][] raw = [.. training.Take(WhiteningImages).Chunk(Batch).SelectMany(Project)];
        _factor = Cholesky(Covariance(raw, _mean));
    }

    /// <summary>The features of images.</summary>
    /// <param name="images">Bytes of 32x32, black 0, white 255.</param>
    public IEnumerable<float[]> Extract(IEnumerable<byte[]> images) => images.Chunk(Batch).SelectMany(Project).Select(Whiten);

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (Tensor weight in _convolutions)
            weight.Dispose();
        _projection.Dispose();
    }

    private IEnumerable<float[]> Project(byte[][] images)
    {
        using var inference = no_grad();
        using var scope = NewDisposeScope();
        var pixels = new float[images.Length * Side * Side];
        for (int i = 0; i < pixels.Length; i++)
            pixels[i] = images[i / (Side * Side)][i % (Side * Side)] / 127.5f - 1;
        Tensor h = tensor(pixels).reshape(images.Length, 1, Side, Side);
        foreach (Tensor weight in _convolutions)
            h = nn.functional.avg_pool2d(nn.functional.relu(nn.functional.conv2d(h, weight, padding: [1, 1])), 2, 2);
        float[] flat = h.flatten(1).matmul(_projection).contiguous().data<float>().ToArray();
        return flat.Chunk(Length);
    }

    /// <summary>Solves L·z = x − mean: the covariance of z is the identity where that of x is L·Lᵀ.</summary>
    private float[] Whiten(float[] x)
    {
        var z = new double[Length];
        for (int i = 0; i < Length; i++)
        {
            double rest = x[i] - _mean[i];
            for (int j = 0; j < i; j++)
                rest -= _factor[i, j] * z[j];
            z[i] = rest / _factor[i, i];
        }
        return Array.ConvertAll(z, value => (float)value);
    }

    private static double[,] Covariance(float[][] rows, double[] mean)
    {
        if (rows.Length <= Length)
            throw new ArgumentException($"{rows.Length} images are too few to whiten {Length} features with.");
        var covariance = new double[Length, Length];
        for (int i = 0; i < Length; i++)
            mean[i] = rows.Average(row => (double)row[i]);
        double trace = 0;
        for (int i = 0; i < Length; i++)
        {
            for (int j = 0; j <= i; j++)
            {
                double sum = 0;
                foreach (float[] row in rows)
                    sum += (row[i] - mean[i]) * (row[j] - mean[j]);
                covariance[i, j] = covariance[j, i] = sum / (rows.Length - 1);
            }
            trace += covariance[i, i];
        }
        for (int i = 0; i < Length; i++)
            covariance[i, i] += Shrinkage * trace / Length;
        return covariance;
    }

    private static double[,] Cholesky(double[,] matrix)
    {
        var factor = new double[Length, Length];
        for (int i = 0; i < Length; i++)
        {
            for (int j = 0; j <= i; j++)
            {
                double rest = matrix[i, j];
                for (int k = 0; k < j; k++)
                    rest -= factor[i, k] * factor[j, k];
                factor[i, j] = i == j ? Math.Sqrt(rest) : rest / factor[j, j];
            }
        }
        return factor;
    }
}
