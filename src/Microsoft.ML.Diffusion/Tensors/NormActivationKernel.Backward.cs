using System.Numerics;
using System.Runtime.InteropServices;

namespace Microsoft.ML.Diffusion;

internal static partial class NormActivationKernel
{
    /// <summary>Takes the gradient of y back through SiLU, and sums what the parameters' gradients are made of.</summary>
    /// <param name="x">[pixels, channels].</param>
    /// <param name="dy">[pixels, channels].</param>
    /// <param name="forward">The channels' coefficients on the way forth.</param>
    /// <param name="silu">Whether SiLU followed.</param>
    /// <param name="dz">Filled: [pixels, channels], the gradient of z = x·factor + offset.</param>
    /// <param name="sums">Filled: [channels], Σ dz.</param>
    /// <param name="products">Filled: [channels], Σ dz·n(x), n being the norm without weight and bias.</param>
    public static void BackThroughActivation(
        ReadOnlySpan<float> x, ReadOnlySpan<float> dy, in NormCoefficients forward, bool silu, Span<float> dz, Span<float> sums, Span<float> products)
    {
        var xs = MemoryMarshal.Cast<float, Vector<float>>(x);
        var dys = MemoryMarshal.Cast<float, Vector<float>>(dy);
        var dzs = MemoryMarshal.Cast<float, Vector<float>>(dz);
        var a = MemoryMarshal.Cast<float, Vector<float>>(forward.Factor);
        var b = MemoryMarshal.Cast<float, Vector<float>>(forward.Offset);
        var m = MemoryMarshal.Cast<float, Vector<float>>(forward.Mean);
        var r = MemoryMarshal.Cast<float, Vector<float>>(forward.Inverse);
        var sum = MemoryMarshal.Cast<float, Vector<float>>(sums);
        var product = MemoryMarshal.Cast<float, Vector<float>>(products);
        for (int block = 0; block < a.Length; block++)
        {
            Vector<float> factor = a[block], offset = b[block], mean = m[block], inverse = r[block], total = default, correlated = default;
            for (int i = block; i < xs.Length; i += a.Length)
            {
                var value = xs[i];
                var gradient = dys[i];
                if (silu)
                {
                    var z = Vector.FusedMultiplyAdd(value, factor, offset);
                    var sigmoid = Vector<float>.One / (Vector<float>.One + Vector.Exp(-z));
                    gradient *= sigmoid * Vector.FusedMultiplyAdd(z, Vector<float>.One - sigmoid, Vector<float>.One);
                }
                dzs[i] = gradient;
                total += gradient;
                correlated = Vector.FusedMultiplyAdd(gradient, (value - mean) * inverse, correlated);
            }
            (sum[block], product[block]) = (total, correlated);
        }
    }

    /// <summary>Takes the gradient of z back through the norm: dx = r·(f·dz − Σf·dz/M − n(x)·Σf·dz·n(x)/M), sums over the M numbers of a group (Wu and He 2018).</summary>
    /// <param name="x">[pixels, channels].</param>
    /// <param name="forward">The channels' coefficients on the way forth.</param>
    /// <param name="groups">Groups of the norm.</param>
    /// <param name="sums">[channels], from <see cref="BackThroughActivation"/>.</param>
    /// <param name="products">[channels], from <see cref="BackThroughActivation"/>.</param>
    /// <param name="gradient">[pixels, channels]: dz, replaced by dx.</param>
    public static void BackThroughNorm(
        ReadOnlySpan<float> x, in NormCoefficients forward, int groups, ReadOnlySpan<float> sums, ReadOnlySpan<float> products, Span<float> gradient)
    {
        int channels = sums.Length, width = channels / groups;
        double count = (double)x.Length / channels * width;
        Span<float> both = stackalloc float[2 * channels];
        Span<float> slope = both[..channels], constant = both[channels..];
        for (int first = 0; first < channels; first += width)
        {
            double inverse = forward.Inverse[first], sum = 0, product = 0;
            for (int c = first; c < first + width; c++)
            {
                // Factor is r·f.
                sum += forward.Factor[c] * (double)sums[c];
                product += forward.Factor[c] * (double)products[c];
            }
            slope.Slice(first, width).Fill((float)(-inverse * product / count));
            constant.Slice(first, width).Fill((float)((forward.Mean[first] * inverse * product - sum) / count));
        }

        var xs = MemoryMarshal.Cast<float, Vector<float>>(x);
        var target = MemoryMarshal.Cast<float, Vector<float>>(gradient);
        var p = MemoryMarshal.Cast<float, Vector<float>>(forward.Factor);
        var q = MemoryMarshal.Cast<float, Vector<float>>(slope);
        var t = MemoryMarshal.Cast<float, Vector<float>>(constant);
        for (int pixel = 0; pixel < xs.Length; pixel += p.Length)
        {
            var from = xs.Slice(pixel, p.Length);
            var to = target.Slice(pixel, p.Length);
            for (int c = 0; c < to.Length; c++)
                to[c] = Vector.FusedMultiplyAdd(to[c], p[c], Vector.FusedMultiplyAdd(from[c], q[c], t[c]));
        }
    }
}

/// <summary>What the forward pass did to each channel of an image: z = x·factor + offset, the norm being (x − mean)·inverse.</summary>
/// <param name="factor">[channels].</param>
/// <param name="offset">[channels].</param>
/// <param name="mean">[channels], that of the channel's group.</param>
/// <param name="inverse">[channels], 1/√(variance + ε) of the channel's group.</param>
internal readonly ref struct NormCoefficients(ReadOnlySpan<float> factor, ReadOnlySpan<float> offset, ReadOnlySpan<float> mean, ReadOnlySpan<float> inverse)
{
    /// <summary>[channels].</summary>
    public ReadOnlySpan<float> Factor { get; } = factor;

    /// <summary>[channels].</summary>
    public ReadOnlySpan<float> Offset { get; } = offset;

    /// <summary>[channels].</summary>
    public ReadOnlySpan<float> Mean { get; } = mean;

    /// <summary>[channels].</summary>
    public ReadOnlySpan<float> Inverse { get; } = inverse;
}
