using BenchmarkDotNet.Attributes;

namespace Microsoft.ML.Diffusion.Benchmarks;

/// <summary>Group norm, FiLM and SiLU as the library runs them, against the same in plain operators: 16 x 64 x 32 x 32, the finest level of the compact network.</summary>
public class NormActivationBenchmarks
{
    /// <summary>Times in a row, so that neither waking threads nor the clock's grain count.</summary>
    private const int Repeats = 10;

    private const int Batch = 16, Channels = 64, Side = 32, Groups = 32;
    private const double Epsilon = 1e-5;

    private Tensor _x = null!;
    private Tensor _planes = null!;
    private Tensor _weight = null!;
    private Tensor _bias = null!;
    private Tensor _scale = null!;
    private Tensor _shift = null!;
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
        _scale = randn([Batch, Channels], float32, generator: generator).to(type).requires_grad_(Backward);
        _shift = randn([Batch, Channels], float32, generator: generator).to(type).requires_grad_(Backward);
    }

    /// <summary>One operator after the other.</summary>
    [Benchmark(Baseline = true, OperationsPerInvoke = Repeats)]
    public void Plain() => Measure(_planes, () =>
    {
        Tensor normed = _weight.dtype == _planes.dtype
            ? nn.functional.group_norm(_planes, Groups, _weight, _bias, Epsilon)
            : nn.functional.group_norm(_planes.to(float32), Groups, _weight, _bias, Epsilon).to(_planes.dtype);
        return nn.functional.silu(normed * (_scale.reshape(Batch, Channels, 1, 1) + 1) + _shift.reshape(Batch, Channels, 1, 1));
    });

    /// <summary>The library's.</summary>
    [Benchmark(OperationsPerInvoke = Repeats)]
    public void Fused()
    {
        using var work = DeviceSelection.Enter(CPU, Enum.Parse<ScalarType>(Type) == ScalarType.BFloat16 ? ComputePrecision.BFloat16 : ComputePrecision.Full);
        Measure(_x, () =>
        {
            var norm = new NormArguments(_weight, _bias, cat([_scale, _shift], 1), new NormSettings(Groups, Epsilon, Silu: true));
            return NormActivation.Apply(_x, norm);
        });
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
            autograd.grad([forward()], [x, _weight, _bias, _scale, _shift], [_gradient]);
            return;
        }
        using var inference = no_grad();
        forward();
    }
}
