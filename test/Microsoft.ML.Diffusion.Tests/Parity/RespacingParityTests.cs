using System.Text.Json;

namespace Microsoft.ML.Diffusion.Tests;

/// <summary>Section B: processes over fewer steps.</summary>
[TestClass]
public sealed class RespacingParityTests
{
    private const string File = "b_spaced.safetensors";
    private static readonly string[] Inputs = ["t", "x_start", "x_t", "noise", "step_noise"];
    private static readonly JsonElement Description = ParityData.Json("b_process.json");
    private static readonly JsonElement[] Records = [.. Description.GetProperty("respacing").EnumerateArray()];
    private static readonly JsonElement Run = Description.GetProperty("spaced_run");

    public static IEnumerable<object[]> Respacings => Records.Select((record, index) => new object[] { index, record.Int("T"), record.GetProperty("spec").ToString() });

    public static IEnumerable<object[]> Refused => Description.GetProperty("respacing_must_fail").EnumerateArray()
        .Select(record => new object[] { record.Int("T"), record.GetProperty("spec").GetRawText() });

    public static IEnumerable<object[]> Cases => ParityData.Names(File).Except(Inputs).Select(name => new object[] { name });

    [TestMethod]
    [TestCategory(ParityData.Category)]
    [DynamicData(nameof(Respacings))]
    public void Respacing(int index, int timesteps, string spec)
    {
        var record = Records[index];
        using var original = new GaussianDiffusion(AnalyticModel.Schedule(record.Text("base_schedule"), timesteps));
        using var diffusion = original.Respace(Spacing(record.GetProperty("spec"), timesteps));
        CollectionAssert.AreEqual(record.Ints("timestep_map"), diffusion.TimestepMap.ToArray(), spec);
        var tolerance = new Tolerance(1e-15, 1e-12);
        tolerance.Check(record.Doubles("betas"), diffusion.Schedule.Betas, "betas");
        tolerance.Check(record.Doubles("alphas_cumprod"), diffusion.Schedule.AlphasCumprod, "alphas_cumprod");
        tolerance.Check(record.Doubles("posterior_log_variance_clipped"), diffusion.Coefficients.PosteriorLogVarianceClipped, "posterior_log_variance_clipped");
    }

    [TestMethod]
    [TestCategory(ParityData.Category)]
    [DynamicData(nameof(Refused))]
    public void RefusedRespacing(int timesteps, string spec)
    {
        using var document = JsonDocument.Parse(spec);
        var parsed = document.RootElement;
        Assert.ThrowsExactly<ArgumentException>(() => Spacing(parsed, timesteps));
    }

    [TestMethod]
    [TestCategory(ParityData.Category)]
    [DynamicData(nameof(Cases))]
    public void SpacedProcess(string name)
    {
        using var scope = NewDisposeScope();
        using var data = ParityData.Tensors(File);
        using var original = new GaussianDiffusion(
            AnalyticModel.Schedule(Run.Text("base_schedule"), Run.Int("T")),
            AnalyticModel.Prediction(Run.Text("mean")),
            AnalyticModel.Variance(Run.Text("var")),
            Run.Bool("rescale_timesteps"));
        using var diffusion = original.Respace(Spacing(Run.GetProperty("spec"), Run.Int("T")));
        Assert.AreEqual(Run.Int("num_spaced_steps"), diffusion.Timesteps);

        Tensor x = data["x_t"], t = data["t"], noise = data["step_noise"];
        var time = diffusion.ModelTime(t);
        var model = ProcessParityTests.Model.For(diffusion.Variance);
        var parts = name.Split('/');
        var step = diffusion.PMeanVariance(model(x, time), x, t, Run.Bool("clip_denoised") ? X0Threshold.Clip : X0Threshold.None);
        var (got, tolerance) = parts[0] switch
        {
            "model_time" => (time, new Tolerance(1e-6, 1e-6)),
            "pmv" => (Of(step, parts[1]), new Tolerance(5e-6, 2e-6)),
            "p_sample" => (diffusion.PSample(step, t, noise), new Tolerance(5e-6, 2e-6)),
            "ddim_sample" => (diffusion.DdimStep(step.X0, x, t, noise, double.Parse(parts[1].AsSpan(3), System.Globalization.CultureInfo.InvariantCulture)), new Tolerance(5e-4)),
            "loss" => (Loss(diffusion, model, data, parts), new Tolerance(1e-5, 1e-5)),
            _ => throw new AssertFailedException($"No part of the process answers to the reference's name '{name}'."),
        };
        tolerance.Check(data[name], got, name);
    }

    private static Tensor Of(ReverseStep step, string part) => part switch
    {
        "mean" => step.Mean,
        "variance" => step.Variance,
        "log_variance" => step.LogVariance,
        "pred_xstart" => step.X0,
        _ => throw new AssertFailedException($"p_mean_variance has no '{part}'."),
    };

    private static Tensor Loss(GaussianDiffusion diffusion, DenoisingModel model, ParityTensors data, string[] parts)
    {
        var loss = new DiffusionLoss(diffusion, new DiffusionLossOptions { Type = AnalyticModel.Loss(parts[1]) });
        return ProcessParityTests.Part(loss.Compute(model, data["x_start"], data["t"], data["noise"]), parts[2]);
    }

    private static int[] Spacing(JsonElement spec, int timesteps) => spec.ValueKind == JsonValueKind.String
        ? TimestepSpacing.Parse(spec.GetString()!, timesteps)
        : TimestepSpacing.Sections(timesteps, [.. spec.EnumerateArray().Select(count => count.GetInt32())]);
}
