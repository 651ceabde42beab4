namespace Microsoft.ML.Diffusion.Tests;

/// <summary>What a run passed through, against the states that a reference passed through.</summary>
internal sealed class SamplerTrace
{
    private readonly List<(NoiseLevel Level, double[] X)> _states = [];

    public SamplingRequest Request(IDenoiser denoiser, NoiseSchedule schedule, Tensor start, INoiseSource? noise) => new()
    {
        Denoiser = denoiser,
        Schedule = schedule,
        Start = start,
        Noise = noise,
        OnStep = step => _states.Add((step.Level, Values(step.X))),
    };

    public void AssertStates(Tensor want, Tensor result, bool inSigmaScale, double atol, double rtol)
    {
        Assert.AreEqual(want.shape[0] - 1, _states.Count, "number of steps");
        for (var i = 0; i <= _states.Count; i++)
        {
            var scale = inSigmaScale && i < _states.Count ? 1 / Math.Sqrt(_states[i].Level.AlphaBar) : 1;
            var got = i < _states.Count ? Array.ConvertAll(_states[i].X, x => x * scale) : Values(result);
            using var state = want.select(0, i);
            AssertClose(Values(state), got, atol, rtol, i == _states.Count ? "the result" : $"the state at the beginning of step {i}");
        }
    }

    public void AssertTimesteps(Tensor want)
        => CollectionAssert.AreEqual(want.data<long>().ToArray(), _states.Select(state => (long)state.Level.Timestep).ToArray(), "timesteps");

    public static void AssertRelative(Tensor want, double[] got, double tolerance)
    {
        var expected = Values(want);
        Assert.AreEqual(expected.Length, got.Length, "number of sigmas");
        for (var i = 0; i < got.Length; i++)
            Assert.IsLessThanOrEqualTo(tolerance * expected[i], Math.Abs(expected[i] - got[i]), $"sigma {i}: {got[i]} instead of {expected[i]}");
    }

    public static void AssertClose(Tensor want, Tensor got, double atol, double rtol)
    {
        CollectionAssert.AreEqual(want.shape, got.shape, "shape");
        AssertClose(Values(want), Values(got), atol, rtol, "values");
    }

    public static void AssertClose(double[] want, double[] got, double atol, double rtol, string what) => new Tolerance(atol, rtol).Check(want, got, what);

    public static double[] Values(Tensor tensor)
    {
        using var scope = NewDisposeScope();
        var values = tensor.to_type(ScalarType.Float64).contiguous();
        return values.data<double>().ToArray();
    }
}
