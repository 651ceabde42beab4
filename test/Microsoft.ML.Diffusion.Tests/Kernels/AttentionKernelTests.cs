namespace Microsoft.ML.Diffusion.Tests;

/// <summary>Attention and its gradient against libtorch's operators in float64.</summary>
[TestClass]
public sealed unsafe class AttentionKernelTests
{
    private const double Tolerance = 5e-6;

    /// <summary>The same where 16-bit integers are multiplied.</summary>
    private const double ToleranceOfIntegers = 2e-3;

    /// <summary>N, T, heads, d: fewer positions than a block of queries has, as many, more, and a last block that is not full.</summary>
    private static IEnumerable<object[]> Shapes
    {
        get
        {
            foreach (int lanes in (int[])[16, 8, 4])
            {
                yield return [lanes, 2, lanes, 1, lanes];
                yield return [lanes, 1, 48, 2, 2 * lanes];
                yield return [lanes, 2, 64, 3, lanes];
                yield return [lanes, 1, 112, 2, 3 * lanes];
                yield return [lanes, 1, 144, 1, 5 * lanes];
            }
        }
    }

    private static IEnumerable<object[]> ShapesOfIntegers => Shapes.Where(shape => (int)shape[0] >= 8);

    [TestMethod]
    [DynamicData(nameof(Shapes))]
    public void ItMixesTheValuesAsThePlainOperatorsDo(int lanes, int images, int positions, int heads, int width)
    {
        using var scope = NewDisposeScope();
        var size = new AttentionSize(images, positions, heads, width);
        Check(lanes, size, KernelData.Draw(1, images, positions, 3 * heads * width), Tolerance);
    }

    [TestMethod]
    [DynamicData(nameof(ShapesOfIntegers))]
    public void InIntegersItIsTheSameToFewerDigits(int lanes, int images, int positions, int heads, int width)
    {
        KernelData.NeedsAvx2();
        using var scope = NewDisposeScope();
        Check(lanes, new(images, positions, heads, width), KernelData.Draw(1, images, positions, 3 * heads * width), ToleranceOfIntegers, integers: true);
    }

    [TestMethod]
    [DataRow(16)]
    [DataRow(8)]
    [DataRow(4)]
    public void LargeProductsCostTheDigitsOfTheirLogarithm(int lanes)
    {
        using var scope = NewDisposeScope();
        var size = new AttentionSize(2, 64, 2, 16);
        Tensor qkv = KernelData.Draw(7, 2, 64, 96) * tensor([.. Enumerable.Repeat(8.0, 32), .. Enumerable.Repeat(1.0, 64)]);
        Assert.IsGreaterThan(30, Logits(size, qkv).max().item<double>());
        Check(lanes, size, qkv, 2e-5);
    }

    [TestMethod]
    [DataRow(16)]
    [DataRow(8)]
    [DataRow(4)]
    public void VeryLargeProductsOverflowNothing(int lanes)
    {
        const double factor = 1024;
        using var scope = NewDisposeScope();
        var size = new AttentionSize(1, 64, 2, 16);
        Tensor qkv = KernelData.Draw(1, 1, 64, 96) * tensor([.. Enumerable.Repeat(factor, 64), .. Enumerable.Repeat(1.0, 32)]);
        Assert.IsGreaterThan(1e6, Logits(size, qkv).max().item<double>());
        var (want, y, wanted, gotten) = Run(lanes, size, qkv);
        Assert.IsLessThan(Tolerance, KernelData.Error(want, y));
        Assert.IsLessThan(Tolerance, KernelData.Error(wanted[2], gotten[2]));
        // Every query sees one key alone, so that it and the keys cannot change a thing: what is left is rounding.
        for (int part = 0; part < 2; part++)
        {
            Assert.IsLessThan(1e-100, wanted[part].abs().max().item<double>());
            Assert.IsTrue(gotten[part].abs().max().item<float>() < 1e-5 * factor, $"part {part}");
        }
    }

    [TestMethod]
    [DataRow(16)]
    [DataRow(8)]
    [DataRow(4)]
    public void ItSaysTheLogarithmOfTheSumOrNothing(int lanes)
    {
        using var scope = NewDisposeScope();
        var size = new AttentionSize(2, 64, 2, 16);
        Tensor qkv = KernelData.Draw(5, 2, 64, 96) * 3, narrow = qkv.to(float32), y = empty([2, 64, 32], float32), z = empty([2, 64, 32], float32);
        Tensor normalizers = empty([2, 2, 64], float32);
        Kernel(lanes, size, narrow, y, normalizers);
        Kernel(lanes, size, narrow, z, null);
        CollectionAssert.AreEqual(y.data<float>().ToArray(), z.data<float>().ToArray());
        Assert.IsLessThan(1e-6, KernelData.Error(Logits(size, qkv).exp().sum(-1).log(), normalizers));
    }

    private static void Check(int lanes, AttentionSize size, Tensor qkv, double tolerance, bool integers = false)
    {
        var (want, y, wanted, gotten) = Run(lanes, size, qkv, integers);
        Assert.IsLessThan(tolerance, KernelData.Error(want, y));
        for (int part = 0; part < 3; part++)
            Assert.IsLessThan(tolerance, KernelData.Error(wanted[part], gotten[part]), $"part {part}");
    }

    /// <summary>Results and gradients of both sides; the gradients of queries, keys and values apart, since they need not be of one size.</summary>
    private static (Tensor Want, Tensor Y, Tensor[] WantedGradients, Tensor[] Gradients) Run(int lanes, AttentionSize size, Tensor qkv, bool integers = false)
    {
        Tensor leaf = qkv.detach().clone().requires_grad_();
        long width = (long)size.Heads * size.Width;
        // Written out: libtorch 2.10's own operator computes its gradient from a rounded logarithm.
        Tensor weights = Logits(size, leaf).softmax(-1);
        Tensor want = weights.matmul(Parts(size, leaf).V).transpose(1, 2).reshape(size.Images, size.Positions, width);
        Tensor dy = KernelData.Draw(2, want.shape);
        (want * dy).sum().backward();

        Tensor narrow = qkv.to(float32), y = full(want.shape, float.NaN), normalizers = empty([size.Images, size.Heads, size.Positions], float32);
        Kernel(lanes, size, narrow, y, normalizers, integers);
        Tensor slope = dy.to(float32), dqkv = full(qkv.shape, float.NaN);
        KernelData.Poison(100_000);
        Backward backward = integers
            ? KernelData.For<Backward>(
                lanes, AttentionKernel<Lanes512, Int16Factors<Lanes512>>.Backward, AttentionKernel<Lanes256, Int16Factors<Lanes256>>.Backward, AttentionKernel<Lanes128, WideFactors<Lanes128>>.Backward)
            : KernelData.For<Backward>(
                lanes, AttentionKernel<Lanes512, WideFactors<Lanes512>>.Backward, AttentionKernel<Lanes256, WideFactors<Lanes256>>.Backward, AttentionKernel<Lanes128, WideFactors<Lanes128>>.Backward);
        backward(
            size, HostMemory.Pointer(narrow), HostMemory.Pointer(y), HostMemory.Pointer(normalizers), HostMemory.Pointer(slope), HostMemory.Pointer(dqkv));
        return (want, y, Split(leaf.grad!), Split(dqkv));

        Tensor[] Split(Tensor gradient) => [.. Enumerable.Range(0, 3).Select(part => gradient.narrow(2, part * width, width))];
    }

    private delegate void Forward(AttentionSize size, float* qkv, float* y, float* normalizers);

    private delegate void Backward(AttentionSize size, float* qkv, float* y, float* normalizers, float* dy, float* dqkv);

    private static void Kernel(int lanes, AttentionSize size, Tensor qkv, Tensor y, Tensor? normalizers, bool integers = false)
    {
        KernelData.Poison(100_000);
        Forward forward = integers
            ? KernelData.For<Forward>(
                lanes, AttentionKernel<Lanes512, Int16Factors<Lanes512>>.Apply, AttentionKernel<Lanes256, Int16Factors<Lanes256>>.Apply, AttentionKernel<Lanes128, WideFactors<Lanes128>>.Apply)
            : KernelData.For<Forward>(
                lanes, AttentionKernel<Lanes512, WideFactors<Lanes512>>.Apply, AttentionKernel<Lanes256, WideFactors<Lanes256>>.Apply, AttentionKernel<Lanes128, WideFactors<Lanes128>>.Apply);
        forward(size, HostMemory.Pointer(qkv), HostMemory.Pointer(y), normalizers is null ? null : HostMemory.Pointer(normalizers));
    }

    private static Tensor Logits(AttentionSize size, Tensor qkv)
    {
        var (q, k, _) = Parts(size, qkv);
        return q.matmul(k.transpose(-1, -2)) / Math.Sqrt(size.Width);
    }

    private static (Tensor Q, Tensor K, Tensor V) Parts(AttentionSize size, Tensor qkv)
    {
        Tensor parts = qkv.reshape(size.Images, size.Positions, 3, size.Heads, size.Width).permute(2, 0, 3, 1, 4);
        return (parts.select(0, 0), parts.select(0, 1), parts.select(0, 2));
    }
}
