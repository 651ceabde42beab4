namespace Microsoft.ML.Diffusion.Benchmarks;

/// <summary>The few statistics of the tables.</summary>
internal static class Statistics
{
    /// <summary>The middle value, or the mean of the two in the middle.</summary>
    public static double Median(this IEnumerable<double> values)
    {
        double[] sorted = [.. values.Order()];
        int half = sorted.Length / 2;
        return sorted.Length == 0 ? double.NaN : sorted.Length % 2 == 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
    }

    /// <summary>The exponent b and the factor a of y = a·x^b, by least squares over the logarithms.</summary>
    public static (double Factor, double Exponent) PowerLaw(IReadOnlyCollection<(double X, double Y)> points)
    {
        double meanX = points.Average(p => Math.Log(p.X)), meanY = points.Average(p => Math.Log(p.Y));
        double covariance = points.Sum(p => (Math.Log(p.X) - meanX) * (Math.Log(p.Y) - meanY));
        double exponent = covariance / points.Sum(p => Math.Pow(Math.Log(p.X) - meanX, 2));
        return (Math.Exp(meanY - exponent * meanX), exponent);
    }
}
