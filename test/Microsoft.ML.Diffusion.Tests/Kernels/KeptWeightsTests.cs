using TorchSharp;

namespace Microsoft.ML.Diffusion.Tests;

/// <summary>Weights that are kept in the form that a kernel multiplies with: whose, how long, and that results are the same.</summary>
[TestClass]
public sealed unsafe class KeptWeightsTests
{
    private const int Inputs = 64, Outputs = 32, Images = 2;

    [TestMethod]
    [DynamicData(nameof(Operators))]
    public void WhatIsKeptIsMultipliedWithUntilTheEnd(string unit, Operator of)
    {
        using Tensor weight = Weight(of == Operator.Product ? 1 : 3);
        float[] before = Run(unit, of, weight);
        using (KeptWeights.Enter([weight]))
        {
            CollectionAssert.AreEqual(before, Run(unit, of, weight), "the first time");
            CollectionAssert.AreEqual(before, Run(unit, of, weight), "the second time");
            weight.mul_(2);
            CollectionAssert.AreEqual(before, Run(unit, of, weight), "it was not packed again");
        }
        CollectionAssert.AreEqual(before.Select(value => 2 * value).ToArray(), Run(unit, of, weight), "afterwards it is");
    }

    [TestMethod]
    [DynamicData(nameof(Operators))]
    public void AnothersWeightsAreNotKept(string unit, Operator of)
    {
        using Tensor kept = Weight(of == Operator.Product ? 1 : 3), other = kept.clone();
        float[] before = Run(unit, of, kept);
        using (KeptWeights.Enter([kept]))
        {
            Run(unit, of, kept);
            Run(unit, of, other);
            other.mul_(2);
            CollectionAssert.AreEqual(before.Select(value => 2 * value).ToArray(), Run(unit, of, other));
        }
    }

    [TestMethod]
    [DataRow(Operator.Tiles)]
    [DataRow(Operator.ManyTiles)]
    public void TransformedWeightsInFloat32AreNotKept(Operator of)
    {
        using Tensor weight = Weight(3);
        using (KeptWeights.Enter([weight]))
        {
            float[] before = Convolve(of, weight);
            weight.mul_(2);
            CollectionAssert.AreEqual(before.Select(value => 2 * value).ToArray(), Convolve(of, weight));
        }
    }

    [TestMethod]
    public void SoMuchIsKeptAndNoMore()
    {
        const nint most = (nint)(KeptWeights.MostBytes / sizeof(float));
        using Tensor weight = Weight(3), kernel = ChannelsLast.Pixels(weight);
        using (KeptWeights.Enter([weight]))
        {
            float* at = HostMemory.Pointer(kernel);
            Assert.IsFalse(KeptWeights.Find(at, WeightForm.Taps, 16, out _) is null);
            Assert.IsTrue(KeptWeights.Find(at, WeightForm.TurnedTaps, most - 15, out bool isThere) is null, "a byte too much with what is there");
            Assert.IsFalse(isThere);
            Assert.IsFalse(KeptWeights.Find(at, WeightForm.TurnedTaps, most - 16, out isThere) is null);
            Assert.IsTrue(KeptWeights.Find(at, WeightForm.Tiles, 1, out isThere) is null, "nothing more");
            Assert.IsFalse(KeptWeights.Find(at, WeightForm.Taps, 16, out isThere) is null, "what is there stays");
            Assert.IsTrue(isThere);
        }
    }

    [TestMethod]
    public void OnlyWeightsOfConvolutionsThatLieAsKernelsReadThemAreKept()
    {
        using Tensor weight = Weight(3), planes = weight.contiguous(), narrow = weight.to(ScalarType.BFloat16), row = zeros(64);
        using (KeptWeights.Enter([weight, planes, narrow, row]))
        {
            Assert.IsTrue(IsKept(weight));
            Assert.IsFalse(IsKept(planes), "planes");
            Assert.IsFalse(IsKept(narrow), "bfloat16");
            Assert.IsFalse(IsKept(row), "a row");
            using (KeptWeights.Enter([]))
                Assert.IsFalse(IsKept(weight), "another's turn");
            Assert.IsTrue(IsKept(weight), "its own again");
        }
        Assert.IsFalse(IsKept(weight), "afterwards");

        static bool IsKept(Tensor tensor)
        {
            using Tensor asItLies = tensor.is_contiguous() ? tensor.alias() : ChannelsLast.Pixels(tensor);
            return KeptWeights.Find(HostMemory.Pointer(asItLies), WeightForm.Taps, 16, out _) is not null;
        }
    }

    [TestMethod]
    public void EachFormAndLengthIsKeptByItself()
    {
        using Tensor weight = Weight(3), kernel = ChannelsLast.Pixels(weight);
        using (KeptWeights.Enter([weight]))
        {
            float* at = HostMemory.Pointer(kernel), taps = KeptWeights.Find(at, WeightForm.Taps, 16, out bool isThere);
            Assert.IsFalse(isThere);
            Assert.AreEqual(0, (nint)taps % 64);
            Assert.AreNotEqual((nint)taps, (nint)KeptWeights.Find(at, WeightForm.DoubledTaps, 16, out isThere));
            Assert.IsFalse(isThere);
            Assert.AreNotEqual((nint)taps, (nint)KeptWeights.Find(at, WeightForm.Taps, 32, out isThere));
            Assert.IsFalse(isThere);
            Assert.AreEqual((nint)taps, (nint)KeptWeights.Find(at, WeightForm.Taps, 16, out isThere));
            Assert.IsTrue(isThere);
        }
    }

    /// <summary>What multiplies with a weight.</summary>
    public enum Operator
    {
        /// <summary>A 3x3 convolution.</summary>
        Convolution,

        /// <summary>The same of images that it doubles.</summary>
        Doubled,

        /// <summary>A 1x1 convolution.</summary>
        Product,

        /// <summary>A 3x3 convolution by transformed tiles, fewer than fill the cores.</summary>
        Tiles,

        /// <summary>The same of as many as do.</summary>
        ManyTiles,
    }

    private static IEnumerable<object[]> Operators => TestedUnits.Names
        .SelectMany(unit => ((Operator[])[Operator.Convolution, Operator.Doubled, Operator.Product]).Select(of => (object[])[unit, of]))
        .Concat(Int16Products.AreQuicker ? [[TestedUnits.Integers, Operator.Tiles], [TestedUnits.Integers, Operator.ManyTiles]] : []);

    /// <summary>[D, C, side, side], channels last in memory.</summary>
    private static Tensor Weight(int side)
    {
        using Tensor numbers = tensor(KernelData.Numbers(1, Outputs * side * side * Inputs), [Outputs, side, side, Inputs]);
        return numbers.permute(0, 3, 1, 2);
    }

    private static float[] Run(string unit, Operator of, Tensor weight)
    {
        if (of is Operator.Tiles or Operator.ManyTiles)
        {
            using var integers = TestedUnits.Enter(unit);
            return Convolve(of, weight);
        }
        const int side = 8;
        MatrixUnit multiplies = TestedUnits.Of(unit);
        using Tensor kernel = ChannelsLast.Pixels(weight);
        float* w = HostMemory.Pointer(kernel);
        int pixels = Images * side * side;
        ushort[] x = [.. KernelData.Numbers(2, pixels * Inputs).Select(value => (ushort)(BitConverter.SingleToUInt32Bits(value) >> 16))], y = new ushort[4 * pixels * Outputs];
        var size = new ConvolutionSize(Images, side, side, Inputs, Outputs);
        fixed (ushort* from = x, to = y)
        {
            var image = new BFloat16Image(from, side, side, Inputs);
            if (of == Operator.Convolution)
                BFloat16Convolution.Apply(multiplies, size, image, w, turned: false, null, null, to);
            else if (of == Operator.Doubled)
                BFloat16Convolution.ApplyDoubled(multiplies, size, image, w, null, null, to);
            else
                BFloat16Product.Apply(multiplies, pixels, Inputs, Outputs, new(from, new(1, 1, pixels, Inputs, IsNarrow: true)), null, w, transposed: false, null, null, to);
        }
        return [.. y.Select(WrittenOutUnit.Widen)];
    }

    private static float[] Convolve(Operator of, Tensor weight)
    {
        int side = of == Operator.Tiles ? 8 : 32, pixels = Images * side * side;
        using Tensor kernel = ChannelsLast.Pixels(weight);
        float[] x = KernelData.Numbers(2, pixels * Inputs), y = new float[pixels * Outputs];
        fixed (float* from = x, to = y)
            ConvolutionKernel.Apply(new(Images, side, side, Inputs, Outputs), PixelSource.Of(from, side, side, Inputs), HostMemory.Pointer(kernel), turned: false, null, null, to);
        return y;
    }
}
