namespace Microsoft.ML.Diffusion;

/// <summary>
/// The kernel distance: squared maximum mean discrepancy with the kernel (x·y/d + 1)³ (Binkowski et al. 2018, "KID"), in float64. Blocked, so that memory does not grow with the square of the rows.
/// </summary>
internal static class KernelDistance
{
    private const int Block = 2048;

    /// <summary>The unbiased estimate, which leaves out each row's kernel with itself; may be negative.</summary>
    /// <param name="real">[n, d] float64, n at least 2.</param>
    /// <param name="generated">[m, d] float64, m at least 2.</param>
    public static double Unbiased(Tensor real, Tensor generated)
    {
        double n = real.shape[0], m = generated.shape[0];
        return (Sum(real, real) - Diagonal(real)) / (n * (n - 1)) + (Sum(generated, generated) - Diagonal(generated)) / (m * (m - 1)) - 2 * Sum(real, generated) / (n * m);
    }

    /// <summary>The biased estimate, never negative.</summary>
    /// <param name="real">[n, d] float64.</param>
    /// <param name="generated">[m, d] float64.</param>
    public static double Biased(Tensor real, Tensor generated)
    {
        double n = real.shape[0], m = generated.shape[0];
        return Sum(real, real) / (n * n) + Sum(generated, generated) / (m * m) - 2 * Sum(real, generated) / (n * m);
    }

    /// <summary>The unbiased estimate over subsets.</summary>
    /// <param name="real">[n, d] float64.</param>
    /// <param name="generated">[m, d] float64.</param>
    /// <param name="realIndex">[subsets, size] int64: rows of <paramref name="real"/>.</param>
    /// <param name="generatedIndex">[subsets, size] int64: rows of <paramref name="generated"/>.</param>
    public static SubsetEstimate OverSubsets(Tensor real, Tensor generated, Tensor realIndex, Tensor generatedIndex)
    {
        var values = new double[realIndex.shape[0]];
        for (var subset = 0; subset < values.Length; subset++)
        {
            using var scope = NewDisposeScope();
            values[subset] = Unbiased(real.index_select(0, realIndex[subset]), generated.index_select(0, generatedIndex[subset]));
        }
        return new SubsetEstimate(values);
    }

    /// <summary>Random subsets without replacement: [subsets, size] int64.</summary>
    public static Tensor Subsets(long rows, int subsets, int size, Generator generator)
    {
        using var scope = NewDisposeScope();
        var drawn = new Tensor[subsets];
        for (var subset = 0; subset < subsets; subset++)
            drawn[subset] = randperm(rows, ScalarType.Int64, generator: generator).narrow(0, 0, size);
        return stack(drawn).MoveToOuterDisposeScope();
    }

    private static double Sum(Tensor x, Tensor y)
    {
        var sum = 0.0;
        for (long row = 0; row < x.shape[0]; row += Block)
        {
            for (long column = 0; column < y.shape[0]; column += Block)
            {
                using var scope = NewDisposeScope();
                var products = Part(x, row).matmul(Part(y, column).t());
                sum += Cube(products, x.shape[1]).sum().item<double>();
            }
        }
        return sum;
    }

    private static double Diagonal(Tensor x)
    {
        using var scope = NewDisposeScope();
        return Cube(x.mul(x).sum(1), x.shape[1]).sum().item<double>();
    }

    private static Tensor Cube(Tensor products, long features) => products.div_(Held(features)).add_(Held(1), Held(1)).pow(Held(3));

    private static Tensor Part(Tensor x, long start) => x.narrow(0, start, Math.Min(Block, x.shape[0] - start));
}

/// <summary>An estimate made on each of several subsets.</summary>
/// <param name="Values">One a subset.</param>
internal sealed record SubsetEstimate(double[] Values)
{
    public double Mean => Values.Average();

    /// <summary>The sample standard deviation over the subsets, with n − 1; NaN for one subset.</summary>
    public double StandardDeviation => Math.Sqrt(Values.Sum(value => (value - Mean) * (value - Mean)) / (Values.Length - 1));

    /// <summary>Of the mean, as if the subsets were independent.</summary>
    public double StandardError => StandardDeviation / Math.Sqrt(Values.Length);
}
