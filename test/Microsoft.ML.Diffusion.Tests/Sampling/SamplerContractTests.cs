using System.Text.Json;
using TorchSharp;

namespace Microsoft.ML.Diffusion.Tests;

/// <summary>What holds for every sampler.</summary>
[TestClass]
public class SamplerContractTests
{
    private static readonly NoiseSchedule Schedule = NoiseScheduleOptions.Linear.Build();
    private static readonly long[] Row = [2, 4, 4];

    public static IEnumerable<object[]> All =>
    [
        ["Ddpm", DiffusionSampler.Ddpm(12)],
        ["Ddim", DiffusionSampler.Ddim(10)],
        ["Ddim eta", DiffusionSampler.Ddim(10, 0.7, SamplerSpacing.Leading)],
        ["DpmSolver++", DiffusionSampler.DpmSolverPlusPlus(8, 3)],
        ["SdeDpmSolver++", DiffusionSampler.DpmSolverPlusPlus(8, 2, 1)],
        ["DpmSolver", new DpmSolverSampler { Steps = 8, NoisePrediction = true }],
        ["UniPC", DiffusionSampler.UniPC(8, 3)],
        ["Euler", DiffusionSampler.Euler(8)],
        ["Heun", DiffusionSampler.Heun(8)],
        ["EdmStochastic", DiffusionSampler.EdmStochastic(8)],
        ["EulerAncestral", new EulerAncestralSampler { Steps = 8 }],
        ["Dpm2", new Dpm2Sampler { Steps = 8 }],
        ["Lms", new LmsSampler { Steps = 8 }],
        ["DpmSolver2SAncestral", new DpmSolver2SAncestralSampler { Steps = 8 }],
        ["DpmSolverSde", new DpmSolverSdeSampler { Steps = 8 }],
    ];

    [TestMethod]
    [DynamicData(nameof(All))]
    public void ARowDependsOnItsSeedAlone(string name, DiffusionSampler sampler)
    {
        using var scope = NewDisposeScope();
        var together = Draw(sampler, 5, 6, 7, 8);
        var shuffled = Draw(sampler, 8, 6);
        var alone = Draw(sampler, 7);
        AssertEqual(together[2], alone[0], name);
        AssertEqual(together[3], shuffled[0], name);
        AssertEqual(together[1], shuffled[1], name);
        Assert.IsGreaterThan(0.1, together[0].sub(together[1]).abs().max().item<float>(), $"{name}: two seeds, one image");
    }

    [TestMethod]
    [DynamicData(nameof(All))]
    public void StepsShowLevelsThatFallAndLeaveNothingBehind(string name, DiffusionSampler sampler)
    {
        using var noise = new PerRowNoise([1, 2], Row);
        using var start = noise.Next();
        using var before = start.clone();
        var live = DisposeScopeManager.Statistics.ThreadTotalLiveCount;
        var counts = new List<long>();
        var levels = new List<double>();
        var result = sampler.Sample(new SamplingRequest
        {
            Denoiser = new GaussianDenoiser(0, 0.5),
            Schedule = Schedule,
            Start = start,
            Noise = noise,
            OnStep = step =>
            {
                Assert.AreEqual(counts.Count, step.Index);
                counts.Add(DisposeScopeManager.Statistics.ThreadTotalLiveCount);
                levels.Add(step.Level.AlphaBar);
                Assert.IsLessThan(step.Total, step.Index);
            },
        });
        Assert.AreEqual(live + 1, DisposeScopeManager.Statistics.ThreadTotalLiveCount, $"{name}: only the result is alive");
        // Once a multistep solver has its history, no step holds more than the one before.
        for (var i = 5; i < counts.Count; i++)
            Assert.IsLessThanOrEqualTo(counts[4], counts[i], $"{name}: live tensors at step {i}");
        CollectionAssert.AreEqual(levels.Order().ToArray(), levels.ToArray(), $"{name}: ever less noise");
        AssertEqual(before, start, $"{name}: the start is not changed");
        CollectionAssert.AreEqual(start.shape, result.shape);
        result.Dispose();
        Assert.AreEqual(live, DisposeScopeManager.Statistics.ThreadTotalLiveCount);
    }

    [TestMethod]
    [DynamicData(nameof(All))]
    public void CancellingStopsBeforeTheNextStepAndFreesAll(string name, DiffusionSampler sampler)
    {
        using var noise = new PerRowNoise([1], Row);
        using var start = noise.Next();
        using var source = new CancellationTokenSource();
        var live = DisposeScopeManager.Statistics.ThreadTotalLiveCount;
        var steps = 0;
        Assert.ThrowsExactly<OperationCanceledException>(() => sampler.Sample(new SamplingRequest
        {
            Denoiser = new GaussianDenoiser(0, 0.5),
            Schedule = Schedule,
            Start = start,
            Noise = noise,
            CancellationToken = source.Token,
            OnStep = step =>
            {
                steps++;
                if (step.Index == 3)
                    source.Cancel();
            },
        }));
        Assert.AreEqual(4, steps, name);
        Assert.AreEqual(live, DisposeScopeManager.Statistics.ThreadTotalLiveCount, name);
        Assert.IsTrue(is_grad_enabled(), $"{name}: gradients are on again");
    }

    [TestMethod]
    [DynamicData(nameof(All))]
    public void TravelsThroughJsonAsAValue(string name, DiffusionSampler sampler)
    {
        var text = JsonSerializer.Serialize(sampler);
        var back = JsonSerializer.Deserialize<DiffusionSampler>(text);
        Assert.AreEqual(sampler, back, $"{name}: {text}");
        Assert.AreEqual(sampler.GetHashCode(), back!.GetHashCode());
    }

    [TestMethod]
    public void JsonKeepsEverySetting()
    {
        DiffusionSampler[] samplers =
        [
            new AncestralSampler { Steps = 100, Variance = VarianceType.LearnedRange, Spacing = SamplerSpacing.Respaced("10,15,20") },
            new DdimSampler { Steps = 5, Eta = 0.25, Spacing = SamplerSpacing.List(0, 10, 999), EndsAtFirstTimestep = true, ConstantStride = true, RederiveEpsilon = false },
            new UniPCSampler { Order = 3, SolverType = UniPCType.Bh1, LowerOrderFinal = false, UncorrectedSteps = [0, 1], Grid = SigmaGrid.Timesteps(SamplerSpacing.LeadingFrom(1), true) },
            new HeunSampler { Churn = new Churn { Amount = 3, Min = 0.1, Max = 9, Noise = 1.01 }, Grid = SigmaGrid.Karras(0.01, 50, 5) with { RoundTimesteps = true } },
        ];
        foreach (var sampler in samplers)
        {
            Assert.AreEqual(sampler, JsonSerializer.Deserialize<DiffusionSampler>(JsonSerializer.Serialize(sampler)));
            Assert.AreNotEqual(sampler, samplers[0] == sampler ? samplers[1] : samplers[0]);
        }
        Assert.AreNotEqual(samplers[2], (UniPCSampler)samplers[2] with { UncorrectedSteps = [0] });
    }

    [TestMethod]
    public void NonsenseIsRefusedByName()
    {
        AssertRefused("Steps", () => DiffusionSampler.Ddim(0));
        AssertRefused("Steps", () => DiffusionSampler.Ddpm(-1));
        AssertRefused("Eta", () => DiffusionSampler.Ddim(10, 1.5));
        AssertRefused("Eta", () => DiffusionSampler.Ddim(10, double.NaN));
        AssertRefused("Order", () => DiffusionSampler.DpmSolverPlusPlus(10, 4));
        AssertRefused("Order", () => DiffusionSampler.UniPC(10, 0));
        AssertRefused("Rho", () => SigmaGrid.Karras(rho: 0));
        AssertRefused("SigmaMin", () => SigmaGrid.Karras(sigmaMin: -1));
        AssertRefused("Amount", () => new Churn { Amount = double.PositiveInfinity });
        AssertRefused("GuidanceScale", () => new DenoiserOptions { GuidanceScale = -1 });
        AssertRefused("GuidanceRescale", () => new DenoiserOptions { GuidanceRescale = 2 });

        static void AssertRefused(string name, Action action)
            => Assert.AreEqual(name, Assert.ThrowsExactly<ArgumentOutOfRangeException>(action).ParamName);
    }

    [TestMethod]
    public void WhatTheScheduleCannotDoIsRefused()
    {
        StringAssert.Contains(Assert.ThrowsExactly<ArgumentException>(() => Draw(DiffusionSampler.Ddim(1001), 1)).Message, "1001");
        StringAssert.Contains(Assert.ThrowsExactly<ArgumentException>(() => Draw(DiffusionSampler.Ddim(2, spacing: SamplerSpacing.List(0, 1000)), 1)).Message, "1000");
        StringAssert.Contains(Assert.ThrowsExactly<ArgumentException>(() => Draw(DiffusionSampler.Heun(5, SigmaGrid.Karras(5, 5)), 1)).Message, "sigma");
        using var start = zeros(1, 1, 2, 2);
        var error = Assert.ThrowsExactly<InvalidOperationException>(
            () => DiffusionSampler.Ddpm(5).Sample(new SamplingRequest { Denoiser = new GaussianDenoiser(0, 1), Schedule = Schedule, Start = start }));
        StringAssert.Contains(error.Message, "Noise");
    }

    private static Tensor[] Draw(DiffusionSampler sampler, params long[] seeds)
    {
        using var noise = new PerRowNoise(seeds, Row);
        using var start = noise.Next();
        using var result = sampler.Sample(new SamplingRequest { Denoiser = new GaussianDenoiser(0.1, 0.5), Schedule = Schedule, Start = start, Noise = noise });
        return [.. Enumerable.Range(0, seeds.Length).Select(row => result.select(0, row).clone())];
    }

    private static void AssertEqual(Tensor want, Tensor got, string name) => SamplerTrace.AssertClose(SamplerTrace.Values(want), SamplerTrace.Values(got), 0, 0, name);
}
