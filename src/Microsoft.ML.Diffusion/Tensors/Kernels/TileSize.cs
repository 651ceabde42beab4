using System.Runtime.CompilerServices;

namespace Microsoft.ML.Diffusion;

/// <summary>How large the pixels of some tiles are, channel by channel: enough to tell how large their values at points can be, before these are computed.</summary>
/// <param name="squares">[channels]: the sums of their squares, a pixel counted once for each tile that sees it; or more.</param>
/// <param name="largest">[channels]: the largest absolute values; or more.</param>
internal readonly unsafe struct TileSize(float* squares, float* largest)
{
    /// <summary>[channels]: the sums of their squares, or more; no finite number where one of the pixels is none.</summary>
    public float* Squares => squares;

    /// <summary>[channels]: the largest absolute values, or more.</summary>
    public float* Largest => largest;

    /// <summary>Where nothing is added up yet.</summary>
    /// <param name="channels">How many.</param>
    /// <param name="room">[2, channels], cleared.</param>
    public static TileSize Nothing(int channels, float* room)
    {
        new Span<float>(room, 2 * channels).Clear();
        return new(room, room + channels);
    }

    /// <summary>The same from a channel on.</summary>
    public TileSize From(int channel) => new(squares + channel, largest + channel);
}

/// <summary>Adds rows of pixels to one.</summary>
/// <typeparam name="L">The register.</typeparam>
/// <typeparam name="E">The images' numbers.</typeparam>
internal static unsafe class TileSize<L, E>
    where L : unmanaged, ILanes<L>
    where E : unmanaged, IElement<E, L>
{
    /// <summary>SiLU is nowhere below minus this.</summary>
    private const float Depth = 0.27846454f;

    /// <summary>How far ahead pixels are called from memory: nobody has read them before, and they lie too far apart for a processor to see which come next.</summary>
    private const nint PixelsAhead = 32;

    /// <summary>A row as it lies in memory.</summary>
    /// <param name="x">[pixels, stride].</param>
    /// <param name="pixels">Their number.</param>
    /// <param name="channels">How many of each, a multiple of twice the lanes.</param>
    /// <param name="stride">From a pixel to the next.</param>
    /// <param name="size">Added to.</param>
    /// <param name="inner">How often a pixel counts: of each four the second and the third.</param>
    /// <param name="outer">The same of the first and the last.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Add(E* x, int pixels, int channels, int stride, TileSize size, float inner, float outer)
    {
        L zero = default;
        for (int c = 0; c < channels; c += 2 * L.Count)
        {
            E* from = x + c;
            L inner0 = default, inner1 = default, outer0 = default, outer1 = default, least0 = default, least1 = default, most0 = default, most1 = default;
            for (int i = 0; i < pixels; i++, from += stride)
            {
                Lanes.Prefetch(from + PixelsAhead * stride);
                var (a, b) = E.LoadTwo(from);
                if ((i + 1 & 2) == 0)
                {
                    outer0 = L.Fma(a, a, outer0);
                    outer1 = L.Fma(b, b, outer1);
                }
                else
                {
                    inner0 = L.Fma(a, a, inner0);
                    inner1 = L.Fma(b, b, inner1);
                }
                most0 = L.Max(most0, a);
                most1 = L.Max(most1, b);
                least0 = L.Min(least0, a);
                least1 = L.Min(least1, b);
            }
            Finish(inner0, inner1, outer0, outer1, L.Max(most0, zero - least0), L.Max(most1, zero - least1), size.From(c), inner, outer);
        }
    }

    /// <summary>A row through a norm.</summary>
    /// <param name="x">[pixels, stride].</param>
    /// <param name="pixels">Their number.</param>
    /// <param name="channels">How many of each, a multiple of twice the lanes.</param>
    /// <param name="stride">From a pixel to the next.</param>
    /// <param name="factor">[channels]: the norm's.</param>
    /// <param name="offset">[channels].</param>
    /// <param name="silu">Whether SiLU follows.</param>
    /// <param name="size">Added to.</param>
    /// <param name="inner">How often a pixel counts: of each four the second and the third.</param>
    /// <param name="outer">The same of the first and the last.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void AddNormed(E* x, int pixels, int channels, int stride, float* factor, float* offset, bool silu, TileSize size, float inner, float outer)
    {
        for (int c = 0; c < channels; c += 2 * L.Count)
        {
            E* from = x + c;
            var (factor0, factor1) = E.Ordered(factor + c);
            var (offset0, offset1) = E.Ordered(offset + c);
            L zero = default, depth = L.All(Depth), inner0 = default, inner1 = default, outer0 = default, outer1 = default, most0 = default, most1 = default;
            for (int i = 0; i < pixels; i++, from += stride)
            {
                Lanes.Prefetch(from + PixelsAhead * stride);
                var (a, b) = E.LoadTwo(from);
                a = L.Fma(a, factor0, offset0);
                b = L.Fma(b, factor1, offset1);
                // What is no number stays so: the second of the two is taken then.
                a = L.Max(silu ? depth : zero - a, a);
                b = L.Max(silu ? depth : zero - b, b);
                if ((i + 1 & 2) == 0)
                {
                    outer0 = L.Fma(a, a, outer0);
                    outer1 = L.Fma(b, b, outer1);
                }
                else
                {
                    inner0 = L.Fma(a, a, inner0);
                    inner1 = L.Fma(b, b, inner1);
                }
                most0 = L.Max(most0, a);
                most1 = L.Max(most1, b);
            }
            Finish(inner0, inner1, outer0, outer1, most0, most1, size.From(c), inner, outer);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Finish(L inner0, L inner1, L outer0, L outer1, L most0, L most1, TileSize size, float inner, float outer)
    {
        L i = L.All(inner), o = L.All(outer);
        var (squares0, squares1) = E.Ordered(size.Squares);
        var (largest0, largest1) = E.Ordered(size.Largest);
        E.StoreOrdered(L.Fma(i, inner0, L.Fma(o, outer0, squares0)), L.Fma(i, inner1, L.Fma(o, outer1, squares1)), size.Squares);
        E.StoreOrdered(L.Max(most0, largest0), L.Max(most1, largest1), size.Largest);
    }
}
