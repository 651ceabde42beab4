using TorchSharp;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// How two sets of points overlap, each taken as the union of balls that reach from a point to its k-th nearest neighbour in its own set: precision and recall (Kynkäänniemi et al. 2019),
/// density and coverage (Naeem et al. 2020). Exact distances in float64, in blocks.
/// </summary>
/// <param name="Precision">The share of generated points inside a real ball: how real they look.</param>
/// <param name="Recall">The share of real points inside a generated ball: how much of the real variety is met.</param>
/// <param name="Density">How many real balls hold a generated point, over k: precision that outliers do not lift; can exceed 1.</param>
/// <param name="Coverage">The share of real balls that hold a generated point: recall that outliers do not lift.</param>
internal readonly record struct ManifoldMetrics(double Precision, double Recall, double Density, double Coverage)
{
    private const int Block = 1024;

    /// <summary>Compares two sets.</summary>
    /// <param name="real">[n, d] float64, n above k.</param>
    /// <param name="generated">[m, d] float64, m above k.</param>
    /// <param name="k">Which neighbour bounds a ball, 1 or more; the point itself does not count.</param>
    public static ManifoldMetrics Between(Tensor real, Tensor generated, int k)
    {
        using var scope = NewDisposeScope();
        Tensor realRadius = Radii(real, k), generatedRadius = Radii(generated, k);
        long n = real.shape[0], m = generated.shape[0];
        var inReal = zeros(m, ScalarType.Int64);
        var inGenerated = zeros(n, ScalarType.Int64);
        double balls = 0, covered = 0;
        for (long start = 0; start < n; start += Block)
        {
            using var inner = NewDisposeScope();
            var rows = Math.Min(Block, n - start);
            var radius = realRadius.narrow(0, start, rows).unsqueeze(1);
            var held = zeros(rows, ScalarType.Int64);
            for (long other = 0; other < m; other += Block)
            {
                using var block = NewDisposeScope();
                var columns = Math.Min(Block, m - other);
                var distance = Distances(real.narrow(0, start, rows), generated.narrow(0, other, columns));
                inReal.narrow(0, other, columns).add_(distance.le(radius).sum(dim: 0), Held(1));
                inGenerated.narrow(0, start, rows).add_(distance.le(generatedRadius.narrow(0, other, columns)).sum(1), Held(1));
                // Naeem et al. count a point on the edge as outside, Kynkäänniemi et al. as inside.
                var strictly = distance.lt(radius);
                balls += strictly.sum().item<long>();
                held.add_(strictly.sum(1), Held(1));
            }
            covered += held.gt(Held(0)).sum().item<long>();
        }
        return new ManifoldMetrics(
            inReal.gt(Held(0)).sum().item<long>() / (double)m, inGenerated.gt(Held(0)).sum().item<long>() / (double)n, balls / ((double)k * m), covered / n);
    }

    /// <summary>The distance of each point to its k-th nearest neighbour within the set.</summary>
    /// <param name="points">[n, d] float64, n above k.</param>
    /// <param name="k">1 or more.</param>
    /// <returns>[n] float64; the caller disposes it.</returns>
    public static Tensor Radii(Tensor points, int k)
    {
        using var scope = NewDisposeScope();
        var n = points.shape[0];
        var radii = new List<Tensor>();
        for (long start = 0; start < n; start += Block)
        {
            using var inner = NewDisposeScope();
            var part = points.narrow(0, start, Math.Min(Block, n - start));
            Tensor? nearest = null;
            for (long other = 0; other < n; other += Block)
            {
                var distance = Distances(part, points.narrow(0, other, Math.Min(Block, n - other)));
                var candidates = nearest is null ? distance : cat([nearest, distance], 1);
                // The point itself, at distance 0, takes the first of the k + 1 places.
                nearest = candidates.topk((int)Math.Min(k + 1, candidates.shape[1]), 1, largest: false, sorted: true).Item1;
            }
            radii.Add(nearest!.select(1, k).clone().MoveToOuterDisposeScope());
        }
        return cat(radii).MoveToOuterDisposeScope();
    }

    private static Tensor Distances(Tensor x, Tensor y) => cdist(x, y, 2, compute_mode.donot_use_mm_for_euclid_dist);
}
