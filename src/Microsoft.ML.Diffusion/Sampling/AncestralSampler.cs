namespace Microsoft.ML.Diffusion;

/// <summary>Ancestral sampling: x_{t−1} = μ̃_t(x_t, x̂_0) + σ_t·z (Ho et al. 2020, algorithm 2), over a respaced process where steps are left out.</summary>
public sealed record AncestralSampler : DiffusionSampler
{
    /// <summary>
    /// From this many steps on the large fixed variance gives the better images. Published Fréchet distances on CIFAR-10, large against small:
    /// 32.7 to 8.01 at 50 steps, 9.99 to 5.78 at 100, 3.17 to 4.73 at 1000 (Song et al. 2020, table 1).
    /// </summary>
    internal const int LargeVarianceSteps = 500;

    /// <summary>1 … T; null takes all T steps.</summary>
    public int? Steps { get; init => field = value is { } steps ? AtLeastOne(steps, nameof(Steps)) : null; }

    /// <summary>
    /// σ_t². Null: learned where the model learned it, else <see cref="VarianceType.FixedLarge"/> from 500 steps on and <see cref="VarianceType.FixedSmall"/> below,
    /// where the large one leaves the images noisy.
    /// </summary>
    public VarianceType? Variance { get; init; }

    /// <summary>Which timesteps are visited.</summary>
    public SamplerSpacing Spacing { get; init; } = SamplerSpacing.Linspace;

    /// <inheritdoc/>
    public override Tensor Sample(SamplingRequest request)
    {
        ArgumentNullException.ThrowIfNull(request);
        var timesteps = Spacing.Visit(request.Schedule.Timesteps, Steps ?? request.Schedule.Timesteps);
        var levels = NoiseLevels.Descending(request.Schedule, timesteps, endAlphaBar: 1);
        using var run = new SamplingRun(request, timesteps.Length);
        run.Expect(levels[..^1]);
        run.X = request.Start.clone();
        for (var i = 0; i < run.Steps; i++)
        {
            using var step = run.Step();
            double alphaBar = levels[i].AlphaBar, next = levels[i + 1].AlphaBar;
            // Respacing: the β that leads from one visited ᾱ to the next.
            var alpha = alphaBar / next;
            var beta = 1 - alpha;
            var posterior = beta * (1 - next) / (1 - alphaBar);

            var denoised = run.Ask(i, run.X, levels[i]);
            // A network's own mean is that of a step of the whole process: it is of no use where steps are left out.
            var x = denoised.PreviousX is { } mean && run.Steps == request.Schedule.Timesteps
                ? mean
                : SamplingRun.Combine(Math.Sqrt(alpha) * (1 - next) / (1 - alphaBar), run.X, Math.Sqrt(next) * beta / (1 - alphaBar), denoised.X0);
            if (i < run.Steps - 1)
                x.add_(Scaled(run.Noise(), denoised, posterior, beta, run.Steps), Held(1));
            run.X = x;
        }
        return run.Finish();
    }

    private Tensor Scaled(Tensor noise, Denoised denoised, double posterior, double beta, int steps)
    {
        var variance = Variance ?? (denoised.VarianceFraction is not null ? VarianceType.LearnedRange
            : denoised.LogVariance is not null ? VarianceType.Learned
            : steps >= LargeVarianceSteps ? VarianceType.FixedLarge : VarianceType.FixedSmall);
        switch (variance)
        {
            case VarianceType.FixedSmall:
                return noise.mul_(Held(Math.Sqrt(posterior)));
            case VarianceType.FixedLarge:
                return noise.mul_(Held(Math.Sqrt(beta)));
            case VarianceType.LearnedRange:
                var fraction = denoised.VarianceFraction ?? throw NotLearned(variance);
                // log σ = ½(f·log β + (1−f)·log β̃), f = (v+1)/2 (Nichol and Dhariwal 2021, equation 15).
                double low = Math.Log(posterior), high = Math.Log(beta);
                return noise.mul_(fraction.mul(Held((high - low) / 4)).add_(Held((high + low) / 4), Held(1)).exp_());
            default:
                var logVariance = denoised.LogVariance ?? throw NotLearned(variance);
                return noise.mul_(logVariance.mul(Held(0.5)).exp_());
        }
    }

    private static InvalidOperationException NotLearned(VarianceType variance)
        => new($"The sampler asks for {variance}, but the model did not learn its variance that way. Choose FixedSmall, FixedLarge or null.");
}
