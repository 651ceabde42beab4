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

    /// <summary>The same where only some channels of a pixel come before the next pixel's.</summary>
    private const nint PixelsAheadInTwos = 32;

    /// <summary>Whether numbers are narrower than those that registers compute in: then they are taken two registers at a time.</summary>
    private static bool AreNarrow => sizeof(E) < sizeof(float);

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
        int done = 0;
        if (typeof(T) == typeof(E) && AreNarrow)
            done = ApplyInTwos(x, pixels, channels, xStride, factor, offset, silu, (E*)y, stride);
        for (; pixels > 0; pixels--, x += xStride, y += stride)
        {
            for (int c = done; c < channels; c += L.Count)
            {
                Lanes.Prefetch(x + c + PixelsAhead * xStride);
                L z = L.Fma(E.Load(x + c), L.Load(factor + c), L.Load(offset + c));
                T.Store(silu ? z * E.Sigmoid(z) : z, y + c);
            }
        }
    }

    /// <summary>The same, two registers of channels of all pixels before the next two.</summary>
    /// <returns>How many channels are done.</returns>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static int ApplyInTwos(E* x, nint pixels, int channels, int xStride, float* factor, float* offset, bool silu, E* y, int stride)
    {
        int c = 0;
        for (; c + 2 * L.Count <= channels; c += 2 * L.Count)
        {
            var (factor0, factor1) = E.Ordered(factor + c);
            var (offset0, offset1) = E.Ordered(offset + c);
            E* from = x + c, to = y + c;
            for (nint i = 0; i < pixels; i++, from += xStride, to += stride)
            {
                Lanes.Prefetch(from + PixelsAheadInTwos * xStride);
                var (z0, z1) = E.LoadTwo(from);
                z0 = L.Fma(z0, factor0, offset0);
                z1 = L.Fma(z1, factor1, offset1);
                if (silu)
                {
                    z0 *= E.Sigmoid(z0);
                    z1 *= E.Sigmoid(z1);
                }
                E.StoreTwo(z0, z1, to);
            }
        }
        return c;
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
            var (origin0, origin1) = E.LoadTwo(from);
            L sum0 = default, sum1 = default, square0 = default, square1 = default;
            for (nint i = 0; i < pixels; i++, from += stride)
            {
                var (d0, d1) = E.LoadTwo(from);
                d0 -= origin0;
                d1 -= origin1;
                sum0 += d0;
                sum1 += d1;
                square0 = L.Fma(d0, d0, square0);
                square1 = L.Fma(d1, d1, square1);
            }
            L mean0 = sum0 * share, mean1 = sum1 * share;
            E.StoreOrdered(origin0 + mean0, origin1 + mean1, means + c);
            E.StoreOrdered(square0 - sum0 * mean0, square1 - sum1 * mean1, squares + c);
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
