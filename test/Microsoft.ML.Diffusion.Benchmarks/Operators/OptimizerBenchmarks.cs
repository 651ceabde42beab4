using BenchmarkDotNet.Attributes;
using TorchSharp.Modules;

namespace Microsoft.ML.Diffusion.Benchmarks;

/// <summary>Clip, Adam, moving average and clearing over 9.6 million parameters: one pass over flat memory against a tensor after the other.</summary>
public class OptimizerBenchmarks
{
    private Parameter[] _flatParameters = [];
    private FlatAdam _flat = null!;
    private Parameter[] _plainParameters = [];
    private Tensor[] _average = [];
    private Adam _plain = null!;

    /// <summary>Two networks of the same weights.</summary>
    [GlobalSetup]
    public void SetUp()
    {
        _flatParameters = Parameters();
        _flat = new FlatAdam(_flatParameters, new Microsoft.ML.Diffusion.AdamOptions { EmaDecay = 0.999 });
        _plainParameters = Parameters();
        _average = [.. _plainParameters.Select(p => p.detach().clone())];
        _plain = optim.Adam(_plainParameters, 1e-4);
    }

    /// <summary>Gives both the gradients that they clear.</summary>
    [IterationSetup]
    public void FillGradients()
    {
        using var off = no_grad();
        foreach (Parameter parameter in _flatParameters)
            parameter.grad!.fill_(1e-3);
        foreach (Parameter parameter in _plainParameters)
        {
            if (parameter.grad is { } gradient)
                gradient.fill_(1e-3);
            else
                parameter.grad = full_like(parameter, 1e-3);
        }
    }

    /// <summary>torch.optim.Adam, with clipping and averaging as a user writes them.</summary>
    [Benchmark(Baseline = true)]
    public void TorchAdam()
    {
        nn.utils.clip_grad_norm_(_plainParameters, 1);
        _plain.step();
        using var off = no_grad();
        for (int i = 0; i < _average.Length; i++)
            _average[i].mul_(0.999).add_(_plainParameters[i], 0.001);
        _plain.zero_grad();
    }

    /// <summary>The library's.</summary>
    [Benchmark]
    public double Flat() => _flat.Step(1e-4);

    private static Parameter[] Parameters() =>
        [.. UNetOptions.Compact.Build(new UNetShape(3, 32, 32, 0, false), new Generator(1, CPU)).parameters()];
}
