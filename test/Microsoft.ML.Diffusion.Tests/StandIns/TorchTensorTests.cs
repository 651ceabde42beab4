using System.Runtime.InteropServices;
using TorchSharp;

namespace Microsoft.ML.Diffusion.StandIns;

/// <summary>What the library takes for granted of a tensor, whichever TorchSharp it runs on.</summary>
[TestClass]
public class TorchTensorTests
{
    [TestMethod]
    public void BytesAreTheTensorsOwnMemory()
    {
        using var t = zeros(3);
        MemoryMarshal.Cast<byte, float>(t.bytes)[1] = 5;
        CollectionAssert.AreEqual(new float[] { 0, 5, 0 }, t.data<float>().ToArray());
    }

    [TestMethod]
    public void BytesOfATransposedTensorAreRefused()
    {
        using var t = zeros(2, 3).t();
        Assert.ThrowsExactly<InvalidOperationException>(() => t.bytes.Length);
    }

    [TestMethod]
    public void BFloat16IsReadThroughBytesAlone()
    {
        using var t = tensor(new float[] { 1, -2, 0.5f }).to(bfloat16);
        CollectionAssert.AreEqual(new byte[] { 0x80, 0x3f, 0x00, 0xc0, 0x00, 0x3f }, t.bytes.ToArray());
        Assert.ThrowsExactly<ArgumentException>(() => t.data<float>());
        CollectionAssert.AreEqual(new float[] { 1, -2, 0.5f }, t.to(float32).data<float>().ToArray());
    }

    [TestMethod]
    public void AMismatchIsAnExternalExceptionWithLibtorchsText()
    {
        using var a = zeros(2, 3);
        using var b = zeros(4, 5);
        var failure = Assert.ThrowsExactly<ExternalException>(() => a.add(b));
        StringAssert.Contains(failure.Message, "The size of tensor a (3) must match the size of tensor b (5)");
        var convolution = Assert.ThrowsExactly<ExternalException>(() => nn.functional.conv2d(zeros(1, 3, 4, 4), zeros(2, 4, 3, 3)));
        StringAssert.Contains(convolution.Message, "channels");
    }

    [TestMethod]
    public void ATensorCopiesItsArrayAndFromArraySharesIt()
    {
        float[] numbers = [1, 2, 3];
        using var copy = tensor(numbers);
        using var shared = from_array(numbers);
        numbers[0] = 9;
        Assert.AreEqual(1f, copy[0].item<float>());
        Assert.AreEqual(9f, shared[0].item<float>());
    }

    [TestMethod]
    public void FromBufferConvertsElementByElement()
    {
        using var t = frombuffer(new byte[] { 0, 0, 128, 63 }, float32);
        CollectionAssert.AreEqual(new float[] { 0, 0, 128, 63 }, t.data<float>().ToArray());
    }

    [TestMethod]
    public void DataOfAStridedTensorComesInRowMajorOrder()
    {
        using var t = arange(6).reshape(2, 3).t();
        CollectionAssert.AreEqual(new long[] { 0, 3, 1, 4, 2, 5 }, t.data<long>().ToArray());
        Assert.AreEqual(4, t.data<long>()[1, 1]);
        Assert.AreEqual(5, t[2, 1].item<long>());
    }

    [TestMethod]
    public void IndicesReadAndWriteLikePythons()
    {
        using var t = arange(12).reshape(3, 4);
        CollectionAssert.AreEqual(new long[] { 7, 11 }, t[TensorIndex.Slice(1), TensorIndex.Ellipsis, -1].data<long>().ToArray());
        CollectionAssert.AreEqual(new long[] { 10, 11 }, t[t > 9].data<long>().ToArray());
        CollectionAssert.AreEqual(new long[] { 3, 1, 7, 5, 11, 9 },
            t[TensorIndex.Colon, TensorIndex.Tensor(tensor(new long[] { 3, 1 }))].data<long>().ToArray());
        CollectionAssert.AreEqual(new long[] { 3, 1, 4 }, t[TensorIndex.Colon, TensorIndex.None].shape);
        t[1] = tensor(5L);
        t[TensorIndex.Colon, 0] = tensor(-1L);
        t.index_put_(9, TensorIndex.Tensor(t.eq(5)));
        CollectionAssert.AreEqual(new long[] { -1, 1, 2, 3, -1, 9, 9, 9, -1, 9, 10, 11 }, t.data<long>().ToArray());
    }

    [TestMethod]
    public void GeneratorsRepeatAndResume()
    {
        using var first = new Generator(42);
        using var second = new Generator(42);
        using var other = new Generator(43);
        using var a = randn([100], generator: first);
        Assert.IsTrue(a.Equals(randn([100], generator: second)));
        Assert.IsFalse(a.Equals(randn([100], generator: other)));

        using var state = first.get_state();
        using var next = rand([7], generator: first);
        first.set_state(state);
        Assert.IsTrue(next.Equals(rand([7], generator: first)));
        first.manual_seed(42);
        Assert.IsTrue(a.Equals(randn([100], generator: first)));
        Assert.AreEqual(42, first.initial_seed());
    }

    [TestMethod]
    public void PermutationsAndIntegersFollowTheirGenerator()
    {
        using var g = new Generator(1);
        using var permutation = randperm(50, generator: g);
        g.manual_seed(1);
        Assert.IsTrue(permutation.Equals(randperm(50, generator: g)));
        CollectionAssert.AreEqual(Enumerable.Range(0, 50).Select(i => (long)i).ToArray(), permutation.sort().Values.data<long>().ToArray());
        using var integers = randint(3, 8, [1000], generator: g);
        Assert.AreEqual(3, integers.min().item<long>());
        Assert.AreEqual(7, integers.max().item<long>());
    }

    [TestMethod]
    public void ChannelsLastStridesSurviveAConvolution()
    {
        using var x = ones(2, 3, 4, 4).permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2);
        using var w = ones(5, 3, 3, 3).permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2);
        using var y = nn.functional.conv2d(x, w, padding: [1, 1]);
        CollectionAssert.AreEqual(new long[] { 2, 5, 4, 4 }, y.shape);
        CollectionAssert.AreEqual(new long[] { 80, 1, 20, 5 }, y.stride());
        Assert.AreEqual(27f, y[0, 0, 1, 1].item<float>());
    }

    [TestMethod]
    public void AttentionMasksSayWhereToLook()
    {
        using var g = new Generator(3);
        using var q = randn([2, 4, 5, 8], generator: g);
        using var k = randn([2, 4, 5, 8], generator: g);
        using var v = randn([2, 4, 5, 8], generator: g);
        using var seen = ones([5, 5], @bool).tril();
        using var scores = q.matmul(k.transpose(-2, -1)) / Math.Sqrt(8);
        using var expected = scores.masked_fill(seen.logical_not(), float.NegativeInfinity).softmax(-1).matmul(v);
        Assert.IsTrue(nn.functional.scaled_dot_product_attention(q, k, v, seen).allclose(expected, 1e-5, 1e-6));
        Assert.IsTrue(nn.functional.scaled_dot_product_attention(q, k, v, is_casual: true).allclose(expected, 1e-5, 1e-6));
    }

    [TestMethod]
    public void QuantilesInterpolate()
    {
        using var t = tensor(new double[] { 4, 1, 3, 2 });
        Assert.AreEqual(2.5, t.quantile(tensor(0.5)).item<double>(), 1e-12);
        Assert.AreEqual(1.75, quantile(t, tensor(0.25)).item<double>(), 1e-12);
    }

    [TestMethod]
    public void MinusAndDivisionTakeANumberOnTheLeft()
    {
        using var t = tensor(new double[] { 2, 4 });
        CollectionAssert.AreEqual(new double[] { -1, -3 }, (1 - t).data<double>().ToArray());
        CollectionAssert.AreEqual(new double[] { 0.5, 0.25 }, (1 / t).data<double>().ToArray());
        CollectionAssert.AreEqual(new[] { true, false }, (3 > t).data<bool>().ToArray());
    }
}
