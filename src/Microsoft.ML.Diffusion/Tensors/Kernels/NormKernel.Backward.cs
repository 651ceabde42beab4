using System.Runtime.CompilerServices;

namespace Microsoft.ML.Diffusion;

internal static unsafe partial class NormKernel<L, E>
{
    /// <summary>
    /// Takes a gradient back: dy to dz through SiLU, z = x·factor + offset; then to dx = r·(f·dz − Σf·dz/M − n(x)·Σf·dz·n(x)/M),
    /// sums over the M numbers of a group (Wu and He 2018). What the parameters' gradients are made of falls out on the way.
    /// </summary>
    /// <param name="front">The first channels of x.</param>
    /// <param name="back">Those that follow, where they lie by themselves.</param>
    /// <param name="gradient">[pixels, channels]: dy; overwritten.</param>
    /// <param name="to">Where dx goes: in the place of dy, or in one or two of its own, divided as x is.</param>
    /// <param name="pixels">Their number.</param>
    /// <param name="forward">What the way forth did to each channel.</param>
    /// <param name="groups">Groups of the norm.</param>
    /// <param name="silu">Whether SiLU followed.</param>
    /// <param name="sums">Written: [channels], Σ dz.</param>
    /// <param name="products">Written: [channels], Σ dz·n(x), n being the norm without weight and bias.</param>
    /// <param name="scratch">[2·channels].</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Backward(
        ChannelRun<E> front, ChannelRun<E> back, E* gradient, in GradientPlace<E> to, nint pixels, in NormCoefficients forward, int groups, bool silu, float* sums, float* products, float* scratch)
    {
        int channels = forward.Channels, split = front.Count;
        BackThroughActivation(front, gradient, channels, pixels, forward, silu, sums, products);
        if (back.Count > 0)
            BackThroughActivation(back, gradient + split, channels, pixels, forward.From(split), silu, sums + split, products + split);

        int width = channels / groups;
        double count = (double)pixels * width;
        float* slope = scratch, constant = scratch + channels;
        for (int first = 0; first < channels; first += width)
        {
            double inverse = forward.Inverse[first], sum = 0, product = 0;
            for (int c = first; c < first + width; c++)
            {
                // Factor is r·f.
                sum += forward.Factor[c] * (double)sums[c];
                product += forward.Factor[c] * (double)products[c];
            }
            new Span<float>(slope + first, width).Fill((float)(-inverse * product / count));
            new Span<float>(constant + first, width).Fill((float)((forward.Mean[first] * inverse * product - sum) / count));
        }
        BackThroughNorm(front, gradient, to.Added, channels, to.Front, pixels, forward, slope, constant);
        if (back.Count > 0)
            BackThroughNorm(back, gradient + split, to.Added is null ? null : to.Added + split, channels, to.Back, pixels, forward.From(split), slope + split, constant + split);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void BackThroughNorm(ChannelRun<E> x, E* gradient, E* added, int stride, ChannelRun<E> to, nint pixels, in NormCoefficients forward, float* slope, float* constant)
    {
        int done = AreNarrow ? BackThroughNormInTwos(x, gradient, added, stride, to, pixels, forward, slope, constant) : 0;
        E* from = x.First, into = to.First;
        for (; pixels > 0 && done < x.Count; pixels--, from += x.Stride, gradient += stride, into += to.Stride)
        {
            for (int c = done; c < x.Count; c += L.Count)
            {
                L dx = L.Fma(E.Load(gradient + c), L.Load(forward.Factor + c), L.Fma(E.Load(from + c), L.Load(slope + c), L.Load(constant + c)));
                E.Store(added is null ? dx : dx + E.Load(added + c), into + c);
            }
            if (added is not null)
                added += stride;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void BackThroughActivation(ChannelRun<E> x, E* gradient, int stride, nint pixels, in NormCoefficients forward, bool silu, float* sums, float* products)
    {
        int channels = x.Count, xStride = x.Stride;
        for (int c = AreNarrow ? BackThroughActivationInTwos(x, gradient, stride, pixels, forward, silu, sums, products) : 0; c < channels; c += L.Count)
        {
            L factor = L.Load(forward.Factor + c), offset = L.Load(forward.Offset + c), mean = L.Load(forward.Mean + c);
            L total = default, correlated = default, one = L.All(1);
            E* from = x.First + c, to = gradient + c;
            for (nint i = 0; i < pixels; i++, from += xStride, to += stride)
            {
                L value = E.Load(from), dz = E.Load(to);
                if (silu)
                {
                    L z = L.Fma(value, factor, offset), sigmoid = E.Sigmoid(z);
                    dz *= sigmoid * L.Fma(z, one - sigmoid, one);
                    E.Store(dz, to);
                }
                total += dz;
                correlated = L.Fma(dz, value - mean, correlated);
            }
            L.Store(total, sums + c);
            L.Store(correlated * L.Load(forward.Inverse + c), products + c);
        }
    }

    /// <summary>The same, two registers of channels at a time.</summary>
    /// <returns>How many channels are done.</returns>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static int BackThroughActivationInTwos(ChannelRun<E> x, E* gradient, int stride, nint pixels, in NormCoefficients forward, bool silu, float* sums, float* products)
    {
        int channels = x.Count, xStride = x.Stride, c = 0;
        for (; c + 2 * L.Count <= channels; c += 2 * L.Count)
        {
            var (factor0, factor1) = E.Ordered(forward.Factor + c);
            var (offset0, offset1) = E.Ordered(forward.Offset + c);
            var (mean0, mean1) = E.Ordered(forward.Mean + c);
            L total0 = default, total1 = default, correlated0 = default, correlated1 = default, one = L.All(1);
            E* from = x.First + c, to = gradient + c;
            for (nint i = 0; i < pixels; i++, from += xStride, to += stride)
            {
                Lanes.Prefetch(from + PixelsAheadInTwos * xStride);
                Lanes.Prefetch(to + PixelsAheadInTwos * stride);
                var (value0, value1) = E.LoadTwo(from);
                var (dz0, dz1) = E.LoadTwo(to);
                if (silu)
                {
                    L z0 = L.Fma(value0, factor0, offset0), z1 = L.Fma(value1, factor1, offset1), sigmoid0 = E.Sigmoid(z0), sigmoid1 = E.Sigmoid(z1);
                    dz0 *= sigmoid0 * L.Fma(z0, one - sigmoid0, one);
                    dz1 *= sigmoid1 * L.Fma(z1, one - sigmoid1, one);
                    E.StoreTwo(dz0, dz1, to);
                }
                total0 += dz0;
                total1 += dz1;
                correlated0 = L.Fma(dz0, value0 - mean0, correlated0);
                correlated1 = L.Fma(dz1, value1 - mean1, correlated1);
            }
            E.StoreOrdered(total0, total1, sums + c);
            var (inverse0, inverse1) = E.Ordered(forward.Inverse + c);
            E.StoreOrdered(correlated0 * inverse0, correlated1 * inverse1, products + c);
        }
        return c;
    }

    /// <summary>dz to dx, two registers of channels of all pixels before the next two.</summary>
    /// <returns>How many channels are done.</returns>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static int BackThroughNormInTwos(
        ChannelRun<E> x, E* gradient, E* added, int stride, ChannelRun<E> to, nint pixels, in NormCoefficients forward, float* slope, float* constant)
    {
        int channels = x.Count, xStride = x.Stride, toStride = to.Stride, addedStride = added is null ? 0 : stride, c = 0;
        for (; c + 2 * L.Count <= channels; c += 2 * L.Count)
        {
            var (factor0, factor1) = E.Ordered(forward.Factor + c);
            var (slope0, slope1) = E.Ordered(slope + c);
            var (constant0, constant1) = E.Ordered(constant + c);
            E* from = x.First + c, dz = gradient + c, other = added + c, into = to.First + c;
            for (nint i = 0; i < pixels; i++, from += xStride, dz += stride, other += addedStride, into += toStride)
            {
                var (x0, x1) = E.LoadTwo(from);
                var (dz0, dz1) = E.LoadTwo(dz);
                L dx0 = L.Fma(dz0, factor0, L.Fma(x0, slope0, constant0)), dx1 = L.Fma(dz1, factor1, L.Fma(x1, slope1, constant1));
                if (added is not null)
                {
                    Lanes.Prefetch(other + PixelsAheadInTwos * addedStride);
                    var (other0, other1) = E.LoadTwo(other);
                    dx0 += other0;
                    dx1 += other1;
                }
                E.StoreTwo(dx0, dx1, into);
            }
        }
        return c;
    }
}

/// <summary>Where the gradient of an image before its norm goes.</summary>
/// <param name="front">The first channels.</param>
/// <param name="back">Those that follow, where they lie by themselves.</param>
/// <param name="added">[pixels, channels], added to it; or null. May be where it goes.</param>
/// <typeparam name="E">The images' numbers.</typeparam>
internal readonly unsafe struct GradientPlace<E>(ChannelRun<E> front, ChannelRun<E> back, E* added)
    where E : unmanaged
{
    /// <summary>The first channels.</summary>
    public ChannelRun<E> Front => front;

    /// <summary>Those that follow, where they lie by themselves.</summary>
    public ChannelRun<E> Back => back;

    /// <summary>Added to it; or null.</summary>
    public E* Added => added;
}

/// <summary>What the way forth did to each channel of an image: z = x·factor + offset, the norm being (x − mean)·inverse.</summary>
/// <param name="factor">[channels].</param>
/// <param name="offset">[channels].</param>
/// <param name="mean">[channels], that of the channel's group.</param>
/// <param name="inverse">[channels], 1/√(variance + ε) of the channel's group.</param>
/// <param name="channels">Their number.</param>
internal readonly unsafe struct NormCoefficients(float* factor, float* offset, float* mean, float* inverse, int channels)
{
    public float* Factor { get; } = factor;

    public float* Offset { get; } = offset;

    public float* Mean { get; } = mean;

    public float* Inverse { get; } = inverse;

    public int Channels { get; } = channels;

    /// <summary>Those from a channel on.</summary>
    public NormCoefficients From(int first) => new(Factor + first, Offset + first, Mean + first, Inverse + first, Channels - first);
}
