using System.Text.Json;

namespace Microsoft.ML.Diffusion.Tests;

/// <summary>Section B: the whole variational bound, timestep by timestep (calc_bpd_loop).</summary>
[TestClass]
public sealed class BoundParityTests
{
    private const string File = "b_bpd_loop.safetensors";
    private static readonly JsonElement Settings = ParityData.Json("b_process.json").GetProperty("bpd_loop");

    public static IEnumerable<object[]> Cases =>
        from name in ParityData.Names(File)
        let parts = name.Split('/')
        where parts.Length == 3
        select new object[] { parts[0], parts[1], parts[2] };

    [TestMethod]
    [TestCategory(ParityData.Category)]
    [DynamicData(nameof(Cases))]
    public void Bound(string variance, string clip, string part)
    {
        using var scope = NewDisposeScope();
        using var data = ParityData.Tensors(File);
        using var diffusion = new GaussianDiffusion(
            AnalyticModel.Schedule(Settings.Text("schedule"), Settings.Int("T")),
            PredictionType.Epsilon,
            AnalyticModel.Variance(variance),
            Settings.Bool("rescale_timesteps"));
        var rows = VariationalBound.Evaluate(
            diffusion,
            ProcessParityTests.Model.For(diffusion.Variance),
            data["x_start"],
            timestep => data["noise_by_t"].select(0, timestep),
            AnalyticModel.Threshold(clip));

        var all = Enumerable.Range(0, rows.Count);
        // The reference's columns go from t = T−1 down to 0.
        var backwards = Enumerable.Range(0, rows.Timesteps).Reverse().ToArray();
        double[] Curve(Func<int, int, double> at) => [.. from row in all from t in backwards select at(row, t)];
        var (got, tolerance) = part switch
        {
            "vb" => (Curve(rows.Term), new Tolerance(1e-5, 5e-6)),
            "mse" => (Curve(rows.EpsilonMse), new Tolerance(2e-6, 2e-6)),
            "xstart_mse" => (Curve(rows.X0Mse), new Tolerance(2e-6, 2e-6)),
            "prior_bpd" => ([.. all.Select(rows.Prior)], new Tolerance(1e-8)),
            "total_bpd" => ([.. all.Select(rows.Total)], new Tolerance(1e-5, 5e-6)),
            _ => throw new AssertFailedException($"The bound has no '{part}'."),
        };
        tolerance.Check(Tolerance.Values(data[$"{variance}/{clip}/{part}"]), got, part);
    }
}
