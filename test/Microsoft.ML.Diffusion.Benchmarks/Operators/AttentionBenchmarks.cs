using BenchmarkDotNet.Attributes;
using TorchSharp;

namespace Microsoft.ML.Diffusion.Benchmarks;

/// <summary>Softmax attention as the library runs it, against libtorch's operators: 16 images of 16x16 positions, four heads of 32 channels.</summary>
public class AttentionBenchmarks
{
    /// <summary>Times in a row, so that neither waking threads nor the clock's grain count, nor that memory is given back at the end.</summary>
    private const int Repeats = 50;

    private const int Batch = 16, Positions = 256, Heads = 4, Width = 32;

    private Tensor _qkv = null!;
    private Tensor _gradient = null!;

    /// <summary>float32; and bfloat16 where the processor has a matrix unit.</summary>
    [ParamsSource(nameof(Types))]
    public string Type { get; set; } = "Float32";

    /// <summary>Those that the processor has kernels for.</summary>
    public static IEnumerable<string> Types => MatrixUnit.OfThisProcessor is null ? ["Float32"] : ["Float32", "BFloat16"];

    /// <summary>Whether the gradients are computed too.</summary>
    [Params(false, true)]
    public bool Backward { get; set; }

    /// <summary>Makes the tensors.</summary>
    [GlobalSetup]
    public void SetUp()
    {
        var generator = new Generator(1, CPU);
        var type = Enum.Parse<ScalarType>(Type);
        _qkv = randn([Batch, Positions, 3 * Heads * Width], float32, generator: generator).to(type).requires_grad_(Backward);
        _gradient = randn([Batch, Positions, Heads * Width], float32, generator: generator).to(type);
    }

    /// <summary>libtorch's.</summary>
    [Benchmark(Baseline = true, OperationsPerInvoke = Repeats)]
    public void Plain() => Measure(() =>
    {
        Tensor parts = _qkv.view(Batch, Positions, 3, Heads, Width).permute(2, 0, 3, 1, 4);
        return Attention.Apply(parts.select(0, 0), parts.select(0, 1), parts.select(0, 2)).transpose(1, 2).reshape(Batch, Positions, Heads * Width);
    });

    /// <summary>The library's.</summary>
    [Benchmark(OperationsPerInvoke = Repeats)]
    public void Fused()
    {
        using var work = DeviceSelection.Enter(CPU, ComputePrecision.Automatic);
        Measure(() => FusedAttention.TryApply(_qkv, Heads)!);
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
            autograd.grad([forward()], [_qkv], [_gradient]);
            return;
        }
        using var inference = no_grad();
        forward();
    }
}
