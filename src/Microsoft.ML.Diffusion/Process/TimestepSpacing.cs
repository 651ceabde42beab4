using System.Globalization;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// Which of T timesteps a shorter run visits. Every method returns rising, distinct timesteps in 0 … T−1; samplers walk them backwards.
/// </summary>
public static class TimestepSpacing
{
    /// <summary>Reads a respacing: "10,15,20" is so many steps from each of three equal parts, "ddim50" is every T/50-th step, "50" is 50 steps from end to end.</summary>
    /// <param name="spec">The respacing (Nichol and Dhariwal 2021, section 4; "ddimN" is the spacing of Song et al. 2020).</param>
    /// <param name="timesteps">T.</param>
    /// <exception cref="FormatException">The text is neither form.</exception>
    /// <exception cref="ArgumentException">T cannot be respaced so.</exception>
    public static int[] Parse(string spec, int timesteps)
    {
        ArgumentNullException.ThrowIfNull(spec);
        if (spec.StartsWith("ddim", StringComparison.Ordinal))
            return Ddim(timesteps, Number(spec.AsSpan(4), spec));
        return Sections(timesteps, Array.ConvertAll(spec.Split(','), part => Number(part, spec)));
    }

    /// <summary>
    /// Splits 0 … T−1 into as many parts as there are counts, as equal as they go (the first ones longer), and takes that many steps from each, both ends included.
    /// </summary>
    /// <param name="timesteps">T.</param>
    /// <param name="counts">Steps to take from each part; each at least 1 and at most the part's length.</param>
    /// <exception cref="ArgumentException">A part is too short, or there is no part.</exception>
    public static int[] Sections(int timesteps, params ReadOnlySpan<int> counts)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(timesteps, 1);
        if (counts.IsEmpty)
            throw new ArgumentException("A respacing needs at least one section.", nameof(counts));
        var taken = new SortedSet<int>();
        var start = 0;
        for (var section = 0; section < counts.Length; section++)
        {
            var size = timesteps / counts.Length + (section < timesteps % counts.Length ? 1 : 0);
            var count = counts[section];
            if (count < 1 || count > size)
                throw new ArgumentException($"Cannot take {count} steps from section {section}, which has {size} of the {timesteps} timesteps.", nameof(counts));
            var stride = count > 1 ? (size - 1) / (double)(count - 1) : 1;
            // The position grows by addition, as in the reference: multiplying instead rounds differently at some steps.
            var position = 0.0;
            for (var step = 0; step < count; step++, position += stride)
                taken.Add(start + (int)Math.Round(position, MidpointRounding.ToEven));
            start += size;
        }
        return [.. taken];
    }

    /// <summary>The multiples of one whole stride that give exactly <paramref name="steps"/> steps (Song et al. 2020).</summary>
    /// <param name="timesteps">T.</param>
    /// <param name="steps">Steps to keep.</param>
    /// <exception cref="ArgumentException">No whole stride gives that many.</exception>
    public static int[] Ddim(int timesteps, int steps)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(timesteps, 1);
        for (var stride = 1; stride < Math.Max(timesteps, 2); stride++)
        {
            if ((timesteps + stride - 1) / stride == steps)
                return Enumerable.Range(0, steps).Select(step => step * stride).ToArray();
        }
        throw new ArgumentException($"No whole stride takes {steps} steps out of {timesteps}; \"{steps}\" instead of \"ddim{steps}\" spaces them by fractions.", nameof(steps));
    }

    /// <summary>Even steps from 0 to T−1, both included, rounded half to even.</summary>
    /// <param name="timesteps">T.</param>
    /// <param name="steps">1 … T.</param>
    public static int[] Linspace(int timesteps, int steps)
    {
        Check(timesteps, steps);
        var line = NoiseScheduleFormulas.Line(steps, 0, timesteps - 1);
        return Array.ConvertAll(line, t => (int)Math.Round(t, MidpointRounding.ToEven));
    }

    /// <summary>The multiples of T/steps (rounded down), from <paramref name="offset"/> on: starts at the clean end and may miss the noisiest steps.</summary>
    /// <param name="timesteps">T.</param>
    /// <param name="steps">1 … T.</param>
    /// <param name="offset">Added to each step.</param>
    /// <exception cref="ArgumentException">The offset leads past T−1.</exception>
    public static int[] Leading(int timesteps, int steps, int offset = 0)
    {
        Check(timesteps, steps);
        var stride = timesteps / steps;
        if (offset < 0 || (steps - 1) * stride + offset >= timesteps)
            throw new ArgumentException($"Leading spacing of {steps} steps with offset {offset} leaves 0 … {timesteps - 1}.", nameof(offset));
        return Enumerable.Range(0, steps).Select(step => step * stride + offset).ToArray();
    }

    /// <summary>Steps of T/steps back from T, minus one: always visits T−1 (Lin et al. 2024, section 3.3).</summary>
    /// <param name="timesteps">T.</param>
    /// <param name="steps">1 … T.</param>
    public static int[] Trailing(int timesteps, int steps)
    {
        Check(timesteps, steps);
        var stride = timesteps / (double)steps;
        var taken = new int[steps];
        for (var step = 0; step < steps; step++)
            taken[steps - 1 - step] = (int)Math.Round(timesteps - step * stride, MidpointRounding.ToEven) - 1;
        return taken;
    }

    private static void Check(int timesteps, int steps)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(timesteps, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(steps, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(steps, timesteps);
    }

    private static int Number(ReadOnlySpan<char> text, string spec)
        => int.TryParse(text, NumberStyles.AllowLeadingWhite | NumberStyles.AllowTrailingWhite, CultureInfo.InvariantCulture, out var number)
            ? number
            : throw new FormatException($"The respacing \"{spec}\" is neither \"ddimN\" nor whole numbers with commas between them, like \"10,15,20\".");
}
