using System.Runtime.CompilerServices;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// Group norm, FiLM and SiLU of one image whose channels are last in memory: one pass for the statistics, one that writes the result, two for the way back.
/// Plain operators take nine. Channels fill whole registers.
/// </summary>
/// <typeparam name="L">The register.</typeparam>
/// <typeparam name="E">The images' numbers.</typeparam>
internal static unsafe partial class NormKernel<L, E>
    where L : unmanaged, ILanes<L>
    where E : unmanaged, IElement<E, L>
{
    /// <summary>Measures each group: its mean and 1/√(variance + ε).</summary>
    /// <param name="x">[pixels, channels].</param>
    /// <param name="pixels">Their number.</param>
    /// <param name="channels">Their number.</param>
    /// <param name="epsilon">Added to the variance.</param>
    /// <param name="means">Filled: [groups].</param>
    /// <param name="inverses">Filled: [groups].</param>
    /// <param name="scratch">[2·channels].</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Measure(E* x, nint pixels, int channels, double epsilon, Span<float> means, Span<float> inverses, float* scratch)
    {
        int width = channels / means.Length;
        float* sums = scratch, squares = scratch + channels;
        Sums(x, pixels, channels, sums, squares);
        for (int group = 0; group < means.Length; group++)
            (means[group], inverses[group]) = Statistics(x, sums, squares, group * width, width, pixels, epsilon);
    }

    /// <summary>y = x·factor + offset, through SiLU where asked.</summary>
    /// <param name="x">[pixels, xStride].</param>
    /// <param name="pixels">Their number.</param>
    /// <param name="channels">How many of each pixel.</param>
    /// <param name="xStride">From a pixel of x to the next.</param>
    /// <param name="factor">[channels].</param>
    /// <param name="offset">[channels].</param>
    /// <param name="silu">Whether z·sigmoid(z) follows.</param>
    /// <param name="y">Written: [pixels, stride].</param>
    /// <param name="stride">From a pixel of y to the next.</param>
    /// <typeparam name="T">The result's numbers.</typeparam>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Apply<T>(E* x, nint pixels, int channels, int xStride, float* factor, float* offset, bool silu, T* y, int stride)
        where T : unmanaged, IElement<T, L>
    {
        for (; pixels > 0; pixels--, x += xStride, y += stride)
        {
            for (int c = 0; c < channels; c += L.Count)
            {
                L z = L.Fma(E.Load(x + c), L.Load(factor + c), L.Load(offset + c));
                T.Store(silu ? z * E.Sigmoid(z) : z, y + c);
            }
        }
    }

    /// <summary>Per channel, the sums of d and d², d being the distance from the channel's first pixel: squares of raw values would lose a small variance beside a large mean.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Sums(E* x, nint pixels, int channels, float* sums, float* squares)
    {
        int n = L.Count, c = 0;
        for (; c + 2 * n <= channels; c += 2 * n)
        {
            E* from = x + c;
            L origin0 = E.Load(from), origin1 = E.Load(from + n), sum0 = default, sum1 = default, square0 = default, square1 = default;
            for (nint i = 0; i < pixels; i++, from += channels)
            {
                L d0 = E.Load(from) - origin0, d1 = E.Load(from + n) - origin1;
                sum0 += d0;
                sum1 += d1;
                square0 = L.Fma(d0, d0, square0);
                square1 = L.Fma(d1, d1, square1);
            }
            L.Store(sum0, sums + c);
            L.Store(sum1, sums + c + n);
            L.Store(square0, squares + c);
            L.Store(square1, squares + c + n);
        }
        if (c < channels)
        {
            E* from = x + c;
            L origin = E.Load(from), sum = default, square = default;
            for (nint i = 0; i < pixels; i++, from += channels)
            {
                L d = E.Load(from) - origin;
                sum += d;
                square = L.Fma(d, d, square);
            }
            L.Store(sum, sums + c);
            L.Store(square, squares + c);
        }
    }

    /// <summary>Mean and 1/√(variance + ε) of a group from its channels' sums (Chan et al. 1979).</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static (float Mean, float Inverse) Statistics(E* x, float* sums, float* squares, int first, int width, nint pixels, double epsilon)
    {
        double mean = 0;
        for (int c = first; c < first + width; c++)
            mean += E.One(x[c]) + (double)sums[c] / pixels;
        mean /= width;
        double scatter = 0;
        for (int c = first; c < first + width; c++)
        {
            double within = (double)sums[c] / pixels, distance = E.One(x[c]) + within - mean;
            scatter += squares[c] - within * sums[c] + distance * distance * pixels;
        }
        return ((float)mean, (float)(1 / Math.Sqrt(Math.Max(scatter, 0) / ((double)width * pixels) + epsilon)));
    }
}
