using BenchmarkDotNet.Attributes;
using TorchSharp;

namespace Microsoft.ML.Diffusion.Benchmarks;

/// <summary>
/// The two steps that everything is made of, on the network of the published comparison: base 64, multipliers 1-2-2-2,
/// two blocks a resolution, attention at 16, four heads, FiLM; 3x32x32, batch 16.
/// </summary>
public class StepBenchmarks
{
    private const int Batch = 16;

    private Generator _generator = null!;
    private DenoisingNetwork _network = null!;
    private FlatAdam _optimizer = null!;
    private GaussianDiffusion _diffusion = null!;
    private DiffusionLoss _loss = null!;
    private Tensor _images = null!;
    private Tensor _timesteps = null!;

    /// <summary>Builds the network and one batch.</summary>
    [GlobalSetup]
    public void SetUp()
    {
        _generator = new Generator(1, CPU);
        _network = UNetOptions.Compact.Build(new UNetShape(3, 32, 32, 0, false), _generator);
        _optimizer = new FlatAdam(_network.parameters(), new AdamOptions());
        _diffusion = new GaussianDiffusion(NoiseScheduleOptions.Linear.Build(), PredictionType.Epsilon, VarianceType.FixedLarge);
        _loss = new DiffusionLoss(_diffusion, new DiffusionLossOptions());
        _images = rand([Batch, 3, 32, 32], float32, generator: _generator) * 2 - 1;
        _timesteps = randint(0, _diffusion.Timesteps, [Batch], int64, generator: _generator);
        Console.WriteLine($"{_optimizer.ParameterCount:N0} parameters");
    }

    /// <summary>Forward, backward, clip, Adam, moving average.</summary>
    [Benchmark]
    public double TrainingStep()
    {
        using var work = DeviceSelection.Enter(CPU, ComputePrecision.Automatic);
        using var scope = NewDisposeScope();
        Tensor noise = _loss.DrawNoise(_images.shape, _generator, CPU);
        using var rows = _loss.Compute((x, t) => _network.forward(x, t, null), _images, _timesteps, noise);
        rows.Loss.mean().backward();
        return _optimizer.Step(1e-4);
    }

    /// <summary>One forward pass without gradients.</summary>
    [Benchmark]
    public float DenoisingStep()
    {
        using var work = DeviceSelection.Enter(CPU, ComputePrecision.Automatic);
        using var scope = NewDisposeScope();
        using var inference = no_grad();
        return _network.forward(_images, _timesteps.to(float32), null)[0, 0, 0, 0].item<float>();
    }
}
