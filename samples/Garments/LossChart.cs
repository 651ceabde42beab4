namespace Garments;

/// <summary>The loss over the steps: each step faint, a running mean strong.</summary>
internal static class LossChart
{
    private const int Width = 900, Height = 480, Left = 80, Right = 30, Top = 40, Bottom = 60;
    private static readonly Canvas.Color Each = new(190, 208, 236), Mean = new(32, 84, 176);

    public static Canvas Draw(IReadOnlyList<(int Step, double Loss)> losses)
    {
        var chart = new Canvas(Width, Height);
        (int right, int bottom) = (Width - Right, Height - Bottom);
        double lastStep = Math.Max(losses.Count > 0 ? losses[^1].Step : 1, 2);
        // The first steps tower over the rest; the axis ends where nine steps in ten of the first quarter lie below.
        double[] early = [.. losses.Take(losses.Count / 4 + 1).Select(l => l.Loss).Where(double.IsFinite).Order()];
        double tick = NiceTick((early.Length > 0 ? early[early.Length * 9 / 10] : 1) * 1.1 / 5);
        double largest = tick * 5;
        double X(double step) => Left + (step - 1) / (lastStep - 1) * (right - Left);
        double Y(double loss) => bottom - Math.Clamp(loss / largest, 0, 1) * (bottom - Top);

        for (int i = 0; i <= 5; i++)
        {
            chart.Line(Left, Y(i * tick), right, Y(i * tick), Canvas.Faint);
            string label = FormattableString.Invariant($"{i * tick:0.####}");
            chart.Text(label, Left - 10 - label.Length * 6, (int)Y(i * tick) - 3, Canvas.Ink);
        }

        double stepTick = Math.Max(NiceTick(lastStep / 8), 1);
        for (double step = stepTick; step <= lastStep; step += stepTick)
        {
            chart.Line(X(step), bottom, X(step), bottom + 5, Canvas.Ink);
            string label = FormattableString.Invariant($"{step:N0}");
            chart.Text(label, (int)X(step) - label.Length * 3, bottom + 12, Canvas.Ink);
        }

        chart.Line(Left, Top, Left, bottom, Canvas.Ink);
        chart.Line(Left, bottom, right, bottom, Canvas.Ink);
        chart.Text("training loss", Left, 14, Canvas.Ink, 2);
        chart.Text("step", (Left + right) / 2 - 24, Height - 24, Canvas.Ink, 2);

        Curve(losses.Select(l => (X(l.Step), Y(l.Loss))), Each, 1);
        Curve(RunningMean(losses).Select(l => (X(l.Step), Y(l.Loss))), Mean, 2);
        return chart;

        void Curve(IEnumerable<(double X, double Y)> points, Canvas.Color color, int thickness)
        {
            (double X, double Y)? last = null;
            foreach ((double x, double y) in points.Where(p => double.IsFinite(p.Item2)))
            {
                chart.Line(last?.X ?? x, last?.Y ?? y, x, y, color, thickness);
                last = (x, y);
            }
        }
    }

    private static IEnumerable<(int Step, double Loss)> RunningMean(IReadOnlyList<(int Step, double Loss)> losses)
    {
        double keep = 1 - 1.0 / Math.Clamp(losses.Count / 40, 1, 100);
        (double sum, double weight) = (0, 0);
        foreach ((int step, double loss) in losses.Where(l => double.IsFinite(l.Loss)))
        {
            (sum, weight) = (keep * sum + loss, keep * weight + 1);
            yield return (step, sum / weight);
        }
    }

    /// <summary>The smallest of 1, 2, 2.5, 5 times a power of ten that is not below a value.</summary>
    private static double NiceTick(double value)
    {
        double power = Math.Pow(10, Math.Floor(Math.Log10(Math.Max(value, 1e-9))));
        return new[] { 1, 2, 2.5, 5, 10 }.Select(factor => factor * power).First(candidate => candidate >= value * 0.999);
    }
}
