using System.Globalization;

namespace Microsoft.ML.Diffusion;

/// <summary>The variational bound on a data set's negative log likelihood, in bits per dimension (Ho et al. 2020, equation 5): smaller is better.</summary>
public sealed class LikelihoodMetrics
{
    internal LikelihoodMetrics(VariationalBoundResult result) => Result = result;

    /// <summary>The whole bound: L_0 + … + L_T.</summary>
    public double BitsPerDimension => Result.Total;

    /// <summary>The standard error of <see cref="BitsPerDimension"/> over the rows; NaN for a single row.</summary>
    public double StandardError => Result.TotalStandardError;

    /// <summary>L_0, the part that codes the pixels themselves.</summary>
    public double Decoder => Result.Terms[0];

    /// <summary>L_1 + … + L_{T−1}, the part that codes the way there.</summary>
    public double Rate => Result.Terms.Skip(1).Sum();

    /// <summary>L_T, how far the noisiest image is from pure noise; no training changes it.</summary>
    public double Prior => Result.Prior;

    /// <summary>L_0, L_1 … L_{T−1}.</summary>
    public IReadOnlyList<double> Terms => Result.Terms;

    /// <summary>For each timestep, the mean square error of the estimate of x_0.</summary>
    public IReadOnlyList<double> X0MeanSquaredError => Result.X0Mse;

    /// <summary>For each timestep, the mean square error of ε.</summary>
    public IReadOnlyList<double> EpsilonMeanSquaredError => Result.EpsilonMse;

    /// <summary>The rows evaluated.</summary>
    public long RowCount => Result.Rows;

    private VariationalBoundResult Result { get; }

    /// <summary>The numbers, on one line.</summary>
    public override string ToString() => string.Create(
        CultureInfo.InvariantCulture, $"{BitsPerDimension:F4} ± {StandardError:F4} bits per dimension (L_0 {Decoder:F4}, L_1 to L_T-1 {Rate:F4}, L_T {Prior:F6}) over {RowCount} rows");
}
