using TorchSharp;

namespace Microsoft.ML.Diffusion.Tests;

/// <summary>What operators measure of a result while they write it, against means and squares of that result in float64; and that norms use it.</summary>
[TestClass]
public sealed class ChannelMomentsTests
{
    private const double Share = 1e-5;

    [TestMethod]
    [DataRow(3, 16, 8, 6, 32, false, false, false, DisplayName = "all outputs at once")]
    [DataRow(2, 32, 32, 32, 16, true, true, false, DisplayName = "norm and addend, in bands")]
    [DataRow(2, 16, 4, 4, 64, false, true, false, DisplayName = "few tiles")]
    [DataRow(2, 16, 4, 8, 16, false, false, true, DisplayName = "doubled")]
    [DataRow(1, 96, 16, 16, 96, true, false, false, DisplayName = "outputs shared out")]
    public void AConvolutionMeasuresWhatItWrites(int n, int channels, int height, int width, int outputs, bool norm, bool addend, bool doubled)
    {
        using var scope = NewDisposeScope();
        int times = doubled ? 2 : 1;
        Tensor x = Image(1, n, channels, height, width), weight = KernelData.Draw(2, outputs, channels, 3, 3).to(float32), bias = KernelData.Draw(3, outputs).to(float32) + 5;
        Tensor? added = addend ? Image(4, n, outputs, times * height, times * width) : null;
        Check(() => FusedConvolution.TryApply(x, weight, bias, norm ? Norm(channels) : null, added, doubled)!);
    }

    [TestMethod]
    [DataRow(3, 16, 8, 8, 32, 3, 2, DisplayName = "strided")]
    [DataRow(2, 32, 16, 16, 16, 1, 1, DisplayName = "a projection with an addend")]
    [DataRow(5, 16, 4, 4, 48, 1, 1, DisplayName = "images shorter than a chunk")]
    public void AProductMeasuresWhatItWrites(int n, int channels, int height, int width, int outputs, int kernel, int stride)
    {
        using var scope = NewDisposeScope();
        Tensor x = Image(1, n, channels, height, width), weight = KernelData.Draw(2, outputs, channels, kernel, kernel).to(float32), bias = KernelData.Draw(3, outputs).to(float32) - 3;
        Tensor? added = stride == 1 ? Image(4, n, outputs, height, width) : null;
        Check(() => FusedProduct.TryApply(x, weight, bias, stride, kernel / 2, kernel / 2, addend: added)!);
    }

    [TestMethod]
    [DynamicData(nameof(TestedUnits.NetworkRows), typeof(TestedUnits))]
    public void SoDoTheKernelsOfFewerBits(string unit)
    {
        using var scope = NewDisposeScope();
        using IDisposable use = TestedUnits.Enter(unit);
        Tensor weight = KernelData.Draw(2, 64, 32, 3, 3).to(float32), pointwise = KernelData.Draw(3, 32, 64, 1, 1).to(float32), bias = KernelData.Draw(4, 64).to(float32) + 5;
        // Bands of an image that is too large for a block, whole images, small ones.
        foreach (var (n, side) in (IEnumerable<(int, int)>)[(1, 72), (3, 16), (2, 4)])
        {
            Tensor x = Narrow(Image(1, n, 32, side, side));
            Check(() => FusedConvolution.TryApply(x, weight, bias, Norm(32))!);
            Tensor small = Narrow(Image(1, n, 32, side / 2, side / 2)), addend = Narrow(Image(5, n, 64, side, side));
            Check(() => FusedConvolution.TryApply(small, weight, bias, addend: addend, doubled: true)!);
            Check(() => FusedProduct.TryApply(addend, pointwise, null, addend: x)!);
            Check(() => FusedProduct.TryApply(x, weight, bias, 2, 1, 1)!, mayBeUnknown: side == 4);
        }

        Tensor Narrow(Tensor image) => unit == TestedUnits.Integers ? image : FusedConversion.Apply(image, ScalarType.BFloat16);
    }

    [TestMethod]
    public void TheyFollowABatchThroughJoinsConversionsAndAliases()
    {
        using var scope = NewDisposeScope();
        Tensor x = Image(1, 2, 16, 8, 8), a = Convolved(2, 32), b = Convolved(3, 16);
        Check(() => FusedConcatenation.Apply(a, b));
        Check(() => FusedConversion.Apply(a, ScalarType.BFloat16), share: 1e-2);
        Assert.IsNull(ChannelMoments.Of(FusedConcatenation.Apply(a, x)), "nothing is known of x");
        Check(() => ChannelMoments.Alias(a));
        Assert.IsNull(ChannelMoments.Of(ChannelMoments.Alias(x)), "nothing is known of x");

        Tensor Convolved(ulong seed, int outputs) => FusedConvolution.TryApply(x, KernelData.Draw(seed, outputs, 16, 3, 3).to(float32), null)!;
    }

    [TestMethod]
    public void ANormTakesThemInsteadOfReadingTheBatch()
    {
        using var scope = NewDisposeScope();
        using var untracked = no_grad();
        Tensor known = Image(1, 2, 32, 8, 8), unknown = Image(1, 2, 32, 8, 8), weight = KernelData.Draw(2, 16, 32, 3, 3).to(float32);
        // Nobody measures a variance of 4 here.
        float[] values = [.. Enumerable.Repeat(0f, 32), .. Enumerable.Repeat(4f * 64, 32)];
        new ChannelMoments([values, values]).Describe(known);
        var norm = Norm(32) with { Settings = new(4, 0, Silu: false) };
        Tensor expected = nn.functional.conv2d(unknown.to(float64) * norm.Weight.to(float64).reshape(1, 32, 1, 1) / 2 + norm.Bias.to(float64).reshape(1, 32, 1, 1), weight.to(float64), padding: [1, 1]);
        Assert.IsLessThan(Share, KernelData.Error(expected, FusedConvolution.TryApply(known, weight, null, norm)!));
        Assert.IsGreaterThan(0.01, KernelData.Error(expected, FusedConvolution.TryApply(unknown, weight, null, norm)!));
        Assert.IsLessThan(Share, KernelData.Error(unknown.to(float64) * norm.Weight.to(float64).reshape(1, 32, 1, 1) / 2 + norm.Bias.to(float64).reshape(1, 32, 1, 1), FusedNormActivation.TryApply(known, norm)!));
    }

    [TestMethod]
    public void ARowThatIsAddedShiftsTheMeans()
    {
        using var scope = NewDisposeScope();
        foreach (int rows in (int[])[1, 2])
        {
            Tensor x = Image(1, 2, 16, 8, 8), row = KernelData.Draw(2, rows, 16).to(float32) * 3;
            ChannelMoments before = ChannelMoments.Of(FusedConvolution.TryApply(x, KernelData.Draw(3, 16, 16, 3, 3).to(float32), null)!)!, after = before.Shifted(ImageRows.Of(row));
            for (int image = 0; image < 2; image++)
            {
                for (int c = 0; c < 16; c++)
                {
                    Assert.AreEqual(before.Image(image)[c] + row[rows == 1 ? 0 : image, c].item<float>(), after.Image(image)[c]);
                    Assert.AreEqual(before.Image(image)[16 + c], after.Image(image)[16 + c], "the distances stay");
                }
            }
        }
    }

    [TestMethod]
    public void ASumInPlaceForgetsThem()
    {
        using var scope = NewDisposeScope();
        using var untracked = no_grad();
        // A norm with FiLM in another type is left to the plain operators, the convolution is not.
        var norm = Norm(16) with { Film = ones(2, 32, ScalarType.BFloat16) };
        Tensor x = Image(1, 2, 16, 8, 8), addend = Image(2, 2, 16, 8, 8) + 7, weight = KernelData.Draw(3, 16, 16, 3, 3).to(float32);
        Assert.IsNull(ChannelMoments.Of(LayerMath.Convolve(x, weight, null, norm, addend)));
        Assert.IsNotNull(ChannelMoments.Of(LayerMath.Convolve(x, weight, null, norm, null)));
    }

    [TestMethod]
    public void ASmallVarianceBesideALargeMeanIsNotLost()
    {
        using var scope = NewDisposeScope();
        Tensor x = Image(1, 2, 16, 16, 16), weight = KernelData.Draw(2, 16, 16, 3, 3).to(float32) / 12, bias = full([16], 3000f);
        // float32 holds 3000 to 2e-4, the result is what was rounded so.
        Check(() => FusedConvolution.TryApply(x, weight, bias)!, share: 1e-4);
    }

    private static void Check(Func<Tensor> run, bool mayBeUnknown = false, double share = Share)
    {
        foreach (bool graph in (bool[])[false, true])
        {
            using var untracked = graph ? null : no_grad();
            Tensor y = run();
            if (ChannelMoments.Of(y) is not { } moments)
            {
                Assert.IsTrue(mayBeUnknown, "nothing was measured");
                continue;
            }
            int n = (int)y.shape[0], channels = (int)y.shape[1];
            Assert.AreEqual(channels, moments.Channels);
            Tensor wide = y.detach().to(float64), mean = wide.mean([2, 3]), deviation = (wide - mean.reshape(n, channels, 1, 1)).square().sum([2, 3]);
            for (int image = 0; image < n; image++)
            {
                var got = moments.Image(image);
                Assert.IsLessThan(share, KernelData.Error(mean[image].data<double>().ToArray(), got[..channels]), $"means of image {image}");
                Assert.IsLessThan(share, KernelData.Error(deviation[image].data<double>().ToArray(), got[channels..]), $"squares of image {image}");
            }
        }
    }

    private static NormArguments Norm(int channels) => new(KernelData.Draw(7, channels).to(float32) + 1, KernelData.Draw(8, channels).to(float32), null, new(4, 1e-5, Silu: true));

    /// <summary>[N, C, H, W] with the channels last in memory.</summary>
    private static Tensor Image(ulong seed, int n, int channels, int height, int width) => KernelData.Draw(seed, n, height, width, channels).to(float32).permute(0, 3, 1, 2);
}
