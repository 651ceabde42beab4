namespace Microsoft.ML.Diffusion;

/// <summary>The noise levels that a run passes.</summary>
internal static class NoiseLevels
{
    /// <summary>The level of each visited timestep, noisiest first, and the one that the last step ends at.</summary>
    /// <param name="schedule">The model's schedule.</param>
    /// <param name="timesteps">Rising.</param>
    /// <param name="endAlphaBar">ᾱ after the last step; 1 is a clean image.</param>
    public static NoiseLevel[] Descending(NoiseSchedule schedule, ReadOnlySpan<int> timesteps, double endAlphaBar)
    {
        var levels = new NoiseLevel[timesteps.Length + 1];
        for (var i = 0; i < timesteps.Length; i++)
            levels[i] = schedule.LevelAt(timesteps[^(i + 1)]);
        levels[^1] = new NoiseLevel(0, endAlphaBar);
        return levels;
    }
}
