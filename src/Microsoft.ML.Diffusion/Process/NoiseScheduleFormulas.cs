namespace Microsoft.ML.Diffusion;

/// <summary>The schedules' formulas, float64 throughout; u in [0, 1] is the share of the noising that is done.</summary>
internal static class NoiseScheduleFormulas
{
    /// <summary>T even steps from start to end, both included.</summary>
    public static double[] Line(int timesteps, double start, double end)
    {
        var line = new double[timesteps];
        var step = timesteps > 1 ? (end - start) / (timesteps - 1) : 0;
        for (var t = 0; t < timesteps; t++)
            line[t] = start + step * t;
        if (timesteps > 1)
            line[^1] = end;
        return line;
    }

    public static double[] SquaredLine(int timesteps, double start, double end)
        => Array.ConvertAll(Line(timesteps, Math.Sqrt(start), Math.Sqrt(end)), root => root * root);

    public static double[] SigmoidBetas(int timesteps, double start, double end)
        => Array.ConvertAll(Line(timesteps, -6, 6), x => Logistic(x) * (end - start) + start);

    /// <summary>β_t = 1 − ᾱ((t+1)/T)/ᾱ(t/T), at most <paramref name="maximum"/> (Nichol and Dhariwal 2021, section 3.2).</summary>
    public static double[] FromAlphaBar(int timesteps, double maximum, Func<double, double> alphaBar)
    {
        var betas = new double[timesteps];
        var before = alphaBar(0);
        for (var t = 0; t < timesteps; t++)
        {
            var after = alphaBar((double)(t + 1) / timesteps);
            betas[t] = Math.Min(1 - after / before, maximum);
            before = after;
        }
        return betas;
    }

    public static Func<double, double> Cosine(double offset) => u =>
    {
        var cosine = Math.Cos((u + offset) / (1 + offset) * Math.PI / 2);
        return cosine * cosine;
    };

    public static Func<double, double> Sigmoid(double start, double end, double tau)
    {
        // The ends are rounded to float32 where this schedule was published. Near u = 1 that rounding is all that is
        // left of ᾱ and moves the last betas by up to 2e-3, so models trained with it need it.
        double first = LogisticFloat32((float)(start / tau)), last = LogisticFloat32((float)(end / tau));
        return u => (last - Logistic((u * (end - start) + start) / tau)) / (last - first);
    }

    public static double Laplace(double u)
    {
        // The 1e-6 keeps the logarithm finite at both ends.
        var logSnr = -0.5 * Math.CopySign(1, 0.5 - u) * Math.Log(1 - 2 * Math.Abs(0.5 - u) + 1e-6);
        var snr = Math.Exp(logSnr);
        return Math.Sqrt(snr / (1 + snr));
    }

    public static double Exponential(double u) => Math.Exp(-12 * u);

    private static double Logistic(double x) => 1 / (1 + Math.Exp(-x));

    private static float LogisticFloat32(float x)
    {
        var exponential = (float)Math.Exp(-x);
        return 1f / (1f + exponential);
    }
}
