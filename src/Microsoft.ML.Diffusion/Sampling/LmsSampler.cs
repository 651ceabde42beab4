namespace Microsoft.ML.Diffusion;

/// <summary>Linear multistep (Adams–Bashforth on an uneven grid) in σ: the slopes of the last steps, interpolated and integrated. One evaluation a step.</summary>
public sealed record LmsSampler : SigmaSampler
{
    /// <summary>How many slopes are used, 1 … 4.</summary>
    public int Order
    {
        get;
        init => field = value is >= 1 and <= 4 ? value : throw new ArgumentOutOfRangeException(nameof(Order), value, "Order must be 1, 2, 3 or 4.");
    } = 4;

    private protected override void Step(SigmaRun run, int i)
    {
        run.Keep(Slope(run.X, run.Sigmas[i], run.DenoiseStep(i)), Order);
        var order = Math.Min(i + 1, Order);
        var x = run.X.clone();
        for (var j = 0; j < order; j++)
            x.add_(run.Kept[j], Held(Coefficient(run.Sigmas, i, j, order)));
        run.X = x;
    }

    // ∫ from σ_i to σ_{i+1} of the Lagrange polynomial that is 1 at σ_{i−j}; two Gauss points are exact up to its degree, 3.
    private static double Coefficient(double[] sigmas, int i, int j, int order)
    {
        double middle = (sigmas[i] + sigmas[i + 1]) / 2, half = (sigmas[i + 1] - sigmas[i]) / 2;
        return half * (Lagrange(middle - half / Math.Sqrt(3)) + Lagrange(middle + half / Math.Sqrt(3)));

        double Lagrange(double sigma)
        {
            var product = 1.0;
            for (var k = 0; k < order; k++)
            {
                if (k != j)
                    product *= (sigma - sigmas[i - k]) / (sigmas[i - j] - sigmas[i - k]);
            }
            return product;
        }
    }
}
