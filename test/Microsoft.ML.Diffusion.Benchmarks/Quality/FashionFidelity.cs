using Microsoft.ML.Data;

namespace Microsoft.ML.Diffusion.Benchmarks;

/// <summary>How near images come to Fashion-MNIST's test set, over <see cref="FashionFeatures"/>.</summary>
internal sealed class FashionFidelity : IDisposable
{
    private const int TestImages = 10_000;

    private readonly MLContext _context;
    private readonly FashionFeatures _features;
    private readonly IDataView _real;

    /// <summary>Reads the real images.</summary>
    public FashionFidelity(MLContext context)
    {
        _context = context;
        _features = new FashionFeatures(FashionMnist.Images(context, training: true, 10_000));
        _real = View(FashionMnist.Images(context, training: false, TestImages));
    }

    /// <summary>Compares images, bytes of 32x32 each, with the test set.</summary>
    public FidelityMetrics Evaluate(IEnumerable<byte[]> images) => _context.Generative.EvaluateFidelity(_real, View(images));

    /// <summary>The floor: as many real images that no model has made, the last of the training set's, which the whitening has not seen.</summary>
    public FidelityMetrics Floor(int count) =>
        Evaluate(FashionMnist.Images(_context, training: true, 60_000).Skip(Math.Max(0, 60_000 - count)));

    /// <summary>Reads images from a file of raw bytes.</summary>
    public static IEnumerable<byte[]> Read(string path) => File.ReadAllBytes(path).Chunk(32 * 32);

    /// <inheritdoc/>
    public void Dispose() => _features.Dispose();

    private IDataView View(IEnumerable<byte[]> images)
    {
        FeatureRow[] rows = [.. _features.Extract(images).Select(features => new FeatureRow { Features = features })];
        return _context.Data.LoadFromEnumerable(rows);
    }

    private sealed class FeatureRow
    {
        [VectorType(FashionFeatures.Length)]
        public float[] Features { get; set; } = [];
    }
}
