using System.Runtime.CompilerServices;

namespace Microsoft.ML.Diffusion;

/// <summary>What is done to pixels one after the other: additions, products, means.</summary>
/// <typeparam name="L">The register; channels fill it.</typeparam>
/// <typeparam name="E">The images' numbers.</typeparam>
internal static unsafe class PixelKernel<L, E>
    where L : unmanaged, ILanes<L>
    where E : unmanaged, IElement<E, L>
{
    /// <summary>Adds a row to every pixel.</summary>
    /// <param name="x">[pixels, channels], added to.</param>
    /// <param name="pixels">How many.</param>
    /// <param name="channels">Numbers of a pixel.</param>
    /// <param name="row">[channels].</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void AddRow(E* x, nint pixels, int channels, float* row)
    {
        for (nint i = 0; i < pixels; i++)
        {
            for (int c = 0; c < channels; c += L.Count, x += L.Count)
                E.Store(E.Load(x) + L.Load(row + c), x);
        }
    }

    /// <summary>Adds pixels up.</summary>
    /// <param name="x">[pixels, channels].</param>
    /// <param name="pixels">How many.</param>
    /// <param name="channels">Numbers of a pixel.</param>
    /// <param name="sums">[channels], added to.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Sum(E* x, nint pixels, int channels, float* sums)
    {
        for (int c = 0; c < channels; c += L.Count)
        {
            E* from = x + c;
            L sum = default;
            for (nint i = 0; i < pixels; i++, from += channels)
                sum += E.Load(from);
            L.Store(L.Load(sums + c) + sum, sums + c);
        }
    }

    /// <summary>Multiplies numbers by others.</summary>
    /// <param name="x">[count], multiplied.</param>
    /// <param name="factors">[count].</param>
    /// <param name="count">How many, a multiple of the register's lanes.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Multiply(E* x, E* factors, nint count)
    {
        for (nint i = 0; i < count; i += L.Count)
            E.Store(E.Load(x + i) * E.Load(factors + i), x + i);
    }

    /// <summary>Adds up 2x2 pixels, times a factor.</summary>
    /// <param name="from">Two rows of pixels.</param>
    /// <param name="width">Pixels of a row of the result.</param>
    /// <param name="channels">Numbers of a pixel.</param>
    /// <param name="factor">The factor.</param>
    /// <param name="to">[width, channels], written.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Halve(E* from, int width, int channels, float factor, E* to)
    {
        L times = L.All(factor);
        E* top = from, bottom = from + 2 * (nint)width * channels;
        for (int x = 0; x < width; x++, top += channels, bottom += channels)
        {
            for (int c = 0; c < channels; c += L.Count, top += L.Count, bottom += L.Count, to += L.Count)
            {
                L above = E.Load(top) + E.Load(top + channels), below = E.Load(bottom) + E.Load(bottom + channels);
                E.Store((above + below) * times, to);
            }
        }
    }

    /// <summary>Writes every pixel of a row four times, times a factor.</summary>
    /// <param name="from">[width, channels].</param>
    /// <param name="width">Pixels of the row.</param>
    /// <param name="channels">Numbers of a pixel.</param>
    /// <param name="factor">The factor.</param>
    /// <param name="to">Two rows of 2·width pixels, written.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Double(E* from, int width, int channels, float factor, E* to)
    {
        L times = L.All(factor);
        E* top = to, bottom = to + 2 * (nint)width * channels;
        for (int x = 0; x < width; x++, top += channels, bottom += channels)
        {
            for (int c = 0; c < channels; c += L.Count, from += L.Count, top += L.Count, bottom += L.Count)
            {
                L value = E.Load(from) * times;
                E.Store(value, top);
                E.Store(value, top + channels);
                E.Store(value, bottom);
                E.Store(value, bottom + channels);
            }
        }
    }
}
