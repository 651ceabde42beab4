using System.Globalization;

namespace Microsoft.ML.Diffusion;

/// <summary>How near a set of generated rows comes to a set of real ones, in some feature space. Numbers are comparable only over the same features and the same counts.</summary>
public sealed class FidelityMetrics
{
    internal FidelityMetrics()
    {
    }

    /// <summary>
    /// The Fréchet distance between Gaussians fitted to both sets, 0 or more, smaller is better (over Inception features: FID, Heusel et al. 2017).
    /// It falls as rows are added, also for the same model: always state the counts with it.
    /// </summary>
    public required double FrechetDistance { get; init; }

    /// <summary>The part of <see cref="FrechetDistance"/> that the difference of the means makes.</summary>
    public required double FrechetMeanTerm { get; init; }

    /// <summary>The kernel distance, cubic kernel, unbiased: the mean over subsets; smaller is better, and about 0 for equal distributions (KID, Binkowski et al. 2018).</summary>
    public required double KernelDistance { get; init; }

    /// <summary>The standard deviation of the kernel distance over the subsets.</summary>
    public required double KernelDistanceStandardDeviation { get; init; }

    /// <summary>The standard error of <see cref="KernelDistance"/>: of the mean over the subsets.</summary>
    public required double KernelDistanceStandardError { get; init; }

    /// <summary>The share of generated rows that lie within the real ones' neighbourhoods, 0 … 1 (Kynkäänniemi et al. 2019).</summary>
    public required double Precision { get; init; }

    /// <summary>The share of real rows that lie within the generated ones' neighbourhoods, 0 … 1 (Kynkäänniemi et al. 2019).</summary>
    public required double Recall { get; init; }

    /// <summary>Precision that outliers do not lift; about 1 for equal distributions, and may exceed it (Naeem et al. 2020).</summary>
    public required double Density { get; init; }

    /// <summary>The share of real neighbourhoods with a generated row in them, 0 … 1 (Naeem et al. 2020).</summary>
    public required double Coverage { get; init; }

    /// <summary>Real rows behind the Fréchet distance.</summary>
    public required long RealCount { get; init; }

    /// <summary>Generated rows behind the Fréchet distance.</summary>
    public required long GeneratedCount { get; init; }

    /// <summary>Real rows behind the kernel distance and the neighbour metrics.</summary>
    public required long RealSampleCount { get; init; }

    /// <summary>Generated rows behind the kernel distance and the neighbour metrics.</summary>
    public required long GeneratedSampleCount { get; init; }

    /// <summary>The length of a feature vector.</summary>
    public required int FeatureCount { get; init; }

    /// <summary>k of precision, recall, density and coverage.</summary>
    public required int Neighbors { get; init; }

    /// <summary>The numbers with their counts, on one line.</summary>
    public override string ToString() => string.Create(
        CultureInfo.InvariantCulture,
        $"Fréchet {FrechetDistance:G5}, kernel {KernelDistance:G5} ± {KernelDistanceStandardError:G2}, precision {Precision:F3}, recall {Recall:F3}, density {Density:F3}, coverage {Coverage:F3} ({RealCount} real, {GeneratedCount} generated rows of {FeatureCount} features)");
}
