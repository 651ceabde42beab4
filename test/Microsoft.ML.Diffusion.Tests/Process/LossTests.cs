namespace Microsoft.ML.Diffusion.Tests;

[TestClass]
public sealed class LossTests
{
    private static readonly PredictionType[] Predictions = [PredictionType.Epsilon, PredictionType.X0, PredictionType.V];

    [TestMethod]
    public void MinSnrWeighsEveryPredictionAlikeInTermsOfX0()
    {
        using var scope = NewDisposeScope();
        using var generator = new Generator(3);
        const double gamma = 5;
        var schedule = NoiseScheduleOptions.Cosine.Build();
        Tensor x0 = randn([4, 2, 3, 3], ScalarType.Float64, generator: generator), noise = randn([4, 2, 3, 3], ScalarType.Float64, generator: generator);
        var guess = x0 + 0.1 * randn([4, 2, 3, 3], ScalarType.Float64, generator: generator);
        var t = tensor(new long[] { 3, 200, 600, 950 });
        var losses = new List<double[]>();
        foreach (var prediction in Predictions)
        {
            using var diffusion = new GaussianDiffusion(schedule, prediction);
            var x = diffusion.QSample(x0, t, noise);
            var epsilon = diffusion.EpsilonFromX0(x, t, guess);
            var output = prediction switch
            {
                PredictionType.Epsilon => epsilon,
                PredictionType.V => diffusion.Velocity(guess, t, epsilon),
                _ => guess,
            };
            losses.Add(Tolerance.Values(new DiffusionLoss(diffusion, new DiffusionLossOptions { MinSnrGamma = gamma }).Compute(output, x0, x, t, noise).Loss));
        }
        var errors = Tolerance.Values((guess - x0).square().flatten(1).mean([1L]));
        var want = errors.Zip(t.data<long>().ToArray(), (error, step) => error * Math.Min(gamma, schedule.SignalToNoise((int)step))).ToArray();
        foreach (var (prediction, got) in Predictions.Zip(losses))
            new Tolerance(0, 1e-5).Check(want, got, prediction.ToString());
    }

    [TestMethod]
    public void MinSnrIsRefusedWhereItMeansNothing()
    {
        using var diffusion = new GaussianDiffusion(NoiseScheduleOptions.Linear.Build());
        Assert.ThrowsExactly<ArgumentException>(() => new DiffusionLoss(diffusion, new DiffusionLossOptions { Type = LossType.Bound, MinSnrGamma = 5 }));
        using var previous = new GaussianDiffusion(diffusion.Schedule, PredictionType.PreviousX);
        Assert.ThrowsExactly<ArgumentException>(() => new DiffusionLoss(previous, new DiffusionLossOptions { MinSnrGamma = 5 }));
        Assert.ThrowsExactly<ArgumentException>(() => new DiffusionLossOptions { MinSnrGamma = 0 });
        Assert.ThrowsExactly<ArgumentException>(() => new DiffusionLossOptions { OffsetNoise = -0.1 });
        Assert.ThrowsExactly<ArgumentException>(() => new DiffusionLossOptions { HuberDelta = 0 });
    }

    [TestMethod]
    public void HybridLossTeachesTheVarianceByTheBoundAlone()
    {
        using var scope = NewDisposeScope();
        using var generator = new Generator(5);
        using var diffusion = new GaussianDiffusion((NoiseScheduleOptions.Cosine with { Timesteps = 400 }).Build(), PredictionType.Epsilon, VarianceType.LearnedRange);
        Tensor x0 = randn([3, 1, 2, 2], generator: generator).clamp(-1, 1), noise = randn([3, 1, 2, 2], generator: generator), t = tensor(new long[] { 0, 50, 399 });
        var x = diffusion.QSample(x0, t, noise);
        var output = randn([3, 2, 2, 2], generator: generator).requires_grad_();

        var hybrid = new DiffusionLoss(diffusion, new DiffusionLossOptions { Type = LossType.Hybrid }).Compute(output, x0, x, t, noise);
        // T/1000 of the bound: unscaled it would drown the regression.
        var term = VariationalBound.Term(diffusion, output.detach(), x0, x, t, X0Threshold.None).Bits;
        new Tolerance(1e-7, 1e-6).Check(term * 0.4, hybrid.Bound!, "bound");
        var squares = (output.narrow(1, 0, 1) - noise).square();
        new Tolerance(1e-6, 1e-6).Check(squares.flatten(1).mean([1L]), hybrid.Regression!, "regression");
        new Tolerance(1e-6, 1e-6).Check(hybrid.Regression! + hybrid.Bound!, hybrid.Loss, "loss");

        hybrid.Loss.sum().backward();
        var gradient = output.grad!;
        // Detached: the prediction's gradient is that of the square error, as if there were no bound.
        new Tolerance(1e-6, 1e-6).Check(2 * (output - noise).narrow(1, 0, 1).detach() / 4, gradient.narrow(1, 0, 1), "gradient of the prediction");
        Assert.IsGreaterThan(0f, gradient.narrow(1, 1, 1).abs().sum().item<float>());
    }

    [TestMethod]
    public void BoundLossIsNotClipped()
    {
        using var scope = NewDisposeScope();
        using var diffusion = new GaussianDiffusion(NoiseScheduleOptions.Linear.Build(), PredictionType.X0, VarianceType.FixedSmall);
        Tensor x0 = zeros(1, 1, 1, 1), t = full(1, 500, ScalarType.Int64), noise = zeros(1, 1, 1, 1);
        // Out of range, where clipping would take the gradient away.
        var output = full(1, 1, 1, 1, 3.0).requires_grad_();
        var rows = new DiffusionLoss(diffusion, new DiffusionLossOptions { Type = LossType.RescaledBound }).Compute(output, x0, x0, t, noise);
        rows.Loss.sum().backward();
        Assert.IsGreaterThan(0f, output.grad!.item<float>());
        Assert.IsNull(rows.Regression);
        var plain = new DiffusionLoss(diffusion, new DiffusionLossOptions { Type = LossType.Bound }).Compute(output, x0, x0, t, noise);
        Assert.AreEqual(1000 * plain.Loss.item<float>(), rows.Loss.item<float>(), 1e-3);
    }

    [TestMethod]
    public void AbsoluteAndHuberErrors()
    {
        using var scope = NewDisposeScope();
        using var diffusion = new GaussianDiffusion(NoiseScheduleOptions.Linear.Build());
        Tensor x0 = zeros(1, 1, 1, 4), t = zeros(1, ScalarType.Int64), noise = zeros(1, 1, 1, 4);
        var output = tensor(new[] { 0.1f, -0.3f, 1f, -4f }).view(1, 1, 1, 4);
        float Loss(DiffusionLossOptions options) => new DiffusionLoss(diffusion, options).Compute(output, x0, x0, t, noise).Loss.item<float>();
        Assert.AreEqual(5.4 / 4, Loss(new DiffusionLossOptions { Type = LossType.L1 }), 1e-6);
        Assert.AreEqual((0.01 + 0.09 + 1 + 16) / 4, Loss(new DiffusionLossOptions()), 1e-5);
        Assert.AreEqual((0.005 + 0.045 + 0.5 + 3.5) / 4, Loss(new DiffusionLossOptions { Type = LossType.Huber }), 1e-6);
        // δ·(|e| − δ/2) beyond δ.
        Assert.AreEqual((0.005 + 0.5 * 0.05 + 0.5 * 0.75 * 1 + 0) / 4 + (0.5 * (0.3 - 0.25) - 0.5 * 0.05 + 0.5 * 3.75 + 0.02) / 4,
            Loss(new DiffusionLossOptions { Type = LossType.Huber, HuberDelta = 0.5 }), 1e-6);
    }

    [TestMethod]
    public void OffsetNoiseIsSharedWithinAChannel()
    {
        using var scope = NewDisposeScope();
        using var diffusion = new GaussianDiffusion(NoiseScheduleOptions.Linear.Build());
        using var generator = new Generator(11);
        var noise = new DiffusionLoss(diffusion, new DiffusionLossOptions { OffsetNoise = 0.5 }).DrawNoise([200, 3, 8, 8], generator);
        var means = noise.mean([2L, 3L]);
        // The mean of 64 pixels varies by 1/64 of its own and all of the shared quarter.
        Assert.AreEqual(0.25 + 1 / 64.0, means.square().mean().item<float>(), 0.04);
        Assert.AreEqual(1.25, noise.square().mean().item<float>(), 0.05);
        using var again = new Generator(11);
        var same = new DiffusionLoss(diffusion, new DiffusionLossOptions { OffsetNoise = 0.5 }).DrawNoise([200, 3, 8, 8], again);
        Assert.IsTrue(noise.eq(same).all().item<bool>(), "the generator alone decides");
        using Generator without = new(11), fresh = new(11);
        Assert.IsTrue(new DiffusionLoss(diffusion).DrawNoise([4, 3, 8, 8], without).eq(randn([4, 3, 8, 8], generator: fresh)).all().item<bool>());
    }
}
