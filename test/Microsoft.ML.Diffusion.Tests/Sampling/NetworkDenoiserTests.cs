namespace Microsoft.ML.Diffusion.Tests;

[TestClass]
public class NetworkDenoiserTests
{
    private static readonly NoiseSchedule Schedule = NoiseScheduleOptions.Linear.Build();

    private static DenoiserOptions Plain => new() { Threshold = X0Threshold.None };

    [TestMethod]
    [DataRow(PredictionType.Epsilon)]
    [DataRow(PredictionType.X0)]
    [DataRow(PredictionType.V)]
    [DataRow(PredictionType.PreviousX)]
    public void EveryPredictionMeansTheSameX0(PredictionType prediction)
    {
        using var scope = NewDisposeScope();
        const int T = 300;
        Tensor x0 = Random(1), epsilon = Random(2);
        var level = Schedule.LevelAt(T);
        double signal = Math.Sqrt(level.AlphaBar), noise = Math.Sqrt(1 - level.AlphaBar), before = Schedule.AlphaBar(T - 1), beta = Schedule.Betas[T];
        var x = x0.mul(signal).add(epsilon.mul(noise));
        var output = prediction switch
        {
            PredictionType.Epsilon => epsilon,
            PredictionType.X0 => x0,
            PredictionType.V => epsilon.mul(signal).sub(x0.mul(noise)),
            _ => x0.mul(beta * Math.Sqrt(before) / (1 - level.AlphaBar)).add(x.mul((1 - before) * Math.Sqrt(1 - beta) / (1 - level.AlphaBar))),
        };
        var denoised = new NetworkDenoiser((_, _) => output.clone(), Schedule, Plain with { Prediction = prediction }).Denoise(x, level);
        SamplerTrace.AssertClose(x0, denoised.X0, prediction == PredictionType.PreviousX ? 2e-3 : 5e-6, 0);
        Assert.IsNull(denoised.Unclipped);
    }

    [TestMethod]
    public void GuidanceIsOneDoubledBatch()
    {
        using var scope = NewDisposeScope();
        Tensor with = Random(1), without = Random(2), x = Random(3);
        var calls = new List<(long[] Shape, float[] Timesteps)>();
        Tensor Model(Tensor input, Tensor timesteps)
        {
            calls.Add((input.shape, timesteps.data<float>().ToArray()));
            Assert.AreEqual(0, input.narrow(0, 0, 2).sub(input.narrow(0, 2, 2)).abs().max().item<float>());
            return cat([with, without], 0);
        }
        var denoiser = new NetworkDenoiser(Model, Schedule, Plain with { Prediction = PredictionType.X0, GuidanceScale = 3 });
        var x0 = denoiser.Denoise(x, Schedule.LevelAt(10) with { Timestep = 10.5 }).X0;
        SamplerTrace.AssertClose(without.add(with.sub(without).mul(3)), x0, 1e-6, 1e-6);
        Assert.HasCount(1, calls);
        CollectionAssert.AreEqual(new long[] { 4, 1, 3, 3 }, calls[0].Shape);
        CollectionAssert.AreEqual(new[] { 10.5f, 10.5f, 10.5f, 10.5f }, calls[0].Timesteps);
    }

    [TestMethod]
    [DataRow(false, 50f)]
    [DataRow(true, 200f)]
    public void TimestepsAreRescaledWhereTheNetworkWasTrainedSo(bool rescale, float told)
    {
        using var scope = NewDisposeScope();
        var schedule = (NoiseScheduleOptions.Cosine with { Timesteps = 250 }).Build();
        var seen = 0f;
        Tensor Model(Tensor x, Tensor timesteps)
        {
            seen = timesteps[0].item<float>();
            return x.clone();
        }
        new NetworkDenoiser(Model, schedule, Plain with { RescaleTimesteps = rescale }).Denoise(Random(1), schedule.LevelAt(50)).Dispose();
        Assert.AreEqual(told, seen);
    }

    /// <summary>φ = 1 gives the guided output the spread of the unguided one, row by row; φ = ½ the mean of both.</summary>
    [TestMethod]
    public void RescaleBringsBackTheSpread()
    {
        using var scope = NewDisposeScope();
        Tensor with = Random(1), without = Random(2), x = Random(3);
        Tensor X0(double phi) => new NetworkDenoiser((_, _) => cat([with, without], 0), Schedule, Plain with { Prediction = PredictionType.X0, GuidanceScale = 5, GuidanceRescale = phi })
            .Denoise(x, Schedule.LevelAt(10)).X0;
        Tensor none = X0(0), half = X0(0.5), full = X0(1);
        long[] image = [1, 2, 3];
        SamplerTrace.AssertClose(with.std(image), full.std(image), 0, 1e-5);
        SamplerTrace.AssertClose(none.add(full).div(2), half, 1e-6, 1e-5);
        Assert.IsGreaterThan(1.5, none.std().item<float>() / full.std().item<float>());
    }

    [TestMethod]
    public void ClippingKeepsTheUnclippedToo()
    {
        using var scope = NewDisposeScope();
        var output = tensor([-3f, -0.5f, 0.5f, 3f]).reshape(1, 1, 2, 2);
        Denoised Of(X0Threshold threshold) => new NetworkDenoiser((_, _) => output.clone(), Schedule, new DenoiserOptions { Prediction = PredictionType.X0, Threshold = threshold })
            .Denoise(output, Schedule.LevelAt(10));
        var clipped = Of(X0Threshold.Clip);
        CollectionAssert.AreEqual(new[] { -1f, -0.5f, 0.5f, 1f }, clipped.X0.data<float>().ToArray());
        SamplerTrace.AssertClose(output, clipped.Unclipped!, 0, 0);
        // The largest magnitude is the 100 % quantile: everything is divided by it.
        SamplerTrace.AssertClose(output.div(3), Of(X0Threshold.Dynamic(1)).X0, 1e-6, 0);
    }

    [TestMethod]
    [DataRow(VarianceType.LearnedRange)]
    [DataRow(VarianceType.Learned)]
    public void LearnedVarianceComesWithTheConditionalHalf(VarianceType variance)
    {
        using var scope = NewDisposeScope();
        Tensor output = cat([Random(1), Random(2)], 1), unconditional = cat([Random(3), Random(4)], 1);
        var options = Plain with { Variance = variance, GuidanceScale = 2 };
        var denoised = new NetworkDenoiser((_, _) => cat([output, unconditional], 0), Schedule, options).Denoise(Random(5), Schedule.LevelAt(10));
        var learned = variance == VarianceType.LearnedRange ? denoised.VarianceFraction : denoised.LogVariance;
        SamplerTrace.AssertClose(output.narrow(1, 1, 1), learned!, 0, 0);
        Assert.IsNull(variance == VarianceType.LearnedRange ? denoised.LogVariance : denoised.VarianceFraction);
    }

    /// <summary>v = 1 is the large variance and v = −1 the small one, exactly.</summary>
    [TestMethod]
    [DataRow(1.0, VarianceType.FixedLarge)]
    [DataRow(-1.0, VarianceType.FixedSmall)]
    public void LearnedRangeEndsAtTheFixedVariances(double fraction, VarianceType same)
    {
        using var scope = NewDisposeScope();
        float[] Draw(DenoiserOptions options, DenoisingModel model, VarianceType? variance)
        {
            using var noise = new PerRowNoise([9], [1, 3, 3]);
            var denoiser = new NetworkDenoiser(model, Schedule, options);
            return DiffusionSampler.Ddpm(20, variance).Sample(new SamplingRequest { Denoiser = denoiser, Schedule = Schedule, Start = noise.Next(), Noise = noise }).data<float>().ToArray();
        }
        Tensor Epsilon(Tensor x) => x.mul(0.5);
        var learned = Draw(Plain with { Variance = VarianceType.LearnedRange }, (x, _) => cat([Epsilon(x), full_like(x, fraction)], 1), null);
        var known = Draw(Plain, (x, _) => Epsilon(x), same);
        SamplerTrace.AssertClose(Array.ConvertAll(known, v => (double)v), Array.ConvertAll(learned, v => (double)v), 0, 1e-4, "states");
    }

    [TestMethod]
    public void AWrongNumberOfChannelsIsNamed()
    {
        using var scope = NewDisposeScope();
        var denoiser = new NetworkDenoiser((x, _) => x.clone(), Schedule, Plain with { Variance = VarianceType.LearnedRange });
        StringAssert.Contains(Assert.ThrowsExactly<InvalidOperationException>(() => denoiser.Denoise(Random(1), Schedule.LevelAt(0))).Message, "2 channels");
        var previous = new NetworkDenoiser((x, _) => x.clone(), Schedule, Plain with { Prediction = PredictionType.PreviousX });
        StringAssert.Contains(Assert.ThrowsExactly<InvalidOperationException>(() => previous.Denoise(Random(1), new NoiseLevel(1.5, 0.9))).Message, "DDPM or DDIM");
    }

    /// <summary>Ancestral sampling takes the mean that such a network predicts, not one rebuilt from a clipped x_0.</summary>
    [TestMethod]
    public void AMeanThatIsPredictedIsTaken()
    {
        using var scope = NewDisposeScope();
        var schedule = NoiseScheduleOptions.Cosine with { Timesteps = 4 };
        var options = new DenoiserOptions { Prediction = PredictionType.PreviousX };
        using var noise = new PerRowNoise([1, 2], [1, 3, 3]);
        var denoiser = new NetworkDenoiser((x, _) => x.mul(3), schedule.Build(), options);
        var states = new List<Tensor>();
        var result = DiffusionSampler.Ddpm().Sample(new SamplingRequest
        {
            Denoiser = denoiser,
            Schedule = schedule.Build(),
            Start = noise.Next(),
            Noise = noise,
            OnStep = step => states.Add(step.X.clone().DetachFromDisposeScope()),
        });
        SamplerTrace.AssertClose(states[3].mul(3), result, 0, 0);
        states.ForEach(state => state.Dispose());
    }

    [TestMethod]
    public void NoiseIsDrawnRowByRow()
    {
        using var noise = new PerRowNoise([1, 2, 1, 1 + (1L << 32), -1], [1, 2, 8]);
        using var first = noise.Next();
        using var second = noise.Next();
        float[] Row(Tensor draw, int row)
        {
            using var values = draw.select(0, row).contiguous();
            return values.data<float>().ToArray();
        }
        CollectionAssert.AreEqual(Row(first, 0), Row(first, 2));
        CollectionAssert.AreNotEqual(Row(first, 0), Row(first, 1));
        CollectionAssert.AreNotEqual(Row(first, 0), Row(first, 3), "all 64 bits of a seed count");
        CollectionAssert.AreNotEqual(Row(first, 0), Row(second, 0));
        Assert.ThrowsExactly<ArgumentException>(() => new PerRowNoise([], [1, 2, 2]));
        Assert.ThrowsExactly<ArgumentException>(() => new PerRowNoise([1], [1, 0, 2]));
    }

    [TestMethod]
    public void SpacingsReadBack()
    {
        SamplerSpacing[] spacings =
        [
            SamplerSpacing.Linspace, SamplerSpacing.Leading, SamplerSpacing.Trailing, SamplerSpacing.LeadingFrom(3), SamplerSpacing.Respaced("ddim25"), SamplerSpacing.List(0, 4, 9),
        ];
        foreach (var spacing in spacings)
            Assert.AreEqual(spacing, SamplerSpacing.Parse(spacing.ToString()));
        Assert.AreEqual(SamplerSpacing.Leading, SamplerSpacing.LeadingFrom(0));
        CollectionAssert.AreEqual(new[] { 0, 4, 9 }, SamplerSpacing.List(0, 4, 9).Visit(10, 50));
        CollectionAssert.AreEqual(new[] { 3, 253, 503, 753 }, SamplerSpacing.LeadingFrom(3).Visit(1000, 4));
        foreach (var wrong in new[] { "", "middle", "leading+x", "list:", "list:a", "respaced:", "leading:3" })
            Assert.ThrowsExactly<FormatException>(() => SamplerSpacing.Parse(wrong), wrong);
        Assert.ThrowsExactly<ArgumentException>(() => SamplerSpacing.List(3, 3));
        Assert.ThrowsExactly<ArgumentException>(() => SamplerSpacing.List());
    }

    private static Tensor Random(long seed)
    {
        using var noise = new PerRowNoise([seed, seed + 100], [1, 3, 3]);
        return noise.Next();
    }
}
