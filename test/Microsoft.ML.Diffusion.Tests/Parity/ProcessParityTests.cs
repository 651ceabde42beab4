using System.Globalization;
using System.Text.Json;

namespace Microsoft.ML.Diffusion.Tests;

/// <summary>Section B: every number of the diffusion process that improved-diffusion gives, one test a tensor.</summary>
[TestClass]
public sealed class ProcessParityTests
{
    private static readonly string[] Inputs = ["t", "x_start", "noise", "step_noise", "other"];
    private static readonly JsonElement Description = ParityData.Json("b_process.json");

    private static IEnumerable<JsonElement> Processes => Description.GetProperty("processes").EnumerateArray();

    public static IEnumerable<object[]> Cases =>
        from process in Processes
        from name in ParityData.Names(process.Text("file"))
        where !Inputs.Contains(name)
        select new object[] { process.Text("name"), name };

    public static IEnumerable<object[]> ProcessNames => Processes.Select(process => new object[] { process.Text("name") });

    [TestMethod]
    [TestCategory(ParityData.Category)]
    [DynamicData(nameof(Cases))]
    public void Process(string process, string tensor)
    {
        using var scope = NewDisposeScope();
        var settings = Processes.Single(candidate => candidate.Text("name") == process);
        using var data = ParityData.Tensors(settings.Text("file"));
        var parts = tensor.Split('/');
        if (parts[0] == "table")
        {
            using var diffusion = Diffusion(settings, "eps", "fixed_small");
            new Tolerance(1e-15, 1e-12).Check(Tolerance.Values(data[tensor]), diffusion.Coefficients.Compute(Table(parts[1])), tensor);
            return;
        }
        var timesteps = data["t"].data<long>().ToArray();
        Tolerance.Check(data[tensor], Compute(settings, data, parts), tensor, row => Of(parts, timesteps[row]));
    }

    [TestMethod]
    [TestCategory(ParityData.Category)]
    [DynamicData(nameof(ProcessNames))]
    public void ModelTime(string process)
    {
        using var scope = NewDisposeScope();
        var settings = Processes.Single(candidate => candidate.Text("name") == process);
        using var diffusion = Diffusion(settings, "eps", "fixed_small");
        var t = tensor(Array.ConvertAll(settings.Ints("t"), step => (long)step));
        new Tolerance(1e-6, 1e-6).Check(settings.Doubles("model_time"), Tolerance.Values(diffusion.ModelTime(t)), "model_time");
    }

    private static Tensor Compute(JsonElement settings, ParityTensors data, string[] parts)
    {
        Tensor x0 = data["x_start"], noise = data["noise"], other = data["other"], x = data["x_t"], t = data["t"];
        if (parts[0] is "pmv" or "vb_bpd" or "p_sample" or "ddim_sample" or "ddim_reverse")
            return Step(settings, data, parts);
        if (parts[0] == "loss")
            return Loss(settings, data, parts);
        using var diffusion = Diffusion(settings, "eps", "fixed_small");
        using var velocity = Diffusion(settings, "v", "fixed_small");
        return string.Join('/', parts) switch
        {
            "x_t" => diffusion.QSample(x0, t, noise),
            "q/mean" => diffusion.QMeanVariance(x0, t).Mean,
            "q/variance" => diffusion.QMeanVariance(x0, t).Variance,
            "q/log_variance" => diffusion.QMeanVariance(x0, t).LogVariance,
            "posterior/mean" => diffusion.PosteriorMeanVariance(x0, x, t).Mean,
            "posterior/variance" => diffusion.PosteriorMeanVariance(x0, x, t).Variance,
            "posterior/log_variance_clipped" => diffusion.PosteriorMeanVariance(x0, x, t).LogVariance,
            // The tolerance of this one is stated after the division by the factor that it multiplies errors with.
            "eps_to_xstart" => Unscaled(diffusion, data["eps_to_xstart"], diffusion.X0FromEpsilon(x, t, noise), t),
            "xstart_to_eps" => diffusion.EpsilonFromX0(x, t, other),
            "xprev_to_xstart" => diffusion.X0FromPrevious(x, t, other),
            "v_target" => velocity.Target(x0, x, t, noise),
            "v_to_xstart" => diffusion.X0FromV(x, t, other),
            "v_to_eps" => diffusion.EpsilonFromV(x, t, other),
            "prior_bpd" => VariationalBound.Prior(diffusion, x0),
            var unknown => throw new AssertFailedException($"No part of the process answers to the reference's name '{unknown}'."),
        };
    }

    private static Tensor Unscaled(GaussianDiffusion diffusion, Tensor want, Tensor got, Tensor t)
        => want + (got - want) / diffusion.At(Coefficient.SqrtRecipAlphaBar, t, got);

    private static Tensor Step(JsonElement settings, ParityTensors data, string[] parts)
    {
        Tensor x = data["x_t"], t = data["t"], noise = data["step_noise"];
        using var diffusion = Diffusion(settings, parts[1], parts[2]);
        var threshold = AnalyticModel.Threshold(parts[3]);
        var output = Model.For(diffusion.Variance)(x, diffusion.ModelTime(t));
        if (parts[0] == "vb_bpd")
            return VariationalBound.Term(diffusion, output, data["x_start"], x, t, threshold).Bits;
        var step = diffusion.PMeanVariance(output, x, t, threshold);
        return parts[0] switch
        {
            "p_sample" => diffusion.PSample(step, t, noise),
            "ddim_sample" => diffusion.DdimStep(step.X0, x, t, noise, double.Parse(parts[4].AsSpan(3), CultureInfo.InvariantCulture)),
            "ddim_reverse" => diffusion.DdimReverseStep(step.X0, x, t),
            _ => parts[4] switch
            {
                "mean" => step.Mean,
                "variance" => step.Variance,
                "log_variance" => step.LogVariance,
                "pred_xstart" => step.X0,
                var unknown => throw new AssertFailedException($"p_mean_variance has no '{unknown}'."),
            },
        };
    }

    private static Tensor Loss(JsonElement settings, ParityTensors data, string[] parts)
    {
        using var diffusion = Diffusion(settings, parts[2], parts[3]);
        var loss = new DiffusionLoss(diffusion, new DiffusionLossOptions { Type = AnalyticModel.Loss(parts[1]) });
        return Part(loss.Compute(Model.For(diffusion.Variance), data["x_start"], data["t"], data["noise"]), parts[4]);
    }

    internal static Tensor Part(DiffusionLossRows rows, string name) => name switch
    {
        "loss" => rows.Loss,
        "mse" => rows.Regression!,
        "vb" => rows.Bound!,
        _ => throw new AssertFailedException($"The losses have no '{name}'."),
    };

    internal static AnalyticModel Model { get; } = new(Description.GetProperty("model"));

    private static GaussianDiffusion Diffusion(JsonElement settings, string prediction, string variance) => new(
        AnalyticModel.Schedule(settings.Text("schedule"), settings.Int("T")),
        AnalyticModel.Prediction(prediction),
        AnalyticModel.Variance(variance),
        settings.Bool("rescale_timesteps"));

    private static Coefficient Table(string name) => name switch
    {
        "betas" => Coefficient.Beta,
        "alphas_cumprod" => Coefficient.AlphaBar,
        "log_one_minus_alphas_cumprod" => Coefficient.LogOneMinusAlphaBar,
        "posterior_log_variance_clipped" => Coefficient.PosteriorLogVariance,
        "posterior_mean_coef1" => Coefficient.PosteriorX0,
        "posterior_mean_coef2" => Coefficient.PosteriorX,
        "posterior_variance" => Coefficient.PosteriorVariance,
        "sqrt_recip_alphas_cumprod" => Coefficient.SqrtRecipAlphaBar,
        "sqrt_recipm1_alphas_cumprod" => Coefficient.SqrtRecipM1AlphaBar,
        _ => throw new AssertFailedException($"No table answers to the reference's name '{name}'."),
    };

    /// <summary>The stated tolerances, by tensor and timestep.</summary>
    private static Tolerance Of(string[] parts, long t)
    {
        // At t = 0 these readings put the pixels where the decoder's float32 probabilities cancel to its clamp.
        bool Cancels(string prediction) => t == 0 && (prediction is "xstart" or "xprev");
        switch (parts[0])
        {
            case "eps_to_xstart":
                return new Tolerance(2e-6);
            case "xstart_to_eps":
                return new Tolerance(1e-4, 1e-5);
            case "xprev_to_xstart":
                return new Tolerance(0.01, 2e-4);
            case "prior_bpd":
                return new Tolerance(1e-8);
            case "ddim_sample" or "ddim_reverse":
                return new Tolerance(5e-4);
            case "pmv" when parts[4] is "variance" or "log_variance":
                return new Tolerance(5e-6, 1e-5);
            case "pmv" when parts[4] == "pred_xstart":
                return parts[1] == "xprev" ? new Tolerance(5e-5, 5e-5) : new Tolerance(1e-5, 1e-5);
            case "pmv" or "p_sample":
                return parts[3] == "clip" ? new Tolerance(5e-6, 2e-6) : new Tolerance(1e-5, 1e-5);
            case "vb_bpd":
                return Cancels(parts[1]) ? new Tolerance(0, 0.1) : new Tolerance(1e-5, 1e-5);
            case "loss" when parts[1] is "kl" or "rescaled_kl":
                return Cancels(parts[2]) ? new Tolerance(0, 0.1) : parts[2] == "eps" ? new Tolerance(1e-4, 1e-4) : new Tolerance(1e-3, 1e-4);
            case "loss" when parts[4] == "mse" || !AnalyticModel.Variance(parts[3]).IsLearned:
                return new Tolerance(1e-6, 1e-6);
            case "loss":
                return Cancels(parts[2]) ? new Tolerance(0, 0.1) : new Tolerance(1e-5, 1e-5);
            default:
                return new Tolerance(2e-6, 1e-6);
        }
    }
}
