namespace Microsoft.ML.Diffusion;

/// <summary>
/// DDIM run backwards: from an image to the noise that a deterministic <see cref="DdimSampler"/> would turn into it (Song et al. 2020, section 5.4; Dhariwal and Nichol 2021, appendix F).
/// </summary>
public sealed record DdimInversion
{
    /// <summary>The number of steps, 1 … T; the same as of the sampler that is to come back.</summary>
    public int Steps
    {
        get;
        init
        {
            ArgumentOutOfRangeException.ThrowIfLessThan(value, 1, nameof(Steps));
            field = value;
        }
    } = 50;

    /// <summary>Which timesteps are visited.</summary>
    public SamplerSpacing Spacing { get; init; } = SamplerSpacing.Trailing;

    /// <summary>
    /// Extra model evaluations a step, 0 or more. Inversion assumes that ε hardly changes within a step; each refinement asks the model again at the step's far end,
    /// which brings the way back closer to the image.
    /// </summary>
    public int Refinements
    {
        get;
        init
        {
            ArgumentOutOfRangeException.ThrowIfNegative(value, nameof(Refinements));
            field = value;
        }
    }

    /// <summary>Finds the noise behind a batch of images.</summary>
    /// <param name="request"><see cref="SamplingRequest.Start"/> holds the images, [N, C, H, W] float32 in [−1, 1].</param>
    /// <returns>[N, C, H, W] float32: x at the noisiest visited timestep; the caller disposes it.</returns>
    public Tensor Invert(SamplingRequest request)
    {
        ArgumentNullException.ThrowIfNull(request);
        var timesteps = Spacing.Visit(request.Schedule.Timesteps, Steps);
        var levels = Array.ConvertAll(timesteps, request.Schedule.LevelAt);
        using var run = new SamplingRun(request, levels.Length);
        run.X = request.Start.clone();
        for (var i = 0; i < run.Steps; i++)
        {
            using var step = run.Step();
            // The clean image is no level that the model knows: the first step asks about it as if it were the mean of the first level.
            var from = i > 0 ? levels[i - 1].AlphaBar : 1;
            var asked = i > 0 ? levels[i - 1] : levels[0];
            var known = i > 0 ? run.X : run.X.mul(Held(Math.Sqrt(asked.AlphaBar)));
            var x = Move(run.X, DdimSampler.Epsilon(known, run.Ask(i, known, asked).X0, asked.AlphaBar), from, levels[i].AlphaBar);
            for (var k = 0; k < Refinements; k++)
            {
                var x0 = request.Denoiser.Denoise(x, levels[i]).X0;
                x = Move(run.X, DdimSampler.Epsilon(x, x0, levels[i].AlphaBar), from, levels[i].AlphaBar);
            }
            run.X = x;
        }
        return run.Finish();
    }

    // The ODE step along a given ε: x/√ᾱ moves by the change of √((1−ᾱ)/ᾱ) times ε.
    private static Tensor Move(Tensor x, Tensor epsilon, double from, double to)
        => SamplingRun.Combine(Math.Sqrt(to / from), x, Math.Sqrt(1 - to) - Math.Sqrt(to / from * (1 - from)), epsilon);
}
