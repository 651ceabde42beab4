using System.Runtime.CompilerServices;

namespace Microsoft.ML.Diffusion;

/// <summary>The sizes of an attention over rows [queries, keys, values], each head by head.</summary>
/// <param name="Images">N.</param>
/// <param name="Positions">T: a multiple of the lanes.</param>
/// <param name="Heads">h.</param>
/// <param name="Width">d, channels of a head: a multiple of the lanes.</param>
internal readonly record struct AttentionSize(int Images, int Positions, int Heads, int Width)
{
    /// <summary>Floats of a row of queries, keys and values.</summary>
    public int Row => 3 * Heads * Width;

    /// <summary>1/√d.</summary>
    public float Scale => 1 / MathF.Sqrt(Width);
}

/// <summary>
/// softmax(q·kᵀ/√d)·v (Vaswani et al. 2017, equation 1) a block of queries at a time, a head a core: the weights of a block stay in the cache, are never stored,
/// and are computed once more on the way back (Dao et al. 2022, "FlashAttention", algorithms 1 and 4, without tiles over the keys).
/// </summary>
/// <typeparam name="L">The register.</typeparam>
/// <typeparam name="P">How the factors lie, and what multiplies them.</typeparam>
internal static unsafe class AttentionKernel<L, P>
    where L : unmanaged, ILanes<L>
    where P : struct, IProductFactors<L>
{
    /// <summary>Queries of a block.</summary>
    private const int Block = 48;

    /// <summary>Mixes the values.</summary>
    /// <param name="size">The sizes.</param>
    /// <param name="qkv">[N, T, 3·h·d].</param>
    /// <param name="y">[N, T, h·d], written.</param>
    /// <param name="normalizers">[N, h, T], written: ln Σ exp of each query's products; or null.</param>
    public static void Apply(AttentionSize size, float* qkv, float* y, float* normalizers) => Cores.Run(size.Images * size.Heads, task =>
    {
        int image = task / size.Heads, head = task % size.Heads, t = size.Positions, d = size.Width;
        float* q = qkv + (nint)image * t * size.Row + head * d, k = q + size.Heads * d, v = k + size.Heads * d;
        nint keyFloats = P.PanelFloats(d, t), valueFloats = P.PanelFloats(t, d);
        float* keys = KernelMemory.Own(keyFloats + valueFloats + (nint)Block * (t + d) + P.RowFloats(Block, Math.Max(t, d))), values = keys + keyFloats;
        float* weights = values + valueFloats, mixed = weights + (nint)Block * t, room = mixed + (nint)Block * d;
        P.Pack(k, size.Row, true, d, t, keys);
        P.Pack(v, size.Row, false, t, d, values);
        float* sums = stackalloc float[Block];
        for (int first = 0; first < t; first += Block)
        {
            int count = Math.Min(Block, t - first);
            P.Multiply(q + (nint)first * size.Row, size.Row, keys, weights, t, count, t, d, room);
            for (int i = 0; i < count; i++)
            {
                (float max, sums[i]) = Softmax(weights + (nint)i * t, t, size.Scale);
                if (normalizers is not null)
                    normalizers[((nint)image * size.Heads + head) * t + first + i] = max + MathF.Log(sums[i]);
            }
            P.Multiply(weights, t, values, mixed, d, count, d, t, room);
            for (int i = 0; i < count; i++)
                Scale(mixed + (nint)i * d, d, 1 / sums[i], y + (((nint)image * t + first + i) * size.Heads + head) * d);
        }
    });

    /// <summary>Takes the gradient of the mixture back to queries, keys and values.</summary>
    /// <param name="size">The sizes.</param>
    /// <param name="qkv">[N, T, 3·h·d].</param>
    /// <param name="y">[N, T, h·d], the mixture.</param>
    /// <param name="normalizers">[N, h, T], from <see cref="Apply"/>.</param>
    /// <param name="dy">[N, T, h·d].</param>
    /// <param name="dqkv">[N, T, 3·h·d], written.</param>
    public static void Backward(AttentionSize size, float* qkv, float* y, float* normalizers, float* dy, float* dqkv) => Cores.Run(size.Images * size.Heads, task =>
    {
        int image = task / size.Heads, head = task % size.Heads, t = size.Positions, d = size.Width, width = size.Heads * d;
        nint offset = (nint)image * t * size.Row + head * d;
        float* q = qkv + offset, k = q + width, v = k + width, dq = dqkv + offset, dk = dq + width, dv = dk + width;
        nint columnFloats = P.PanelFloats(d, t), rowFloats = P.PanelFloats(t, d);
        nint roomFloats = Math.Max(P.RowFloats(Block, Math.Max(t, d)), P.TransposedFloats(Block, t, d));
        float* keys = KernelMemory.Own(2 * columnFloats + rowFloats + (nint)Block * 2 * t + roomFloats), keyRows = keys + columnFloats, values = keyRows + rowFloats;
        float* weights = values + columnFloats, slopes = weights + (nint)Block * t, room = slopes + (nint)Block * t;
        P.Pack(k, size.Row, true, d, t, keys);
        P.Pack(k, size.Row, false, t, d, keyRows);
        P.Pack(v, size.Row, true, d, t, values);
        for (int i = 0; i < t; i++)
        {
            new Span<float>(dk + (nint)i * size.Row, d).Clear();
            new Span<float>(dv + (nint)i * size.Row, d).Clear();
        }
        for (int first = 0; first < t; first += Block)
        {
            int count = Math.Min(Block, t - first);
            nint row = ((nint)image * t + first) * width + head * d;
            P.Multiply(q + (nint)first * size.Row, size.Row, keys, weights, t, count, t, d, room);
            P.Multiply(dy + row, width, values, slopes, t, count, t, d, room);
            for (int i = 0; i < count; i++)
            {
                float mean = Dot(dy + row + (nint)i * width, y + row + (nint)i * width, d);
                Slopes(weights + (nint)i * t, slopes + (nint)i * t, t, size.Scale, normalizers[((nint)image * size.Heads + head) * t + first + i], mean);
            }
            P.AddTransposed(weights, t, dy + row, width, dv, size.Row, t, d, count, room);
            P.AddTransposed(slopes, t, q + (nint)first * size.Row, size.Row, dk, size.Row, t, d, count, room);
            P.Multiply(slopes, t, keyRows, dq + (nint)first * size.Row, size.Row, count, d, t, room);
        }
    });

    /// <summary>exp(scale·x − max) in place.</summary>
    /// <returns>The largest scale·x, and the sum of what was written.</returns>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static (float Max, float Sum) Softmax(float* x, int count, float scale)
    {
        L largest = L.Load(x);
        for (int i = L.Count; i < count; i += L.Count)
            largest = L.Max(largest, L.Load(x + i));
        float max = L.Largest(largest) * scale;
        L total = default, factor = L.All(scale), offset = L.All(-max);
        for (int i = 0; i < count; i += L.Count)
        {
            L e = LaneMath<L>.Exp(L.Fma(L.Load(x + i), factor, offset));
            total += e;
            L.Store(e, x + i);
        }
        return (max, L.Sum(total));
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Scale(float* x, int count, float factor, float* to)
    {
        L f = L.All(factor);
        for (int i = 0; i < count; i += L.Count)
            L.Store(L.Load(x + i) * f, to + i);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static float Dot(float* a, float* b, int count)
    {
        L sum = default;
        for (int i = 0; i < count; i += L.Count)
            sum = L.Fma(L.Load(a + i), L.Load(b + i), sum);
        return L.Sum(sum);
    }

    /// <summary>Products to weights, and the gradient of the weights to that of the products: scale·weight·(gradient − mean).</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Slopes(float* weights, float* slopes, int count, float scale, float normalizer, float mean)
    {
        L factor = L.All(scale), offset = L.All(-normalizer), middle = L.All(mean);
        for (int i = 0; i < count; i += L.Count)
        {
            L weight = LaneMath<L>.Exp(L.Fma(L.Load(weights + i), factor, offset));
            L.Store(weight, weights + i);
            L.Store(factor * weight * (L.Load(slopes + i) - middle), slopes + i);
        }
    }
}
