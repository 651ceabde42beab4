namespace Microsoft.ML.Diffusion.Tests;

/// <summary>A tolerance as the golden vectors state it: |got − want| ≤ Absolute + Relative·|want|.</summary>
internal readonly record struct Tolerance(double Absolute, double Relative = 0)
{
    /// <summary>Compares tensors of as many elements; [N] goes with [N, 1, 1, 1].</summary>
    /// <returns>The largest difference as a share of the tolerance.</returns>
    public double Check(Tensor want, Tensor got, string what)
    {
        var tolerance = this;
        return Check(want, got, what, _ => tolerance);
    }

    /// <summary>Compares tensors row by row, each row of the first dimension with a tolerance of its own.</summary>
    public static double Check(Tensor want, Tensor got, string what, Func<int, Tolerance> ofRow)
    {
        CollectionAssert.AreEqual(Squeezed(want), Squeezed(got), $"{what}: want shape [{string.Join(", ", want.shape)}], got [{string.Join(", ", got.shape)}]");
        double[] wanted = Values(want), gotten = Values(got);
        var rowLength = want.dim() == 0 ? 1 : (int)Math.Max(1, wanted.Length / Math.Max(1, want.shape[0]));
        return Check(wanted, gotten, what, index => ofRow(index / rowLength));
    }

    public double Check(ReadOnlySpan<double> want, ReadOnlySpan<double> got, string what)
    {
        var tolerance = this;
        return Check(want, got, what, _ => tolerance);
    }

    public static double Check(ReadOnlySpan<double> want, ReadOnlySpan<double> got, string what, Func<int, Tolerance> ofElement)
    {
        Assert.AreEqual(want.Length, got.Length, $"{what}: number of elements");
        var (worst, at) = (-1.0, -1);
        for (var i = 0; i < want.Length; i++)
        {
            var share = ofElement(i).Share(want[i], got[i]);
            if (share > worst)
                (worst, at) = (share, i);
        }
        if (worst > 1)
        {
            var tolerance = ofElement(at);
            Assert.Fail($"{what}: element {at} of {want.Length} is {got[at]:g17}, want {want[at]:g17}: the difference {Math.Abs(got[at] - want[at]):g3} is {worst:g4} times the tolerance {tolerance.Absolute:g3} + {tolerance.Relative:g3}·|want|");
        }
        return worst;
    }

    private double Share(double want, double got)
    {
        // Covers infinities of the same sign, which are as alike as they can be.
        if (want == got)
            return 0;
        var share = Math.Abs(got - want) / (Absolute + Relative * Math.Abs(want));
        return double.IsNaN(share) ? double.PositiveInfinity : share;
    }

    public static double[] Values(Tensor values)
    {
        using var cpu = values.detach().to(ScalarType.Float64).cpu().contiguous();
        return cpu.data<double>().ToArray();
    }

    private static long[] Squeezed(Tensor values)
    {
        var shape = values.shape.ToList();
        while (shape.Count > 1 && shape[^1] == 1)
            shape.RemoveAt(shape.Count - 1);
        return [.. shape];
    }
}
