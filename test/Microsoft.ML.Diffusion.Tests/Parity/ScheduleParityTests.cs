using System.Text.Json;

namespace Microsoft.ML.Diffusion.Tests;

/// <summary>Section A: every noise schedule of the references.</summary>
[TestClass]
public sealed class ScheduleParityTests
{
    private static readonly JsonElement[] Records = [.. ParityData.Json("a_schedules.json").GetProperty("schedules").EnumerateArray()];

    public static IEnumerable<object[]> Cases => Records.Select((record, index) => new object[] { index, record.Text("name"), record.GetProperty("params").GetRawText() });

    [TestMethod]
    [TestCategory(ParityData.Category)]
    [DynamicData(nameof(Cases))]
    public void Schedule(int index, string name, string parameters)
    {
        var record = Records[index];
        var options = Options(name, record.GetProperty("params"), record.Int("T"));
        var schedule = options.Build();
        var single = record.Text("reference_dtype") == "float32";
        var betaTolerance = options.ZeroTerminalSnr ? new Tolerance(2e-5) : single ? new Tolerance(1e-7) : new Tolerance(1e-14, 1e-12);
        var productTolerance = single ? new Tolerance(5e-6) : new Tolerance(1e-14, 1e-12);

        var positions = record.Ints("index");
        betaTolerance.Check(record.Doubles("betas"), At(schedule.Betas, positions), $"{name} {parameters} betas");
        productTolerance.Check(record.Doubles("alphas_cumprod"), At(schedule.AlphasCumprod, positions), $"{name} {parameters} alphas_cumprod");

        var betas = schedule.Betas.ToArray();
        Assert.AreEqual(record.Int("T"), betas.Length);
        var sumTolerance = betaTolerance with { Absolute = betaTolerance.Absolute * betas.Length };
        sumTolerance.Check([record.Double("sum_betas")], [betas.Sum()], $"{name} sum of betas");
        betaTolerance.Check([record.Double("max_beta")], [betas.Max()], $"{name} largest beta");
        Assert.AreEqual(record.Int("count_beta_ge_0_999"), betas.Count(beta => beta >= 0.999), "betas of 0.999 and more");
        // Where every beta is alike, which one is largest is rounding.
        if (betas.Max() - betas.Min() > 1e-12)
            Assert.AreEqual(record.Int("argmax_beta"), Array.IndexOf(betas, betas.Max()), "where the largest beta is");
    }

    /// <summary>The references' names, in the options' terms.</summary>
    internal static NoiseScheduleOptions Options(string name, JsonElement parameters, int timesteps)
    {
        const string zero = "zero_terminal_snr_";
        var plain = name.Replace(zero, "", StringComparison.Ordinal);
        double? Value(string key) => parameters.ValueKind == JsonValueKind.Object && parameters.TryGetProperty(key, out var value) ? value.GetDouble() : null;
        var options = (plain switch
        {
            "linear" or "lucid_linear" => NoiseScheduleOptions.Linear,
            "cosine" or "lucid_cosine" or "diffusers_squaredcos_cap_v2" => NoiseScheduleOptions.Cosine,
            "annotated_linear" or "diffusers_linear" => NoiseScheduleOptions.UnscaledLinear,
            "annotated_quadratic" => NoiseScheduleOptions.Quadratic,
            "annotated_sigmoid" or "diffusers_sigmoid" => NoiseScheduleOptions.Sigmoid,
            "lucid_sigmoid" => NoiseScheduleOptions.SigmoidAlphaBar,
            "diffusers_scaled_linear" => NoiseScheduleOptions.ScaledLinear,
            "diffusers_laplace" => new NoiseScheduleOptions { Kind = NoiseScheduleKind.Laplace },
            "diffusers_exp" => new NoiseScheduleOptions { Kind = NoiseScheduleKind.Exponential },
            _ => throw new AssertFailedException($"No schedule answers to the reference's name '{name}'."),
        }) with
        {
            Timesteps = timesteps,
            ZeroTerminalSnr = plain != name,
            CosineOffset = Value("s") ?? 0.008,
            MaximumBeta = Value("max_beta") ?? 0.999,
            SigmoidStart = Value("start") ?? -3,
            SigmoidEnd = Value("end") ?? 3,
            SigmoidTau = Value("tau") ?? 1,
        };
        // The rescaled linear schedule's ends are recorded after the rescaling, which is what is being tested.
        return options.Kind == NoiseScheduleKind.Linear ? options : options with { BetaStart = Value("beta_start"), BetaEnd = Value("beta_end") };
    }

    private static double[] At(ReadOnlySpan<double> values, int[] positions)
    {
        var picked = new double[positions.Length];
        for (var i = 0; i < positions.Length; i++)
            picked[i] = values[positions[i]];
        return picked;
    }
}
