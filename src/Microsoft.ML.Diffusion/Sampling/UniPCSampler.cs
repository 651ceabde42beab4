using System.Text.Json.Serialization;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// UniPC: a multistep predictor, and a corrector that reuses the evaluation at the point predicted, so that it costs none of its own (Zhao et al. 2023, algorithms 1 and 2).
/// </summary>
public sealed record UniPCSampler : SigmaSampler
{
    /// <summary>The predictor's order, 1 … 3; the corrector adds one.</summary>
    public int Order
    {
        get;
        init => field = value is >= 1 and <= 3 ? value : throw new ArgumentOutOfRangeException(nameof(Order), value, "Order must be 1, 2 or 3.");
    } = 2;

    /// <summary>B(h), the function that scales the corrections.</summary>
    public UniPCType SolverType { get; init; } = UniPCType.Bh2;

    /// <summary>The last steps take lower orders, down to 1 in the very last. A step to σ = 0 is of order 1 in any case.</summary>
    public bool LowerOrderFinal { get; init; } = true;

    /// <summary>Steps whose results are not corrected; with strong guidance the first ones may be steadier so.</summary>
    public ValueList<int> UncorrectedSteps { get; init; } = [];

    private protected override void Step(SigmaRun run, int i)
    {
        var x0 = run.DenoiseStep(i);
        if (i > 0 && !UncorrectedSteps.Contains(i - 1))
            run.X = Solve(run, i - 1, run.Before, OrderAt(run, i - 1), x0);
        run.Keep(x0, Order);
        run.MoveOn(Solve(run, i, run.X, OrderAt(run, i), corrected: null));
    }

    private int OrderAt(SigmaRun run, int i)
    {
        var left = run.Sigmas[i + 1] == 0 ? 1 : LowerOrderFinal ? run.Steps - i : Order;
        return Math.Min(Math.Min(Order, left), i + 1);
    }

    // From σ_i to σ_{i+1}, in h = λ_{i+1} − λ_i: x̂' = e^{−h}·x̂ + (1 − e^{−h})·m_0 − B(h)·Σ ρ_k·(m_k − m_0)/r_k.
    // m_0 is the model's answer at σ_i; the corrector also knows the one at σ_{i+1}, where r = 1.
    private Tensor Solve(SigmaRun run, int i, Tensor from, int order, Tensor? corrected)
    {
        var h = Math.Log(run.Sigmas[i] / run.Sigmas[i + 1]);
        var m0 = run.Kept[0];
        var x = SamplingRun.Combine(Math.Exp(-h), from, -DpmSolverSampler.ExpM1(-h), m0);
        var terms = corrected is null ? order - 1 : order;
        if (terms == 0)
            return x;

        var r = new double[terms];
        for (var k = 1; k < order; k++)
            r[k - 1] = Math.Log(run.Sigmas[i] / run.Sigmas[i - k]) / h;
        if (corrected is not null)
            r[^1] = 1;
        var scale = SolverType == UniPCType.Bh1 ? -h : DpmSolverSampler.ExpM1(-h);
        var rho = Weights(r, h, scale);
        for (var k = 0; k < terms; k++)
            x.add_((k < order - 1 ? run.Kept[k + 1] : corrected!).sub(m0), Held(-scale * rho[k] / r[k]));
        return x;
    }

    // Σ_k ρ_k·r_k^{j−1} = j!·φ_{j+1}(−h)/B(h), j = 1 … (Zhao et al. 2023, theorem 3.1); with one unknown the paper's remark takes ρ = ½ for any B.
    private static double[] Weights(double[] r, double h, double scale)
    {
        var count = r.Length;
        if (count == 1)
            return [0.5];
        var matrix = new double[count, count];
        var right = new double[count];
        var phi = DpmSolverSampler.ExpM1(-h) / -h - 1;
        var factorial = 1.0;
        for (var j = 0; j < count; j++)
        {
            for (var k = 0; k < count; k++)
                matrix[j, k] = Math.Pow(r[k], j);
            right[j] = phi * factorial / scale;
            factorial *= j + 2;
            phi = phi / -h - 1 / factorial;
        }
        return Eliminate(matrix, right);
    }

    private static double[] Eliminate(double[,] matrix, double[] right)
    {
        var count = right.Length;
        for (var pivot = 0; pivot < count; pivot++)
        {
            for (var row = pivot + 1; row < count; row++)
            {
                var factor = matrix[row, pivot] / matrix[pivot, pivot];
                for (var k = pivot; k < count; k++)
                    matrix[row, k] -= factor * matrix[pivot, k];
                right[row] -= factor * right[pivot];
            }
        }
        for (var row = count - 1; row >= 0; row--)
        {
            for (var k = row + 1; k < count; k++)
                right[row] -= matrix[row, k] * right[k];
            right[row] /= matrix[row, row];
        }
        return right;
    }
}

/// <summary>UniPC's B(h).</summary>
[JsonConverter(typeof(JsonStringEnumConverter<UniPCType>))]
public enum UniPCType
{
    /// <summary>B(h) = h.</summary>
    Bh1,

    /// <summary>B(h) = e^h − 1.</summary>
    Bh2,
}
