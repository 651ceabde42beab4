using Microsoft.ML.Data;

namespace Microsoft.ML.Diffusion.Tests;

[TestClass]
public class FidelityTests
{
    private sealed class Row
    {
        [VectorType(4)]
        public float[] Features { get; set; } = [];

        public float Number { get; set; }
    }

    /// <summary>Two Gaussians with known means and axes: the distance is Σ (μ₁−μ₂)² + (σ₁−σ₂)².</summary>
    [TestMethod]
    public void GaussiansHaveTheirClosedForm()
    {
        const int Count = 40_000;
        var ml = new MLContext();
        IDataView real = Gaussian(ml, Count, 1, 0, 1), generated = Gaussian(ml, Count, 2, 0.5, 2);
        var metrics = FidelityEvaluator.Evaluate(real, generated, "Features", new FidelityOptions { MaximumRows = 2000, KernelSubsets = 10, KernelSubsetSize = 500 });
        Assert.AreEqual(4 * (0.25 + 1), metrics.FrechetDistance, 0.1);
        Assert.AreEqual(4 * 0.25, metrics.FrechetMeanTerm, 0.05);
        Assert.AreEqual(Count, metrics.RealCount);
        Assert.AreEqual(Count, metrics.GeneratedCount);
        Assert.AreEqual(2000, metrics.RealSampleCount);
        Assert.AreEqual(4, metrics.FeatureCount);
        Assert.IsGreaterThan(5 * metrics.KernelDistanceStandardError, metrics.KernelDistance);
        Assert.IsLessThan(0.9, metrics.Precision);
        Assert.IsGreaterThan(0.9, metrics.Recall);
        StringAssert.Contains(metrics.ToString(), "40000 real");
    }

    [TestMethod]
    public void TheSameDistributionIsNearZeroAndCovered()
    {
        var ml = new MLContext();
        var metrics = FidelityEvaluator.Evaluate(Gaussian(ml, 3000, 1, 0, 1), Gaussian(ml, 3000, 2, 0, 1), "Features", new FidelityOptions { KernelSubsetSize = 300 });
        Assert.AreEqual(0, metrics.FrechetDistance, 0.02);
        Assert.IsLessThanOrEqualTo(5 * metrics.KernelDistanceStandardError, Math.Abs(metrics.KernelDistance));
        Assert.IsGreaterThan(0.9, metrics.Precision);
        Assert.IsGreaterThan(0.9, metrics.Recall);
        Assert.AreEqual(1, metrics.Density, 0.1);
        Assert.IsGreaterThan(0.9, metrics.Coverage);
    }

    [TestMethod]
    public void TheSameDataGivesTheSameNumbers()
    {
        var ml = new MLContext();
        IDataView real = Gaussian(ml, 500, 1, 0, 1), generated = Gaussian(ml, 500, 2, 0, 1);
        var options = new FidelityOptions { MaximumRows = 100, KernelSubsets = 5, KernelSubsetSize = 50 };
        Assert.AreEqual(FidelityEvaluator.Evaluate(real, generated, "Features", options).ToString(), FidelityEvaluator.Evaluate(real, generated, "Features", options).ToString());
    }

    [TestMethod]
    public void TooFewRowsAreRefused()
    {
        var ml = new MLContext();
        IDataView few = Gaussian(ml, 4, 1, 0, 1), enough = Gaussian(ml, 50, 1, 0, 1), none = Gaussian(ml, 0, 1, 0, 1);
        var message = Assert.ThrowsExactly<InvalidOperationException>(() => FidelityEvaluator.Evaluate(enough, few, "Features")).Message;
        StringAssert.Contains(message, "generated data has 4 rows");
        StringAssert.Contains(message, "at least 5");
        StringAssert.Contains(Assert.ThrowsExactly<InvalidOperationException>(() => FidelityEvaluator.Evaluate(none, enough, "Features")).Message, "0 rows");
        var options = new FidelityOptions { Neighbors = 5, MaximumRows = 5 };
        StringAssert.Contains(Assert.ThrowsExactly<InvalidOperationException>(() => FidelityEvaluator.Evaluate(enough, enough, "Features", options)).Message, "MaximumRows");
    }

    [TestMethod]
    public void BadColumnsAreNamed()
    {
        var ml = new MLContext();
        var data = Gaussian(ml, 50, 1, 0, 1);
        StringAssert.Contains(Assert.ThrowsExactly<ArgumentException>(() => FidelityEvaluator.Evaluate(data, data, "Feature")).Message, "no column 'Feature'");
        StringAssert.Contains(Assert.ThrowsExactly<ArgumentException>(() => FidelityEvaluator.Evaluate(data, data, "Number")).Message, "'Number'");
        var holes = ml.Data.LoadFromEnumerable(Enumerable.Range(0, 50).Select(row => new Row { Features = [1, row, row == 7 ? float.NaN : 2, 3] }));
        StringAssert.Contains(Assert.ThrowsExactly<InvalidOperationException>(() => FidelityEvaluator.Evaluate(data, holes, "Features")).Message, "row 7");
    }

    /// <summary>A diagonal matrix hidden by a rotation has its diagonal for eigenvalues; sizes that do not fill a vector register, and a matrix of rank one.</summary>
    [TestMethod]
    [DataRow(1)]
    [DataRow(2)]
    [DataRow(3)]
    [DataRow(17)]
    [DataRow(50)]
    public void EigenvaluesOfRotatedDiagonals(int n)
    {
        var random = new Random(n);
        var want = Enumerable.Range(0, n).Select(i => i == 0 ? 0 : i % 5 == 4 ? 1.0 : random.NextDouble() * 10 - 3).Order().ToArray();
        var matrix = new double[n * n];
        for (var i = 0; i < n; i++)
            matrix[i * n + i] = want[i];
        for (var turn = 0; turn < 3 * n; turn++)
            Rotate(matrix, n, random.Next(n), random.Next(n), random.NextDouble() * 6);
        SamplerTrace.AssertClose(want, [.. SymmetricEigenvalues.Of(matrix, n).Order()], 1e-12, 1e-12, "eigenvalues");

        var one = new double[n * n];
        for (var i = 0; i < n * n; i++)
            one[i] = 1;
        var values = SymmetricEigenvalues.Of(one, n).Order().ToArray();
        Assert.AreEqual(n, values[^1], 1e-12);
        for (var i = 0; i < n - 1; i++)
            Assert.AreEqual(0, values[i], 1e-12);
    }

    private static void Rotate(double[] matrix, int n, int p, int q, double angle)
    {
        if (p == q)
            return;
        double c = Math.Cos(angle), s = Math.Sin(angle);
        for (var i = 0; i < n; i++)
            (matrix[p * n + i], matrix[q * n + i]) = (c * matrix[p * n + i] - s * matrix[q * n + i], s * matrix[p * n + i] + c * matrix[q * n + i]);
        for (var i = 0; i < n; i++)
            (matrix[i * n + p], matrix[i * n + q]) = (c * matrix[i * n + p] - s * matrix[i * n + q], s * matrix[i * n + p] + c * matrix[i * n + q]);
    }

    private static IDataView Gaussian(MLContext ml, int count, int seed, double mean, double deviation)
    {
        var random = new Random(seed);
        return ml.Data.LoadFromEnumerable(Enumerable.Range(0, count)
            .Select(_ => new Row { Features = [.. Enumerable.Range(0, 4).Select(_ => (float)(mean + deviation * Normal(random)))] }).ToArray());
    }

    private static double Normal(Random random) => Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());
}
