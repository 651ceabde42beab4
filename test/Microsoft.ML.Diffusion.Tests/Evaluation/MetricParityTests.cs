using System.Text.Json;

namespace Microsoft.ML.Diffusion.Tests;

/// <summary>h_metrics.json: moments, Fréchet and kernel distances, and the neighbour metrics of two stored sets.</summary>
[TestClass]
[TestCategory(ParityData.Category)]
public class MetricParityTests
{
    private static readonly JsonElement Want = ParityData.Json("h_metrics.json");

    public static IEnumerable<object[]> NeighborCases
        => Want.EnumerateObject().Where(entry => entry.Name.StartsWith("precision_recall", StringComparison.Ordinal)).Select(entry => new object[] { entry.Name });

    [TestMethod]
    [DataRow("real")]
    [DataRow("fake")]
    public void Moments(string set)
    {
        using var tensors = ParityData.Tensors("h_features.safetensors");
        using var moments = Moments(tensors[set], [7, 1, 64]);
        SamplerTrace.AssertClose(SamplerTrace.Values(tensors[set + "_mean"]), moments.Mean(), 1e-12, 0, "mean");
        SamplerTrace.AssertClose(SamplerTrace.Values(tensors[set + "_cov"]), moments.Covariance(), 1e-12, 0, "covariance");
    }

    [TestMethod]
    public void Frechet()
    {
        using var tensors = ParityData.Tensors("h_features.safetensors");
        using var real = Moments(tensors["real"]);
        using var fake = Moments(tensors["fake"]);
        var distance = Between(real, fake);
        var want = Want.GetProperty("frechet");
        Close(want.Double("symmetric_eigen"), distance.Value, 1e-12, 1e-9);
        Close(want.Double("edm_sqrtm"), distance.Value, 1e-12, 1e-9);
        Close(want.Double("mean_term"), distance.MeanTerm, 1e-12, 1e-9);
        Close(want.Double("identical_sets"), Between(real, real).Value, 1e-12, 1e-9);
    }

    [TestMethod]
    public void FrechetOfRankDeficientSets()
    {
        using var tensors = ParityData.Tensors("h_features.safetensors");
        var want = Want.GetProperty("frechet_rank_deficient");
        using var realRows = tensors["real"].narrow(0, 0, want.Int("real_rows"));
        using var fakeRows = tensors["fake"].narrow(0, 0, want.Int("fake_rows"));
        using var real = Moments(realRows);
        using var fake = Moments(fakeRows);
        Close(want.Double("symmetric_eigen"), Between(real, fake).Value, 0, 1e-6);
        Close(want.Double("symmetric_eigen"), Between(fake, real).Value, 0, 1e-6);
    }

    [TestMethod]
    public void Kernel()
    {
        using var tensors = ParityData.Tensors("h_features.safetensors");
        var want = Want.GetProperty("kid");
        Close(want.Double("full_unbiased"), KernelDistance.Unbiased(tensors["real"], tensors["fake"]), 1e-12, 1e-9);
        Close(want.Double("full_biased"), KernelDistance.Biased(tensors["real"], tensors["fake"]), 1e-12, 1e-9);
        var subsets = KernelDistance.OverSubsets(tensors["real"], tensors["fake"], tensors["kid_real_index"], tensors["kid_fake_index"]);
        SamplerTrace.AssertClose(want.Doubles("subset_values"), subsets.Values, 1e-12, 1e-9, "subset values");
        Close(want.Double("subset_mean"), subsets.Mean, 1e-12, 1e-9);
        Close(want.Double("subset_std_sample"), subsets.StandardDeviation, 1e-12, 1e-9);
        Close(want.Double("subset_std_sample") / Math.Sqrt(subsets.Values.Length), subsets.StandardError, 1e-12, 1e-9);
    }

    [TestMethod]
    [DynamicData(nameof(NeighborCases))]
    public void Neighbors(string name)
    {
        using var tensors = ParityData.Tensors("h_features.safetensors");
        var want = Want.GetProperty(name);
        var metrics = ManifoldMetrics.Between(tensors["real"], tensors["fake"], want.Int("k"));
        Close(want.Double("precision"), metrics.Precision, 1e-12, 0);
        Close(want.Double("recall"), metrics.Recall, 1e-12, 0);
        Close(want.Double("density"), metrics.Density, 1e-12, 0);
        Close(want.Double("coverage"), metrics.Coverage, 1e-12, 0);
    }

    [TestMethod]
    [DataRow("real")]
    [DataRow("fake")]
    public void NeighborDistances(string set)
    {
        using var tensors = ParityData.Tensors("h_features.safetensors");
        using var radii = ManifoldMetrics.Radii(tensors[set], Want.Int("k"));
        SamplerTrace.AssertClose(tensors[set + "_kth_distance"], radii, 1e-12, 0);
    }

    private static RunningMoments Moments(Tensor rows, params int[] blocks)
    {
        var moments = new RunningMoments((int)rows.shape[1]);
        long start = 0;
        for (var block = 0; start < rows.shape[0]; block++)
        {
            var count = Math.Min(blocks.Length > 0 ? blocks[block % blocks.Length] : long.MaxValue, rows.shape[0] - start);
            using var part = rows.narrow(0, start, count);
            moments.Add(part);
            start += count;
        }
        return moments;
    }

    private static FrechetDistance Between(RunningMoments first, RunningMoments second)
        => FrechetDistance.Between(first.Mean(), first.Covariance(), second.Mean(), second.Covariance());

    private static void Close(double want, double got, double atol, double rtol)
        => Assert.IsLessThanOrEqualTo(atol + rtol * Math.Abs(want), Math.Abs(got - want), $"{got:R} instead of {want:R}");
}
