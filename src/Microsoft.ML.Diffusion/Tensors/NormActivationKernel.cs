using System.Numerics;
using System.Runtime.InteropServices;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// Group norm, FiLM and SiLU of one image whose channels are last in memory, in two passes over it: one for the statistics, one that writes the result.
/// Plain operators take nine. The way back takes two as well. Float32, on the CPU.
/// </summary>
internal static partial class NormActivationKernel
{
    private static readonly int Lanes = Vector<float>.Count;

    /// <summary>Whether the kernel takes images of so many channels: whole vectors only.</summary>
    public static bool Takes(long channels) => channels % Lanes == 0;

    /// <summary>Measures each group: its mean and 1/√(variance + ε).</summary>
    /// <param name="x">[pixels, channels].</param>
    /// <param name="channels">Their number.</param>
    /// <param name="epsilon">Added to the variance.</param>
    /// <param name="means">Filled: [groups].</param>
    /// <param name="inverses">Filled: [groups].</param>
    public static void Measure(ReadOnlySpan<float> x, int channels, double epsilon, Span<float> means, Span<float> inverses)
    {
        int pixels = x.Length / channels, width = channels / means.Length;
        Span<float> both = stackalloc float[2 * channels];
        Span<float> sums = both[..channels], squares = both[channels..];
        Sums(x, channels, sums, squares);
        for (int group = 0; group < means.Length; group++)
            (means[group], inverses[group]) = Statistics(x, sums, squares, group * width, width, pixels, epsilon);
    }

    /// <summary>Computes the factors of y = act(x·factor + offset), one pair a channel.</summary>
    /// <param name="means">[groups], from <see cref="Measure"/>.</param>
    /// <param name="inverses">[groups], from <see cref="Measure"/>.</param>
    /// <param name="weight">[channels].</param>
    /// <param name="bias">[channels].</param>
    /// <param name="scale">[channels], FiLM's scales; empty for none.</param>
    /// <param name="shift">[channels], FiLM's shifts; empty for none.</param>
    /// <param name="factor">Filled: [channels].</param>
    /// <param name="offset">Filled: [channels].</param>
    public static void Factors(
        ReadOnlySpan<float> means, ReadOnlySpan<float> inverses, ReadOnlySpan<float> weight, ReadOnlySpan<float> bias,
        ReadOnlySpan<float> scale, ReadOnlySpan<float> shift, Span<float> factor, Span<float> offset)
    {
        int width = weight.Length / means.Length;
        for (int c = 0; c < weight.Length; c++)
        {
            double a = (double)inverses[c / width] * weight[c], b = bias[c] - means[c / width] * a;
            double film = scale.IsEmpty ? 1 : 1.0 + scale[c];
            factor[c] = (float)(a * film);
            offset[c] = (float)(b * film + (shift.IsEmpty ? 0 : shift[c]));
        }
    }

    /// <summary>y = x·factor + offset, through SiLU where asked.</summary>
    /// <param name="x">[pixels, channels].</param>
    /// <param name="factor">[channels].</param>
    /// <param name="offset">[channels].</param>
    /// <param name="silu">Whether z·sigmoid(z) follows.</param>
    /// <param name="y">Filled: [pixels, channels].</param>
    public static void Apply(ReadOnlySpan<float> x, ReadOnlySpan<float> factor, ReadOnlySpan<float> offset, bool silu, Span<float> y)
    {
        var a = MemoryMarshal.Cast<float, Vector<float>>(factor);
        var b = MemoryMarshal.Cast<float, Vector<float>>(offset);
        var source = MemoryMarshal.Cast<float, Vector<float>>(x);
        var target = MemoryMarshal.Cast<float, Vector<float>>(y);
        for (int pixel = 0; pixel < source.Length; pixel += a.Length)
        {
            var from = source.Slice(pixel, a.Length);
            var to = target.Slice(pixel, a.Length);
            for (int c = 0; c < from.Length; c++)
            {
                var z = Vector.FusedMultiplyAdd(from[c], a[c], b[c]);
                to[c] = silu ? z / (Vector<float>.One + Vector.Exp(-z)) : z;
            }
        }
    }

    /// <summary>Per channel, the sums of d and d², d being the distance from the channel's first pixel: squares of raw values would lose a small variance beside a large mean.</summary>
    private static void Sums(ReadOnlySpan<float> x, int channels, Span<float> sums, Span<float> squares)
    {
        var all = MemoryMarshal.Cast<float, Vector<float>>(x);
        var s = MemoryMarshal.Cast<float, Vector<float>>(sums);
        var q = MemoryMarshal.Cast<float, Vector<float>>(squares);
        int stride = channels / Lanes, block = 0;
        for (; block + 2 <= stride; block += 2)
        {
            Vector<float> origin0 = all[block], origin1 = all[block + 1];
            Vector<float> sum0 = default, sum1 = default, square0 = default, square1 = default;
            for (int i = block; i < all.Length; i += stride)
            {
                var d0 = all[i] - origin0;
                var d1 = all[i + 1] - origin1;
                sum0 += d0;
                sum1 += d1;
                square0 = Vector.FusedMultiplyAdd(d0, d0, square0);
                square1 = Vector.FusedMultiplyAdd(d1, d1, square1);
            }
            (s[block], s[block + 1], q[block], q[block + 1]) = (sum0, sum1, square0, square1);
        }
        for (; block < stride; block++)
        {
            Vector<float> origin = all[block], sum = default, square = default;
            for (int i = block; i < all.Length; i += stride)
            {
                var d = all[i] - origin;
                sum += d;
                square = Vector.FusedMultiplyAdd(d, d, square);
            }
            (s[block], q[block]) = (sum, square);
        }
    }

    /// <summary>Mean and 1/√(variance + ε) of a group from its channels' sums (Chan et al. 1979).</summary>
    private static (float Mean, float Inverse) Statistics(
        ReadOnlySpan<float> x, ReadOnlySpan<float> sums, ReadOnlySpan<float> squares, int first, int width, int pixels, double epsilon)
    {
        double mean = 0;
        for (int c = first; c < first + width; c++)
            mean += x[c] + (double)sums[c] / pixels;
        mean /= width;
        double scatter = 0;
        for (int c = first; c < first + width; c++)
        {
            double within = (double)sums[c] / pixels, distance = x[c] + within - mean;
            scatter += squares[c] - within * sums[c] + distance * distance * pixels;
        }
        return ((float)mean, (float)(1 / Math.Sqrt(Math.Max(scatter, 0) / ((double)width * pixels) + epsilon)));
    }
}
