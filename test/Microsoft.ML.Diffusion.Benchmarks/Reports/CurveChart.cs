using Garments;

namespace Microsoft.ML.Diffusion.Benchmarks;

/// <summary>Cost curves side by side on logarithmic axes: measured points, and the straight line of slope 1 through the last of them.</summary>
internal static class CurveChart
{
    private const int PanelWidth = 380, PanelHeight = 360, Left = 70, Right = 20, Top = 50, Bottom = 50;
    private static readonly Canvas.Color Measured = new(32, 84, 176), Linear = new(214, 120, 60);

    /// <summary>Draws them, two panels a row.</summary>
    public static Canvas Draw(IReadOnlyList<CostCurve> curves)
    {
        int columns = Math.Min(2, curves.Count), rows = (curves.Count + columns - 1) / columns;
        var chart = new Canvas(columns * PanelWidth, rows * PanelHeight);
        for (int i = 0; i < curves.Count; i++)
            Panel(chart, curves[i], i % columns * PanelWidth, i / columns * PanelHeight);
        return chart;
    }

    private static void Panel(Canvas chart, CostCurve curve, int atX, int atY)
    {
        (double low, double high) = (curve.Points.Min(p => p.X), curve.Points.Max(p => p.X));
        // The same number of decades on both axes: linear cost is a diagonal.
        double largest = curve.Points.Max(p => p.Seconds), middle = Math.Sqrt(largest * curve.Points.Min(p => p.Seconds)), reach = Math.Sqrt(high / low) * 1.3;
        (double bottom, double top) = (middle / reach, middle * reach);
        double X(double x) => atX + Left + Share(x, low / 1.15, high * 1.15) * (PanelWidth - Left - Right);
        double Y(double y) => atY + PanelHeight - Bottom - Math.Clamp(Share(y, bottom, top), 0, 1) * (PanelHeight - Top - Bottom);

        chart.Text(curve.Name, atX + 12, atY + 12, Canvas.Ink, 1);
        chart.Text(FormattableString.Invariant($"exponent {curve.Exponent:F2}"), atX + 12, atY + 26, Measured, 1);
        chart.Text("linear: 1", atX + 120, atY + 26, Linear, 1);
        chart.Line(atX + Left, Y(bottom), atX + PanelWidth - Right, Y(bottom), Canvas.Ink);
        chart.Line(atX + Left, Y(bottom), atX + Left, Y(top), Canvas.Ink);
        foreach ((double x, double seconds) in curve.Points)
        {
            chart.Line(X(x), Y(bottom), X(x), Y(bottom) + 5, Canvas.Ink);
            string tick = FormattableString.Invariant($"{x:0}");
            chart.Text(tick, (int)X(x) - tick.Length * 3, (int)Y(bottom) + 10, Canvas.Ink);
            string time = Text.Time(seconds);
            chart.Line(atX + Left, Y(seconds), atX + PanelWidth - Right, Y(seconds), Canvas.Faint);
            chart.Text(time, atX + Left - 6 - time.Length * 6, (int)Y(seconds) - 3, Canvas.Ink);
        }
        chart.Text(curve.Axis, atX + PanelWidth / 2 - curve.Axis.Length * 3, atY + PanelHeight - 18, Canvas.Ink, 1);

        (double X, double Seconds) last = curve.Points[^1];
        chart.Line(X(low), Y(last.Seconds * low / last.X), X(high), Y(last.Seconds * high / last.X), Linear);
        for (int i = 0; i < curve.Points.Count; i++)
        {
            (double x, double y) = (X(curve.Points[i].X), Y(curve.Points[i].Seconds));
            if (i > 0)
                chart.Line(X(curve.Points[i - 1].X), Y(curve.Points[i - 1].Seconds), x, y, Measured, 2);
            chart.Fill((int)x - 3, (int)y - 3, 7, 7, Measured);
        }
    }

    private static double Share(double value, double low, double high) => (Math.Log(value) - Math.Log(low)) / (Math.Log(high) - Math.Log(low));
}
