namespace Microsoft.ML.Diffusion;

/// <summary>Compares a column of generated feature vectors with a column of real ones: one pass over each, bounded memory, float64.</summary>
internal static class FidelityEvaluator
{
    /// <summary>Compares.</summary>
    /// <param name="real">Rows of the data.</param>
    /// <param name="generated">Rows that a model made.</param>
    /// <param name="featureColumnName">A vector of Single or Double with a known length, the same in both.</param>
    /// <param name="options">Null takes the defaults.</param>
    /// <exception cref="ArgumentException">A column is missing or of the wrong type, or the lengths differ.</exception>
    /// <exception cref="InvalidOperationException">There are too few rows for so many features, or a value is not finite.</exception>
    public static FidelityMetrics Evaluate(IDataView real, IDataView generated, string featureColumnName, FidelityOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(real);
        ArgumentNullException.ThrowIfNull(generated);
        ArgumentException.ThrowIfNullOrEmpty(featureColumnName);
        options ??= new FidelityOptions();
        FeatureColumn realColumn = new(real, featureColumnName, "real"), generatedColumn = new(generated, featureColumnName, "generated");
        if (realColumn.Features != generatedColumn.Features)
            throw new ArgumentException($"Column '{featureColumnName}' has {realColumn.Features} values in the real data and {generatedColumn.Features} in the generated data; features must come from the same extractor.");

        using var off = no_grad();
        using var realSet = Summary.Of(realColumn, options, seed: 0);
        using var generatedSet = Summary.Of(generatedColumn, options, seed: 1);
        Refuse(realSet, "real", featureColumnName, options);
        Refuse(generatedSet, "generated", featureColumnName, options);
        return Compare(realSet, generatedSet, options);
    }

    private static void Refuse(Summary set, string name, string column, FidelityOptions options)
    {
        var features = set.Moments.Features;
        if (set.Moments.Count <= features)
        {
            throw new InvalidOperationException(
                $"The {name} data has {set.Moments.Count} rows, too few to fit a Gaussian to the {features} values of column '{column}': at least {features + 1} are needed, and some thousands for a stable number. " +
                "Give more rows, or shorten the features (for example with ProjectToPrincipalComponents).");
        }
        if (set.Rows.shape[0] <= options.Neighbors)
            throw new InvalidOperationException($"The {name} data has {set.Rows.shape[0]} rows to compare, too few for neighbours number {options.Neighbors}: give more rows, raise MaximumRows or lower Neighbors.");
    }

    private static FidelityMetrics Compare(Summary real, Summary generated, FidelityOptions options)
    {
        using var scope = NewDisposeScope();
        var frechet = FrechetDistance.Between(real.Moments.Mean(), real.Moments.Covariance(), generated.Moments.Mean(), generated.Moments.Covariance());
        using var generator = new Generator((ulong)options.Seed, CPU);
        var kernel = KernelDistance.OverSubsets(real.Rows, generated.Rows, Subsets(real.Rows), Subsets(generated.Rows));
        var manifold = ManifoldMetrics.Between(real.Rows, generated.Rows, options.Neighbors);
        return new FidelityMetrics
        {
            FrechetDistance = frechet.Value,
            FrechetMeanTerm = frechet.MeanTerm,
            KernelDistance = kernel.Mean,
            KernelDistanceStandardDeviation = kernel.StandardDeviation,
            KernelDistanceStandardError = kernel.StandardError,
            Precision = manifold.Precision,
            Recall = manifold.Recall,
            Density = manifold.Density,
            Coverage = manifold.Coverage,
            RealCount = real.Moments.Count,
            GeneratedCount = generated.Moments.Count,
            RealSampleCount = real.Rows.shape[0],
            GeneratedSampleCount = generated.Rows.shape[0],
            FeatureCount = real.Moments.Features,
            Neighbors = options.Neighbors,
        };

        Tensor Subsets(Tensor rows) => KernelDistance.Subsets(rows.shape[0], options.KernelSubsets, (int)Math.Min(options.KernelSubsetSize, rows.shape[0]), generator);
    }

    /// <summary>What one pass leaves of a set: the moments of all rows and a sample of them.</summary>
    private sealed class Summary(RunningMoments moments, Tensor rows) : IDisposable
    {
        public RunningMoments Moments { get; } = moments;

        /// <summary>[n, d] float64.</summary>
        public Tensor Rows { get; } = rows;

        public static Summary Of(FeatureColumn column, FidelityOptions options, int seed)
        {
            using var scope = NewDisposeScope();
            var moments = new RunningMoments(column.Features);
            try
            {
                var sample = new RowSample(column.Features, options.MaximumRows, new Random(unchecked(options.Seed * 2 + seed)));
                column.Read((values, count) =>
                {
                    using var block = NewDisposeScope();
                    moments.Add(tensor(values, [values.Length / column.Features, column.Features]).narrow(0, 0, count));
                    sample.Add(values, count);
                });
                return new Summary(moments, tensor(sample.Values, [sample.Count, column.Features]).DetachFromDisposeScope());
            }
            catch
            {
                moments.Dispose();
                throw;
            }
        }

        public void Dispose()
        {
            Moments.Dispose();
            Rows.Dispose();
        }
    }
}
