namespace Microsoft.ML.Diffusion;

/// <summary>
/// The Fréchet distance between two Gaussians, |m₁ − m₂|² + tr(S₁ + S₂ − 2·√(S₁S₂)) (Dowson and Landau 1982; over Inception features the "FID" of Heusel et al. 2017), in float64.
/// </summary>
/// <param name="MeanTerm">|m₁ − m₂|².</param>
/// <param name="CovarianceTerm">tr(S₁ + S₂ − 2·√(S₁S₂)), 0 or more.</param>
internal readonly record struct FrechetDistance(double MeanTerm, double CovarianceTerm)
{
    public double Value => MeanTerm + CovarianceTerm;

    /// <summary>The distance; also right where a covariance has not full rank.</summary>
    /// <param name="mean1">d values.</param>
    /// <param name="covariance1">d² values, row-major.</param>
    /// <param name="mean2">d values.</param>
    /// <param name="covariance2">d² values, row-major.</param>
    /// <exception cref="ArithmeticException">A value is not finite.</exception>
    public static FrechetDistance Between(double[] mean1, double[] covariance1, double[] mean2, double[] covariance2)
    {
        var n = mean1.Length;
        double meanTerm = 0, traces = 0;
        for (var i = 0; i < n; i++)
        {
            meanTerm += (mean1[i] - mean2[i]) * (mean1[i] - mean2[i]);
            traces += covariance1[i * n + i] + covariance2[i * n + i];
        }
        if (!double.IsFinite(meanTerm) || !double.IsFinite(traces))
            throw new ArithmeticException("The Fréchet distance needs finite means and covariances.");
        // √(S₁S₂) has the eigenvalues of the symmetric √(LᵀS₂L), S₁ = L·Lᵀ; negative ones are rounding.
        var (factor, rank) = PivotedCholesky(covariance1, n);
        var roots = 0.0;
        if (rank > 0)
        {
            foreach (var value in SymmetricEigenvalues.Of(Congruence(factor, rank, covariance2, n), rank))
                roots += Math.Sqrt(Math.Max(0, value));
        }
        return new FrechetDistance(meanTerm, Math.Max(0, traces - 2 * roots));
    }

    // S = L·Lᵀ with L [n, rank]; taking the largest remaining variance first stops exactly where the rank ends. Returns Lᵀ, so that rows are contiguous.
    private static (double[] Transposed, int Rank) PivotedCholesky(double[] matrix, int n)
    {
        var factor = new double[n * n];
        var left = new double[n];
        for (var i = 0; i < n; i++)
            left[i] = matrix[i * n + i];
        var enough = 1e-15 * n * left.Max();
        for (var rank = 0; rank < n; rank++)
        {
            var pivot = Array.IndexOf(left, left.Max());
            if (!(left[pivot] > enough))
                return (factor, rank);
            var row = factor.AsSpan(rank * n, n);
            matrix.AsSpan(pivot * n, n).CopyTo(row);
            for (var k = 0; k < rank; k++)
                SymmetricEigenvalues.AddScaled(row, factor.AsSpan(k * n, n), -factor[k * n + pivot]);
            var root = Math.Sqrt(left[pivot]);
            for (var i = 0; i < n; i++)
            {
                row[i] /= root;
                left[i] -= row[i] * row[i];
            }
            left[pivot] = double.NegativeInfinity;
        }
        return (factor, n);
    }

    private static double[] Congruence(double[] factor, int rank, double[] matrix, int n)
    {
        using var scope = NewDisposeScope();
        var transposed = tensor(factor, [n, n]).narrow(0, 0, rank);
        var product = transposed.matmul(tensor(matrix, [n, n])).matmul(transposed.t());
        return product.Plus(product.t()).mul(Held(0.5)).data<double>().ToArray();
    }
}
