using System.Globalization;

namespace Microsoft.ML.Diffusion.Benchmarks;

/// <summary>Numbers as the tables write them.</summary>
internal static class Text
{
    /// <summary>Three figures and a unit: 1.74 s, 330 ms, 12.1 us.</summary>
    public static string Time(double seconds) => seconds switch
    {
        >= 1 => $"{Figures(seconds)} s",
        >= 1e-3 => $"{Figures(seconds * 1e3)} ms",
        _ => $"{Figures(seconds * 1e6)} µs",
    };

    /// <summary>The median and, in brackets, least and largest.</summary>
    public static string Spread(IReadOnlyCollection<double> values, Func<double, string> write) =>
        values.Count > 1 ? $"{write(values.Median())} ({write(values.Min())}–{write(values.Max())})" : write(values.Median());

    /// <summary>Bytes as megabytes.</summary>
    public static string Memory(double bytes) => $"{Figures(bytes / (1 << 20))} MiB";

    /// <summary>A ratio: 5.12x.</summary>
    public static string Ratio(double ratio) => $"{Figures(ratio)}x";

    /// <summary>Three significant figures, without an exponent.</summary>
    public static string Figures(double value)
    {
        if (!double.IsFinite(value) || value == 0)
            return value.ToString(CultureInfo.InvariantCulture);
        int decimals = Math.Clamp(2 - (int)Math.Floor(Math.Log10(Math.Abs(value))), 0, 6);
        return value.ToString($"F{decimals}", CultureInfo.InvariantCulture);
    }
}
