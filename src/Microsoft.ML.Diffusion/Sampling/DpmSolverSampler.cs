using System.Text.Json.Serialization;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// DPM-Solver++ multistep, orders 1 to 3 (Lu et al. 2022b, algorithm 2), and with η above 0 its SDE form: exponential integrators in λ = −log σ
/// that solve the linear part exactly and extrapolate x_0 from the last steps. One model evaluation a step.
/// </summary>
public sealed record DpmSolverSampler : SigmaSampler
{
    /// <summary>1, 2 or 3. Second order is the usual choice with guidance, third without.</summary>
    public int Order
    {
        get;
        init => field = value is >= 1 and <= 3 ? value : throw new ArgumentOutOfRangeException(nameof(Order), value, "Order must be 1, 2 or 3.");
    } = 2;

    /// <summary>0 solves the ODE, 1 the reverse SDE; between them, part of its noise.</summary>
    public double Eta { get; init => field = Within(value, 0, 1, nameof(Eta)); }

    /// <summary>The standard deviation of the noise where η is above 0.</summary>
    public double NoiseScale { get; init => field = Within(value, 0, 10, nameof(NoiseScale)); } = 1;

    /// <summary>How second-order steps weigh the change of x_0.</summary>
    public DpmSolverType SolverType { get; init; }

    /// <summary>Extrapolates ε instead of x_0: the original DPM-Solver (Lu et al. 2022a). Deterministic only, and unsteady under guidance.</summary>
    public bool NoisePrediction { get; init; }

    /// <summary>With fewer than 15 steps, the last two steps take orders 2 and 1 at most, which keeps them steady.</summary>
    public bool LowerOrderFinal { get; init; } = true;

    /// <summary>The last step is of first order whatever the number of steps. A step to σ = 0 always is.</summary>
    public bool EulerAtFinal { get; init; }

    private protected override void Step(SigmaRun run, int i)
    {
        if (NoisePrediction && Eta > 0)
            throw new ArgumentException("DPM-Solver with noise prediction is deterministic: set Eta to 0, or NoisePrediction to false.");
        double sigma = run.Sigmas[i], next = run.Sigmas[i + 1];
        var x0 = run.DenoiseStep(i);
        run.Keep(NoisePrediction ? Slope(run.X, sigma, x0) : x0, Order);
        run.X = NoisePrediction ? NoiseStep(run, i, sigma, next) : DataStep(run, i, sigma, next);
    }

    // x̂' = e^{−k}·x̂ + (1 − e^{−k})·D_0 + φ_2·D_1 − φ_3·D_2 + noise, with k = (1+η)h and h the step in λ.
    private Tensor DataStep(SigmaRun run, int i, double sigma, double next)
    {
        var h = Math.Log(sigma / next);
        var k = h * (1 + Eta);
        var x = SamplingRun.Combine(Math.Exp(-k), run.X, -ExpM1(-k), run.Kept[0]);
        var order = OrderAt(run, i);
        if (order > 1)
        {
            var second = ExpM1(-k) / k + 1;
            AddDerivatives(x, run, i, order, h, SolverType == DpmSolverType.Midpoint ? -ExpM1(-k) / 2 : second, second, -(second / k - 0.5));
        }
        if (Eta > 0 && next > 0)
            x.add_(run.Noise(), Held(next * Math.Sqrt(-ExpM1(-2 * Eta * h)) * NoiseScale));
        return x;
    }

    // x̂' = x̂ − (σ − σ')·ε_0 − …: the same with e^{h} in place of e^{−h}.
    private Tensor NoiseStep(SigmaRun run, int i, double sigma, double next)
    {
        var x = run.X.add(run.Kept[0], Held(next - sigma));
        var order = OrderAt(run, i);
        if (order > 1)
        {
            var h = Math.Log(sigma / next);
            var second = next * (ExpM1(h) / h - 1);
            AddDerivatives(x, run, i, order, h, SolverType == DpmSolverType.Midpoint ? -(sigma - next) / 2 : -second, -second, -(second / h - next / 2));
        }
        return x;
    }

    // D_1 and D_2 are the divided differences of the last outputs, in units of this step.
    private static void AddDerivatives(Tensor x, SigmaRun run, int i, int order, double h, double two, double three1, double three2)
    {
        var r0 = Math.Log(run.Sigmas[i - 1] / run.Sigmas[i]) / h;
        var d0 = run.Kept[0].sub(run.Kept[1]).div_(Held(r0));
        if (order == 2)
        {
            x.add_(d0, Held(two));
            return;
        }
        var r1 = Math.Log(run.Sigmas[i - 2] / run.Sigmas[i - 1]) / h;
        var change = d0.sub(run.Kept[1].sub(run.Kept[2]).div_(Held(r1)));
        x.add_(d0, Held(three1)).add_(change, Held(three1 * r0 / (r0 + r1))).add_(change, Held(three2 / (r0 + r1)));
    }

    private int OrderAt(SigmaRun run, int i)
    {
        var left = run.Steps - i;
        var few = LowerOrderFinal && run.Steps < 15;
        if (left == 1 && (EulerAtFinal || few || run.Sigmas[i + 1] == 0))
            return 1;
        return Math.Min(left == 2 && few ? 2 : Order, Math.Min(Order, i + 1));
    }

    internal static double ExpM1(double x)
        => Math.Abs(x) < 1e-3 ? x * (1 + x / 2 * (1 + x / 3 * (1 + x / 4 * (1 + x / 5)))) : Math.Exp(x) - 1;
}

/// <summary>The two forms of a second-order step.</summary>
[JsonConverter(typeof(JsonStringEnumConverter<DpmSolverType>))]
public enum DpmSolverType
{
    /// <summary>Half of what x_0's change would give over the whole step.</summary>
    Midpoint,

    /// <summary>The exact integral of a linearly changing x_0.</summary>
    Heun,
}
