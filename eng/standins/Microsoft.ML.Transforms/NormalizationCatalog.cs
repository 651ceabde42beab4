using Microsoft.ML.Transforms;

namespace Microsoft.ML;

public static class NormalizationCatalog
{
    public static NormalizingEstimator NormalizeMinMax(this TransformsCatalog catalog, string outputColumnName, string inputColumnName = null,
        long maximumExampleCount = 1000000000, bool fixZero = true)
        => new(catalog.GetEnvironment(), outputColumnName, inputColumnName ?? outputColumnName, fixZero, byRange: true);

    public static NormalizingEstimator NormalizeMeanVariance(this TransformsCatalog catalog, string outputColumnName, string inputColumnName = null,
        long maximumExampleCount = 1000000000, bool fixZero = true, bool useCdf = false)
        => useCdf ? throw new NotSupportedException("The stand-in has no cumulative normalization.")
            : new(catalog.GetEnvironment(), outputColumnName, inputColumnName ?? outputColumnName, fixZero, byRange: false);
}
