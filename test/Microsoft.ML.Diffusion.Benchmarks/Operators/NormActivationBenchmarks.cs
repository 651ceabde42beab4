using BenchmarkDotNet.Attributes;

namespace Microsoft.ML.Diffusion.Benchmarks;

/// <summary>Group norm, FiLM and SiLU as the library runs them, against the same in plain operators: 16 x 64 x 32 x 32, the finest level of the compact network.</summary>
public class NormActivationBenchmarks
{
    /// <summary>Times in a row, so that neither waking threads nor the clock's grain count, nor that memory is given back at the end.</summary>
    private const int Repeats = 50;

    private const int Batch = 16, Channels = 64, Side = 32, Groups = 32;
    private const double Epsilon = 1e-5;

    private Tensor _x = null!;
    private Tensor _planes = null!;
    private Tensor _weight = null!;
    private Tensor _bias = null!;
    private Tensor _film = null!;
    private Tensor _gradient = null!;

    /// <summary>float32, plain operators on planes, which suits them; or bfloat16 with the channels last.</summary>
    [Params("Float32", "BFloat16")]
    public string Type { get; set; } = "Float32";

    /// <summary>Whether the gradients are computed too.</summary>
    [Params(false, true)]
    public bool Backward { get; set; }

    /// <summary>Makes the tensors.</summary>
    [GlobalSetup]
    public void SetUp()
    {
        var generator = new Generator(1, CPU);
        var type = Enum.Parse<ScalarType>(Type);
        _x = ChannelsLast.Of(randn([Batch, Channels, Side, Side], float32, generator: generator).to(type)).requires_grad_(Backward);
        _planes = (type == ScalarType.Float32 ? _x.detach().contiguous() : _x.detach()).requires_grad_(Backward);
        _gradient = ChannelsLast.Of(randn([Batch, Channels, Side, Side], float32, generator: generator).to(type));
        _weight = ones(Channels, float32).requires_grad_(Backward);
        _bias = zeros(Channels, float32).requires_grad_(Backward);
        _film = randn([Batch, 2 * Channels], float32, generator: generator).requires_grad_(Backward);
    }

    /// <summary>One operator after the other.</summary>
    [Benchmark(Baseline = true, OperationsPerInvoke = Repeats)]
    public void Plain() => Measure(_planes, () =>
    {
        Tensor normed = _weight.dtype == _planes.dtype
            ? nn.functional.group_norm(_planes, Groups, _weight, _bias, Epsilon)
            : nn.functional.group_norm(_planes.to(float32), Groups, _weight, _bias, Epsilon).to(_planes.dtype);
        Tensor film = _film.to(_planes.dtype);
        return nn.functional.silu(normed * (film.narrow(1, 0, Channels).reshape(Batch, Channels, 1, 1) + 1) + film.narrow(1, Channels, Channels).reshape(Batch, Channels, 1, 1));
    });

    /// <summary>The library's.</summary>
    [Benchmark(OperationsPerInvoke = Repeats)]
    public void Fused()
    {
        using var work = DeviceSelection.Enter(CPU, Enum.Parse<ScalarType>(Type) == ScalarType.BFloat16 ? ComputePrecision.BFloat16 : ComputePrecision.Full);
        Measure(_x, () => NormActivation.Apply(_x, new NormArguments(_weight, _bias, _film, new NormSettings(Groups, Epsilon, Silu: true))));
    }

    private void Measure(Tensor x, Func<Tensor> forward)
    {
        for (int i = 0; i < Repeats; i++)
            Run(x, forward);
    }

    private void Run(Tensor x, Func<Tensor> forward)
    {
        using var scope = NewDisposeScope();
        if (Backward)
        {
            autograd.grad([forward()], [x, _weight, _bias, _film], [_gradient]);
            return;
        }
        using var inference = no_grad();
        forward();
    }
}
