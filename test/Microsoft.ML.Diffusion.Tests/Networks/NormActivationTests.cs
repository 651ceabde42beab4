namespace Microsoft.ML.Diffusion.Tests;

[TestClass]
public sealed class NormActivationTests
{
    [TestMethod]
    [DataRow(false, false)]
    [DataRow(true, false)]
    [DataRow(false, true)]
    [DataRow(true, true)]
    public void NormFilmAndSiluAreTheirFormulas(bool film, bool silu)
    {
        const int batch = 2, channels = 6, groups = 3, pixels = 4;
        const double epsilon = 0.01;
        using var scope = NewDisposeScope();
        using var generator = new Generator(1);
        Tensor x = randn([batch, channels, 2, 2], generator: generator), weight = randn([channels], generator: generator), bias = randn([channels], generator: generator);
        Tensor scale = randn([batch, channels], generator: generator), shift = randn([batch, channels], generator: generator);
        double[] values = Tolerance.Values(x), w = Tolerance.Values(weight), b = Tolerance.Values(bias), s = Tolerance.Values(scale), h = Tolerance.Values(shift);

        var want = new double[values.Length];
        const int inGroup = channels / groups * pixels;
        for (int first = 0; first < values.Length; first += inGroup)
        {
            double[] group = values[first..(first + inGroup)];
            double mean = group.Average(), variance = group.Average(value => (value - mean) * (value - mean));
            for (int i = first; i < first + inGroup; i++)
            {
                int channel = i / pixels % channels, row = i / pixels;
                double y = (values[i] - mean) / Math.Sqrt(variance + epsilon) * w[channel] + b[channel];
                if (film)
                    y = y * (1 + s[row]) + h[row];
                want[i] = silu ? y / (1 + Math.Exp(-y)) : y;
            }
        }
        Tensor got = NormActivation.Apply(x, new(weight, bias, film ? cat([scale, shift], 1) : null, new NormSettings(groups, epsilon, silu)));
        new Tolerance(2e-6, 2e-6).Check(want, Tolerance.Values(got), "y");
        CollectionAssert.AreEqual(values, Tolerance.Values(x), "the input is not changed");
    }

    [TestMethod]
    public void HalfWidthInputsAreNormalisedWithFloatStatistics()
    {
        using var scope = NewDisposeScope();
        using var generator = new Generator(1);
        // A large mean and a small deviation: sums in bfloat16 would lose the deviation.
        Tensor x = (randn([1, 8, 32, 32], generator: generator) + 8).to(ScalarType.BFloat16);
        Tensor y = NormActivation.Apply(x, new(ones(8), zeros(8), null, new NormSettings(1, 1e-5, Silu: false)));
        Assert.AreEqual(ScalarType.BFloat16, y.dtype);
        double[] values = Tolerance.Values(y);
        Assert.AreEqual(0, values.Average(), 0.005);
        Assert.AreEqual(1, Math.Sqrt(values.Average(value => value * value)), 0.005);
    }

    [TestMethod]
    [DataRow(8)]
    [DataRow(6)]
    public void HalfWidthGradientsAreThoseOfWideOnesRounded(int channels)
    {
        const double eps = 1.0 / 256;   // of bfloat16
        using var scope = NewDisposeScope();
        using var generator = new Generator(3);
        Tensor Draw(params long[] shape) => randn(shape, generator: generator).to(ScalarType.BFloat16);
        Tensor x = Draw(2, channels, 4, 4).requires_grad_(), film = Draw(2, 2 * channels).requires_grad_(), dy = Draw(2, channels, 4, 4);
        Tensor weight = (Draw(channels).to(float32) + 1).requires_grad_(), bias = Draw(channels).to(float32).requires_grad_();
        Tensor[] inputs = [x, film, weight, bias], wide = [.. inputs.Select(input => input.detach().to(float64).requires_grad_())];

        Tensor y = NormActivation.Apply(x, new(weight, bias, film, new NormSettings(2, 1e-5, Silu: true)));
        Tensor rows = wide[1].reshape(2, 2 * channels, 1, 1);
        Tensor normed = nn.functional.group_norm(wide[0], 2, wide[2], wide[3], 1e-5);
        Tensor want = nn.functional.silu(normed * (rows.narrow(1, 0, channels) + 1) + rows.narrow(1, channels, channels));
        Assert.AreEqual(ScalarType.BFloat16, y.dtype);
        Assert.IsLessThan(eps, KernelData.Error(want, y));
        Tensor[] got = [.. autograd.grad([y], inputs, [dy])], exact = [.. autograd.grad([want], wide, [dy.to(float64)])];
        for (int i = 0; i < inputs.Length; i++)
        {
            Assert.AreEqual(inputs[i].dtype, got[i].dtype);
            Assert.IsLessThan(2 * eps, KernelData.Error(exact[i], got[i]), $"{i}");
        }
    }

    [TestMethod]
    public void AttentionIsItsFormula()
    {
        const int positions = 5, heads = 2, width = 3;
        using var scope = NewDisposeScope();
        using var generator = new Generator(2);
        Tensor qkv = randn([1, positions, 3 * heads * width], generator: generator);
        double[] values = Tolerance.Values(qkv);
        double Part(int position, int part, int head, int channel) => values[((position * 3 + part) * heads + head) * width + channel];

        var want = new double[positions * heads * width];
        for (int head = 0; head < heads; head++)
        {
            for (int p = 0; p < positions; p++)
            {
                double[] weights = [.. Enumerable.Range(0, positions).Select(q => Math.Exp(Enumerable.Range(0, width).Sum(c => Part(p, 0, head, c) * Part(q, 1, head, c)) / Math.Sqrt(width)))];
                for (int c = 0; c < width; c++)
                    want[(p * heads + head) * width + c] = Enumerable.Range(0, positions).Sum(q => weights[q] * Part(q, 2, head, c)) / weights.Sum();
            }
        }
        new Tolerance(1e-6, 1e-6).Check(want, Tolerance.Values(Attention.Apply(qkv, heads)), "attention");
    }
}
