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
    /// <summary>How far ahead pixels are called from memory: a processor itself looks no further than the end of a page.</summary>
    private const nint PixelsAhead = 8;

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
                L.Prefetch((float*)(x + c + PixelsAhead * xStride));
                L z = L.Fma(E.Load(x + c), L.Load(factor + c), L.Load(offset + c));
                T.Store(silu ? z * E.Sigmoid(z) : z, y + c);
            }
        }
    }

    /// <summary>
    /// Per channel, the mean and the sum of the squared distances from it, by way of the distances d from the channel's first pixel: squares of raw values would lose a small variance
    /// beside a large mean.
    /// </summary>
    /// <param name="x">[pixels, stride].</param>
    /// <param name="pixels">Their number.</param>
    /// <param name="channels">How many of each pixel.</param>
    /// <param name="stride">From a pixel to the next.</param>
    /// <param name="means">[channels], written.</param>
    /// <param name="squares">[channels], written.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Moments(E* x, nint pixels, int channels, int stride, float* means, float* squares)
    {
        int n = L.Count, c = 0;
        L share = L.All(1f / pixels);
        for (; c + 2 * n <= channels; c += 2 * n)
        {
            E* from = x + c;
            L origin0 = E.Load(from), origin1 = E.Load(from + n), sum0 = default, sum1 = default, square0 = default, square1 = default;
            for (nint i = 0; i < pixels; i++, from += stride)
            {
                L d0 = E.Load(from) - origin0, d1 = E.Load(from + n) - origin1;
                sum0 += d0;
                sum1 += d1;
                square0 = L.Fma(d0, d0, square0);
                square1 = L.Fma(d1, d1, square1);
            }
            L mean0 = sum0 * share, mean1 = sum1 * share;
            L.Store(origin0 + mean0, means + c);
            L.Store(origin1 + mean1, means + c + n);
            L.Store(square0 - sum0 * mean0, squares + c);
            L.Store(square1 - sum1 * mean1, squares + c + n);
        }
        if (c < channels)
        {
            E* from = x + c;
            L origin = E.Load(from), sum = default, square = default;
            for (nint i = 0; i < pixels; i++, from += stride)
            {
                L d = E.Load(from) - origin;
                sum += d;
                square = L.Fma(d, d, square);
            }
            L mean = sum * share;
            L.Store(origin + mean, means + c);
            L.Store(square - sum * mean, squares + c);
        }
    }
}
