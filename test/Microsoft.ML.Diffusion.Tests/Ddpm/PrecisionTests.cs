using Microsoft.ML.Data;

namespace Microsoft.ML.Diffusion.Tests;

/// <summary>bfloat16 against float32: the same training within bfloat16's noise, the same pictures within it.</summary>
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
    public void AutomaticIsFullPrecisionOnAProcessor()
    {
        var (automatic, first) = Train(ComputePrecision.Automatic);
        var (full, second) = Train(ComputePrecision.Full);
        using (automatic)
        using (full)
            CollectionAssert.AreEqual(first, second);
    }

    [TestMethod]
    public void PicturesOfOneModelAgree()
    {
        var (model, _) = Train(ComputePrecision.Full);
        using (model)
        using (var narrow = model.LastTransformer.WithPrecision(ComputePrecision.BFloat16))
        {
            var context = new MLContext(seed: 1);
            IDataView requests = model.Take(1).Single().Transform(context.Data.LoadFromEnumerable(TinyData.Requests(4)));
            float[][] first = TinyData.Images(model.LastTransformer.Transform(requests)), second = TinyData.Images(narrow.Transform(requests));
            double difference = first.Zip(second, (a, b) => a.Zip(b, (x, y) => Math.Abs(x - y)).Average()).Average();
            Assert.IsLessThan(0.05 * 255, difference);
            Assert.AreNotEqual(0, difference);
        }
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

    private static (TransformerChain<DdpmTransformer> Model, List<double> Losses) Train(ComputePrecision precision)
    {
        var losses = new List<double>();
        var options = TinyData.Options(steps: 12);
        options.Precision = precision;
        options.Progress = new Listener(losses);
        return (TinyData.Fit(new MLContext(seed: 1), options), losses);
    }

    private sealed class Listener(List<double> losses) : IProgress<DdpmTrainingProgress>
    {
        public void Report(DdpmTrainingProgress value) => losses.Add(value.Loss);
    }
}
