using BenchmarkDotNet.Attributes;
using TorchSharp;

namespace Microsoft.ML.Diffusion.Benchmarks;

/// <summary>A 3x3 convolution as the library runs it, against libtorch's with the channels last, its faster layout.</summary>
public class ConvolutionBenchmarks
{
    /// <summary>Times in a row, so that neither waking threads nor the clock's grain count, nor that memory is given back at the end.</summary>
    private const int Repeats = 50;

    private const int Batch = 16;

    private Tensor _x = null!;
    private Tensor _weight = null!;
    private Tensor _bias = null!;
    private Tensor _gradient = null!;

    /// <summary>Channels in and out; and the image's side.</summary>
    [Params("64 at 32x32", "128 at 16x16")]
    public string Layer { get; set; } = "";

    /// <summary>float32; and what is quicker on this processor: bfloat16, or float32 multiplied in 16-bit integers.</summary>
    [ParamsSource(nameof(Types))]
    public string Type { get; set; } = "Float32";

    /// <summary>Those that the processor has kernels for.</summary>
    public static IEnumerable<string> Types => MatrixUnit.OfThisProcessor is not null ? ["Float32", "BFloat16"] : Int16Products.AreQuicker ? ["Float32", "Int16"] : ["Float32"];

    /// <summary>Whether the gradients are computed too.</summary>
    [Params(false, true)]
    public bool Backward { get; set; }

    /// <summary>Makes the tensors.</summary>
    [GlobalSetup]
    public void SetUp()
    {
        var generator = new Generator(1, CPU);
        var type = Type == "BFloat16" ? ScalarType.BFloat16 : float32;
        var (channels, side) = Layer.StartsWith("64", StringComparison.Ordinal) ? (64, 32) : (128, 16);
        _x = ChannelsLast.Of(randn([Batch, channels, side, side], float32, generator: generator).to(type)).requires_grad_(Backward);
        _weight = ChannelsLast.Of(randn([channels, channels, 3, 3], float32, generator: generator)).requires_grad_(Backward);
        _bias = zeros(channels, float32).requires_grad_(Backward);
        _gradient = ChannelsLast.Of(randn([Batch, channels, side, side], float32, generator: generator).to(type));
    }

    /// <summary>libtorch's.</summary>
    [Benchmark(Baseline = true, OperationsPerInvoke = Repeats)]
    public void Plain() => Measure(() => nn.functional.conv2d(_x, _weight.to(_x.dtype), _bias.to(_x.dtype), padding: [1, 1]));

    /// <summary>The library's.</summary>
    [Benchmark(OperationsPerInvoke = Repeats)]
    public void Fused()
    {
        using var work = DeviceSelection.Enter(CPU, Type == "Float32" ? ComputePrecision.Full : ComputePrecision.Automatic);
        Measure(() => FusedConvolution.TryApply(_x, _weight, _bias)!);
    }

    private void Measure(Func<Tensor> forward)
    {
        for (int i = 0; i < Repeats; i++)
            Run(forward);
    }

    private void Run(Func<Tensor> forward)
    {
        using var scope = NewDisposeScope();
        if (Backward)
        {
            autograd.grad([forward()], [_x, _weight, _bias], [_gradient]);
            return;
        }
        using var inference = no_grad();
        forward();
    }
}
