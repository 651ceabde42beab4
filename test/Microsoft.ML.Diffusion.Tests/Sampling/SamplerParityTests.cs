using System.Text.Json;

namespace Microsoft.ML.Diffusion.Tests;

/// <summary>Every run of f_samplers.json, step by step: same start, same noise, an exact denoiser, the reference's states.</summary>
[TestClass]
[TestCategory(ParityData.Category)]
public class SamplerParityTests
{
    private static readonly JsonElement Runs = ParityData.Json("f_samplers.json");

    public static IEnumerable<object[]> Discrete => Of(run => !IsSigma(run));

    public static IEnumerable<object[]> Continuous => Of(run => IsSigma(run) && !IsEdm(run));

    public static IEnumerable<object[]> Edm => Of(IsEdm);

    [TestMethod]
    [DynamicData(nameof(Discrete))]
    public void VariancePreserving(string name)
    {
        var run = Run(name);
        using var scope = NewDisposeScope();
        using var tensors = ParityData.Tensors(run.Text("file"));
        var settings = ReferenceSampler.Of(run);
        var denoiser = new NetworkDenoiser(ExactNetwork(settings, tensors["mu"]), settings.Schedule, settings.Denoiser);
        var trace = new SamplerTrace();
        var result = settings.Sampler.Sample(trace.Request(denoiser, settings.Schedule, tensors["x_T"], Noise(tensors, name)));

        var atol = settings.LooseSigmas ? 2e-4 : 2e-5;
        trace.AssertStates(tensors[$"{name}/xs"], result, inSigmaScale: false, atol, 0);
        trace.AssertTimesteps(tensors[$"{name}/timesteps"]);
        if (settings.Sampler is SigmaSampler sampler)
            SamplerTrace.AssertRelative(tensors[$"{name}/sigmas"], sampler.Grid.Sigmas(settings.Schedule, sampler.Steps), 5e-4);
    }

    [TestMethod]
    [DynamicData(nameof(Continuous))]
    public void KarrasSigmas(string name)
    {
        using var scope = NewDisposeScope();
        var run = Run(name);
        using var tensors = ParityData.Tensors(run.Text("file"));
        var settings = ReferenceSampler.Of(run);
        var trace = new SamplerTrace();
        var result = settings.Sampler.Sample(trace.Request(SigmaModel(tensors["mu"]), settings.Schedule, tensors["latents"], Noise(tensors, name)));

        trace.AssertStates(tensors[$"{name}/xs"], result, inSigmaScale: true, 5e-5, 5e-5);
        var sampler = (SigmaSampler)settings.Sampler;
        SamplerTrace.AssertRelative(tensors[$"{name}/sigmas"], sampler.Grid.Sigmas(settings.Schedule, sampler.Steps), 1e-5);
    }

    [TestMethod]
    [DynamicData(nameof(Edm))]
    public void EdmInFloat64(string name)
    {
        using var scope = NewDisposeScope();
        var run = Run(name);
        using var tensors = ParityData.Tensors(run.Text("file"));
        var settings = ReferenceSampler.Of(run);
        var recorder = new RecordingDenoiser(SigmaModel(tensors["mu"]));
        var trace = new SamplerTrace();
        var start = tensors["latents"].to_type(ScalarType.Float64);
        var result = settings.Sampler.Sample(trace.Request(recorder, settings.Schedule, start, Noise(tensors, name)));

        SamplerTrace.AssertClose(tensors[$"{name}/x_final"], result, 1e-11, 1e-12);
        SamplerTrace.AssertClose(tensors[$"{name}/net_sigmas"], tensor(recorder.Sigmas.ToArray()), 1e-11, 1e-12);
        SamplerTrace.AssertClose(tensors[$"{name}/net_inputs"], stack(recorder.Inputs), 1e-11, 1e-12);
        var sampler = (SigmaSampler)settings.Sampler;
        SamplerTrace.AssertClose(tensors[$"{name}/t_steps"], tensor(sampler.Grid.Sigmas(settings.Schedule, sampler.Steps)), 1e-11, 1e-12);
    }

    private static IEnumerable<object[]> Of(Func<JsonElement, bool> wanted)
        => Runs.GetProperty("runs").EnumerateArray().Where(wanted).Select(run => new object[] { run.Text("name") });

    private static bool IsSigma(JsonElement run) => IsEdm(run) || run.Text("reference").StartsWith("k-diffusion", StringComparison.Ordinal);

    private static bool IsEdm(JsonElement run) => run.Text("reference").StartsWith("edm", StringComparison.Ordinal);

    private static JsonElement Run(string name) => Runs.GetProperty("runs").EnumerateArray().Single(run => run.Text("name") == name);

    private static double Deviation => Runs.GetProperty("data").Double("s");

    private static INoiseSource? Noise(ParityTensors tensors, string name) => tensors.Has($"{name}/noise") ? new ListedNoise(tensors[$"{name}/noise"]) : null;

    /// <summary>The analytic network of the vectors: exact at whole timesteps of its schedule, in the prediction asked for.</summary>
    private static DenoisingModel ExactNetwork(ReferenceSampler settings, Tensor mu) => (x, timesteps) =>
    {
        using var scope = NewDisposeScope();
        var t = (int)Math.Round(timesteps[0].item<float>() * (settings.Denoiser.RescaleTimesteps ? settings.Schedule.Timesteps / 1000.0 : 1));
        double alphaBar = settings.Schedule.AlphaBar(t), variance = alphaBar * Deviation * Deviation + 1 - alphaBar;
        var centred = x.to_type(ScalarType.Float64).sub(mu.mul(Math.Sqrt(alphaBar)));
        var epsilon = centred.mul(Math.Sqrt(1 - alphaBar) / variance);
        var x0 = centred.mul(Math.Sqrt(alphaBar) * Deviation * Deviation / variance).add(mu);
        var output = settings.Denoiser.Prediction switch
        {
            PredictionType.Epsilon => epsilon,
            PredictionType.X0 => x0,
            _ => epsilon.mul(Math.Sqrt(alphaBar)).sub(x0.mul(Math.Sqrt(1 - alphaBar))),
        };
        return output.to_type(ScalarType.Float32).MoveToOuterDisposeScope();
    };

    private static SigmaDenoiser SigmaModel(Tensor mu) => new(mu, Deviation);

    /// <summary>D(x̂, σ) = (s²·x̂ + σ²·μ)/(s² + σ²).</summary>
    private sealed class SigmaDenoiser(Tensor mu, double deviation) : IDenoiser
    {
        public Denoised Denoise(Tensor x, NoiseLevel level)
        {
            using var scope = NewDisposeScope();
            double variance = deviation * deviation, sigma2 = level.Sigma * level.Sigma;
            var scaled = x.mul(1 / Math.Sqrt(level.AlphaBar));
            return new Denoised(scaled.mul(variance).add(mu.to_type(ScalarType.Float64).mul(sigma2)).div(variance + sigma2).MoveToOuterDisposeScope());
        }
    }

    private sealed class RecordingDenoiser(IDenoiser inner) : IDenoiser
    {
        public List<double> Sigmas { get; } = [];

        public List<Tensor> Inputs { get; } = [];

        public Denoised Denoise(Tensor x, NoiseLevel level)
        {
            Sigmas.Add(level.Sigma);
            Inputs.Add(x.div(Math.Sqrt(level.AlphaBar)).DetachFromDisposeScope());
            return inner.Denoise(x, level);
        }
    }
}
