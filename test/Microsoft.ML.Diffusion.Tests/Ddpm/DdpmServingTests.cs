using Microsoft.ML.Data;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Diffusion.Tests;

/// <summary>Prediction engines, ownership, devices and the log.</summary>
[TestClass]
public sealed class DdpmServingTests
{
    private static readonly TinyData.Request s_request = new() { Label = "top", Seed = 1 };

    [TestMethod]
    public void APredictionIsSamplerStepsAndNothingElse()
    {
        var context = new MLContext(seed: 1);
        using var chain = TinyData.Fit(context, TinyData.Options());
        using var counted = new DdpmCompositionTests.Counted(chain.LastTransformer);
        var keyed = ((IEnumerable<ITransformer>)chain).First();
        using var engine = context.Model.CreatePredictionEngine<TinyData.Request, TinyData.Generated>(
            new TransformerChain<DdpmTransformer>(keyed, counted.Transformer), new PredictionEngineOptions { OwnsTransformer = false });
        Assert.AreEqual(0, counted.SampledSteps, "an engine is made without generating");

        engine.Predict(s_request);
        long live = Live();
        int leases = chain.LastTransformer.Model.Leases;
        for (int i = 2; i <= 4; i++)
        {
            engine.Predict(s_request);
            Assert.AreEqual(4 * i, counted.SampledSteps);
        }
        Assert.AreEqual(live, Live(), "no network is built, no tensor left");
        Assert.AreEqual(leases, chain.LastTransformer.Model.Leases);

        static long Live() => TorchSharp.DisposeScopeManager.Statistics.TensorStatistics.ThreadTotalLiveCount;
    }

    [TestMethod]
    public void AnEngineEndsItsTransformerWhereItOwnsIt()
    {
        var context = new MLContext(seed: 1);
        var chain = TinyData.Fit(context, TinyData.Options());
        var model = chain.LastTransformer.Model;
        context.Model.CreatePredictionEngine<TinyData.Request, TinyData.Generated>(chain, new PredictionEngineOptions { OwnsTransformer = false }).Dispose();
        Assert.AreEqual(1, model.Leases, "the chain's own");

        var engine = context.Model.CreatePredictionEngine<TinyData.Request, TinyData.Generated>(chain);
        engine.Predict(s_request);
        engine.Dispose();
        Assert.AreEqual(0, model.Leases, "an engine keeps no weights alive");
        Assert.ThrowsExactly<ObjectDisposedException>(() => TinyData.Images(context, chain, [s_request]));
    }

    [TestMethod]
    public void AnEngineOverADisposedTransformerSaysSo()
    {
        var context = new MLContext(seed: 1);
        var chain = TinyData.Fit(context, TinyData.Options());
        using var engine = context.Model.CreatePredictionEngine<TinyData.Request, TinyData.Generated>(chain);
        using var sharing = chain.LastTransformer.WithBatchSize(2);
        chain.Dispose();
        Assert.ThrowsExactly<ObjectDisposedException>(() => engine.Predict(s_request));
        Assert.AreEqual(2, sharing.BatchSize);
    }

    [TestMethod]
    [DataRow("engine chain other")]
    [DataRow("other chain engine")]
    [DataRow("chain other engine")]
    [DataRow("chain chain engine other other")]
    public void DisposingInAnyOrderFreesTheWeightsOnce(string order)
    {
        var context = new MLContext(seed: 1);
        var chain = TinyData.Fit(context, TinyData.Options());
        var other = chain.LastTransformer.WithSeed(3);
        var engine = context.Model.CreatePredictionEngine<TinyData.Request, TinyData.Generated>(chain, new PredictionEngineOptions { OwnsTransformer = false });
        engine.Predict(s_request);
        var model = chain.LastTransformer.Model;
        foreach (string name in order.Split(' '))
            (name switch { "engine" => engine, "chain" => (IDisposable)chain, _ => other }).Dispose();
        Assert.AreEqual(0, model.Leases);
        Assert.ThrowsExactly<ObjectDisposedException>(() => model.Acquire());
    }

    [TestMethod]
    public void TheLogNamesItsSourceAndKind()
    {
        var context = new MLContext(seed: 1);
        var log = new List<LoggingEventArgs>();
        context.Log += (_, e) => { lock (log) log.Add(e); };
        TinyData.Fit(context, TinyData.Options()).Dispose();
        var own = log.Where(e => e.Source.Contains("DdpmTrainer", StringComparison.Ordinal)).ToList();
        Assert.IsTrue(own.All(e => e.Source == "DdpmTrainer; Training"));
        var begun = own.Find(e => e.RawMessage.StartsWith("Training ", StringComparison.Ordinal));
        Assert.AreEqual(ChannelMessageKind.Info, begun?.Kind);
        StringAssert.Contains(begun!.Message, "[Source=DdpmTrainer; Training, Kind=Info]");
    }

    [TestMethod]
    public void AGpuThatIsNotThereIsAnErrorOrAWarning()
    {
        // No machine has so many.
        var context = new MLContext(seed: 1) { GpuDeviceId = 99 };
        var error = Assert.ThrowsExactly<InvalidOperationException>(() => TinyData.Fit(context, TinyData.Options()));
        StringAssert.Contains(error.Message, "GpuDeviceId is 99");
        StringAssert.Contains(error.Message, "FallbackToCpu");

        context.FallbackToCpu = true;
        var warnings = new List<string>();
        context.Log += (_, e) =>
        {
            if (e.Kind == ChannelMessageKind.Warning)
                warnings.Add(e.RawMessage);
        };
        TinyData.Fit(context, TinyData.Options(steps: 1)).Dispose();
        StringAssert.Contains(string.Join('\n', warnings), "using the CPU");
    }

    [TestMethod]
    public void AModelMovesToTheContextsDevice()
    {
        var context = new MLContext(seed: 1);
        using var chain = TinyData.Fit(context, TinyData.Options());
        using var same = chain.LastTransformer.WithDevice(context);
        Assert.AreSame(chain.LastTransformer.Model, same.Model, "it is there already");
        context.GpuDeviceId = 99;
        StringAssert.Contains(Assert.ThrowsExactly<InvalidOperationException>(() => chain.LastTransformer.WithDevice(context)).Message, "GpuDeviceId is 99");

        // Wherever a copy goes, it is a model of its own with the same weights.
        using var elsewhere = new DdpmTransformer(chain.LastTransformer.Model.On(new Device(TorchSharp.DeviceType.CPU, 0)), chain.LastTransformer.Settings);
        Assert.AreNotSame(chain.LastTransformer.Model, elsewhere.Model);
        var keyed = ((IEnumerable<ITransformer>)chain).First().Transform(context.Data.LoadFromEnumerable(new[] { s_request }));
        DdpmTrainerTests.AssertEqual(TinyData.Images(chain.LastTransformer.Transform(keyed)), TinyData.Images(elsewhere.Transform(keyed)));
    }
}
