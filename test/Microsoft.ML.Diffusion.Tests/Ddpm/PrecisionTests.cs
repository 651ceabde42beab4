using Microsoft.ML.Data;

namespace Microsoft.ML.Diffusion.Tests;

/// <summary>Fewer bits against float32: the same training within their noise, the same pictures within it. The default is bfloat16 where a matrix unit is, and 16-bit integers over AVX2.</summary>
[TestClass]
public sealed class PrecisionTests
{
    [TestMethod]
    public void TrainingCurvesAgree()
    {
        var (full, wholeLosses) = Train(ComputePrecision.Full);
        var (narrow, losses) = Train(ComputePrecision.BFloat16);
        using (full)
        using (narrow)
        {
            for (int i = 0; i < losses.Count; i++)
                Assert.AreEqual(wholeLosses[i], losses[i], 0.03 * wholeLosses[i] + 0.01, $"step {i + 1}");
            CollectionAssert.AreNotEqual(wholeLosses, losses, "bfloat16 was computed in");
        }
    }

    [TestMethod]
    public void AutomaticIsFullPrecisionWhereNothingElseIsQuicker()
    {
        foreach (int channels in PrecisionPolicy.MultipliesFewerBits(ComputePrecision.Automatic) ? (int[])[16] : [16, 32])
        {
            var (automatic, first) = Train(ComputePrecision.Automatic, channels);
            var (full, second) = Train(ComputePrecision.Full, channels);
            using (automatic)
            using (full)
                CollectionAssert.AreEqual(first, second, $"{channels} channels");
        }
    }

    [TestMethod]
    public void WhereFewerBitsAreQuickerTrainingCurvesAndPicturesAgree()
    {
        if (!PrecisionPolicy.MultipliesFewerBits(ComputePrecision.Automatic))
            Assert.Inconclusive("This processor multiplies nothing quicker than float32; the networks' tests run over a matrix unit that is written out.");
        double share = MatrixUnit.OfThisProcessor is null ? 0.003 : 0.03;
        var (automatic, narrow) = Train(ComputePrecision.Automatic, 32);
        var (full, whole) = Train(ComputePrecision.Full, 32);
        using (automatic)
        using (full)
        {
            for (int i = 0; i < narrow.Count; i++)
                Assert.AreEqual(whole[i], narrow[i], share * whole[i] + share / 3, $"step {i + 1}");
            CollectionAssert.AreNotEqual(whole, narrow, "fewer bits were computed in");
            using var exact = automatic.LastTransformer.WithPrecision(ComputePrecision.Full);
            Assert.IsLessThan(2.0 / 3 * share * 255, PicturesApart(automatic, exact));
        }
    }

    [TestMethod]
    public void ARowGivesTheSamePictureInEveryBatch()
    {
        var (model, _) = Train(ComputePrecision.Automatic, 32);
        using (model)
        using (var one = model.LastTransformer.WithBatchSize(1))
        using (var three = model.LastTransformer.WithBatchSize(3))
            Assert.AreEqual(0, PicturesApart(model, one, three));
    }

    [TestMethod]
    public void PicturesOfOneModelAgree()
    {
        var (model, _) = Train(ComputePrecision.Full);
        using (model)
        using (var narrow = model.LastTransformer.WithPrecision(ComputePrecision.BFloat16))
        {
            double difference = PicturesApart(model, narrow);
            Assert.IsLessThan(0.05 * 255, difference);
            Assert.AreNotEqual(0, difference);
        }
    }

    /// <summary>Sizes that libtorch 2.10's own bfloat16 convolution gets wrong by tens of per cent on some processors.</summary>
    [TestMethod]
    [DataRow(1, 8, 3)]
    [DataRow(1, 24, 1)]
    [DataRow(8, 3, 3)]
    [DataRow(16, 1, 1)]
    public void ConvolutionsOfFewChannelsAreRightInBFloat16(int inputs, int outputs, int kernel)
    {
        using var scope = NewDisposeScope();
        using var init = new Generator(1, CPU);
        Tensor image = randn([2, inputs, 16, 16], float32, generator: init), weight = randn([outputs, inputs, kernel, kernel], float32, generator: init);
        var (y, dx, dWeight) = Run(float32);
        var (narrowY, narrowDx, narrowDWeight) = Run(ScalarType.BFloat16);
        Assert.AreEqual(ScalarType.BFloat16, narrowY.dtype);
        // 8 bits, and a rounding of each number that goes in.
        Assert.IsLessThan(0.01, Apart(y, narrowY));
        Assert.IsLessThan(0.01, Apart(dx, narrowDx), "gradient of the image");
        Assert.IsLessThan(0.01, Apart(dWeight, narrowDWeight), "gradient of the weight");

        (Tensor, Tensor, Tensor) Run(ScalarType type)
        {
            Tensor x = image.clone().requires_grad_(), w = weight.clone().requires_grad_();
            Tensor result = LayerMath.Convolve(ChannelsLast.Of(x).to(type), w, null, LayerMath.One, [kernel / 2, kernel / 2]);
            (result.to(float32) * result.detach().to(float32)).sum().backward();
            return (result, x.grad!, w.grad!);
        }

        static double Apart(Tensor want, Tensor got) =>
            Math.Sqrt(((got.to(float64) - want.to(float64)).square().mean() / want.to(float64).square().mean()).item<double>());
    }

    [TestMethod]
    public void UnknownPrecisionsAreRefused()
    {
        var unknown = (ComputePrecision)7;
        var mlContext = new MLContext(seed: 1);
        var e = Assert.ThrowsExactly<ArgumentException>(() => mlContext.Generative.Ddpm(new DdpmTrainer.Options { Precision = unknown }));
        StringAssert.Contains(e.Message, "Options.Precision");
        var (model, _) = Train(ComputePrecision.Full);
        using (model)
            Assert.ThrowsExactly<ArgumentOutOfRangeException>(() => model.LastTransformer.WithPrecision(unknown));
    }

    /// <summary>The mean difference between the pixels that a model draws and those that others draw of the same rows.</summary>
    private static double PicturesApart(TransformerChain<DdpmTransformer> model, params DdpmTransformer[] others)
    {
        var context = new MLContext(seed: 1);
        IDataView requests = model.Take(1).Single().Transform(context.Data.LoadFromEnumerable(TinyData.Requests(4)));
        float[][] first = TinyData.Images(model.LastTransformer.Transform(requests));
        return others.Max(other => first.Zip(TinyData.Images(other.Transform(requests)), (a, b) => a.Zip(b, (x, y) => Math.Abs(x - y)).Average()).Average());
    }

    private static (TransformerChain<DdpmTransformer> Model, List<double> Losses) Train(ComputePrecision precision, int channels = 16)
    {
        var losses = new List<double>();
        var options = TinyData.Options(steps: 12);
        options.Network = TinyData.Network with { BaseChannels = channels };
        options.Precision = precision;
        options.Progress = new Listener(losses);
        return (TinyData.Fit(new MLContext(seed: 1), options), losses);
    }

    private sealed class Listener(List<double> losses) : IProgress<DdpmTrainingProgress>
    {
        public void Report(DdpmTrainingProgress value) => losses.Add(value.Loss);
    }
}
