namespace Microsoft.ML.Diffusion;

/// <summary>DDIM: x_{t'} = √ᾱ_{t'}·x̂_0 + √(1 − ᾱ_{t'} − σ²)·ε̂ + σ·z (Song et al. 2020, equation 12).</summary>
public sealed record DdimSampler : DiffusionSampler
{
    /// <summary>1 … T.</summary>
    public int Steps { get; init => field = AtLeastOne(value, nameof(Steps)); } = 50;

    /// <summary>η in 0 … 1: the share of the ancestral noise (equation 16); 0 is deterministic.</summary>
    public double Eta { get; init => field = Within(value, 0, 1, nameof(Eta)); }

    /// <summary>Which timesteps are visited.</summary>
    public SamplerSpacing Spacing { get; init; } = SamplerSpacing.Trailing;

    /// <summary>
    /// Where the last step ends: at a clean image (false), or at ᾱ of timestep 0, where training ended (true, "set_alpha_to_one": false in published scheduler files).
    /// </summary>
    public bool EndsAtFirstTimestep { get; init; }

    /// <summary>
    /// Each step goes ⌊T/steps⌋ timesteps down, as the widely used scheduler files mean it, even where that is not the next timestep visited. False goes to the next one.
    /// </summary>
    public bool ConstantStride { get; init; }

    /// <summary>
    /// Where the model's x_0 is clipped, ε̂ is derived anew from the clipped one, so that both describe the same x_t (true), or stays as predicted (false).
    /// </summary>
    public bool RederiveEpsilon { get; init; } = true;

    /// <inheritdoc/>
    public override Tensor Sample(SamplingRequest request)
    {
        ArgumentNullException.ThrowIfNull(request);
        var schedule = request.Schedule;
        var timesteps = Spacing.Visit(schedule.Timesteps, Steps);
        var end = EndsAtFirstTimestep ? schedule.AlphaBar(0) : 1;
        var levels = NoiseLevels.Descending(schedule, timesteps, end);
        using var run = new SamplingRun(request, timesteps.Length);
        run.Expect(levels[..^1]);
        var stride = schedule.Timesteps / run.Steps;
        run.X = request.Start.clone();
        for (var i = 0; i < run.Steps; i++)
        {
            using var step = run.Step();
            double alphaBar = levels[i].AlphaBar, next = levels[i + 1].AlphaBar;
            if (ConstantStride)
                next = timesteps[^(i + 1)] < stride ? end : schedule.AlphaBar(timesteps[^(i + 1)] - stride);

            var denoised = run.Ask(i, run.X, levels[i]);
            var epsilon = Epsilon(run.X, RederiveEpsilon ? denoised.X0 : denoised.Unclipped ?? denoised.X0, alphaBar);
            var sigma = Eta * Math.Sqrt((1 - next) / (1 - alphaBar) * (1 - alphaBar / next));
            var x = SamplingRun.Combine(Math.Sqrt(next), denoised.X0, Math.Sqrt(Math.Max(0, 1 - next - sigma * sigma)), epsilon);
            if (sigma > 0)
                x.add_(run.Noise(), Held(sigma));
            run.X = x;
        }
        return run.Finish();
    }

    /// <summary>ε = (x − √ᾱ·x_0)/√(1−ᾱ).</summary>
    internal static Tensor Epsilon(Tensor x, Tensor x0, double alphaBar)
        => SamplingRun.Combine(1 / Math.Sqrt(1 - alphaBar), x, -Math.Sqrt(alphaBar / (1 - alphaBar)), x0);
}
