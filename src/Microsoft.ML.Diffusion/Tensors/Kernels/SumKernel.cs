using System.Numerics;
using System.Runtime.CompilerServices;

namespace Microsoft.ML.Diffusion;

/// <summary>Adds numbers to others.</summary>
internal static unsafe class SumKernel
{
    /// <summary>Numbers that a core adds at a time.</summary>
    private const int Portion = 1 << 15;

    /// <summary>Adds images to others on all cores.</summary>
    /// <param name="from">Of the same shape.</param>
    /// <param name="to">Added to.</param>
    public static void AddOnAllCores(ImageMemory from, ImageMemory to)
    {
        if (to.Shape.IsNarrow)
            AddOnAllCores(from.Narrow, to.Shape.Count, to.Narrow);
        else
            AddOnAllCores(from.Floats, to.Shape.Count, to.Floats);
    }

    /// <summary>Adds on all cores.</summary>
    /// <param name="from">[count].</param>
    /// <param name="count">How many.</param>
    /// <param name="to">[count], added to.</param>
    public static void AddOnAllCores(float* from, int count, float* to) => Cores.Run(
        (count + Portion - 1) / Portion, part => Add(from + part * Portion, Math.Min(Portion, count - part * Portion), to + part * Portion));

    /// <summary>Adds bfloat16 on all cores.</summary>
    /// <param name="from">[count].</param>
    /// <param name="count">How many; a multiple of 16.</param>
    /// <param name="to">[count], added to.</param>
    public static void AddOnAllCores(ushort* from, int count, ushort* to) => Cores.Run(
        (count + Portion - 1) / Portion, part => Add((NarrowElement*)from + part * Portion, Math.Min(Portion, count - part * Portion), (NarrowElement*)to + part * Portion));

    /// <summary>Adds on the calling core.</summary>
    /// <param name="from">[count].</param>
    /// <param name="count">How many.</param>
    /// <param name="to">[count], added to.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Add(float* from, int count, float* to)
    {
        int i = 0;
        for (; i <= count - Vector<float>.Count; i += Vector<float>.Count)
            (Vector.Load(to + i) + Vector.Load(from + i)).Store(to + i);
        for (; i < count; i++)
            to[i] += from[i];
    }

    /// <summary>Adds rows up.</summary>
    /// <param name="x">[rows, columns].</param>
    /// <param name="rows">How many.</param>
    /// <param name="columns">Their length, a multiple of the lanes.</param>
    /// <param name="stride">From a row to the next.</param>
    /// <param name="sums">[columns], added to.</param>
    /// <typeparam name="L">The register.</typeparam>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void AddRows<L>(float* x, int rows, int columns, int stride, float* sums)
        where L : unmanaged, ILanes<L>
    {
        int c = 0;
        // Four sums at a time: one would wait for itself.
        for (; c <= columns - 4 * L.Count; c += 4 * L.Count)
        {
            float* from = x + c, to = sums + c;
            L sum0 = L.Load(to), sum1 = L.Load(to + L.Count), sum2 = L.Load(to + 2 * L.Count), sum3 = L.Load(to + 3 * L.Count);
            for (int row = 0; row < rows; row++, from += stride)
            {
                sum0 += L.Load(from);
                sum1 += L.Load(from + L.Count);
                sum2 += L.Load(from + 2 * L.Count);
                sum3 += L.Load(from + 3 * L.Count);
            }
            L.Store(sum0, to);
            L.Store(sum1, to + L.Count);
            L.Store(sum2, to + 2 * L.Count);
            L.Store(sum3, to + 3 * L.Count);
        }
        for (; c < columns; c += L.Count)
        {
            L sum = L.Load(sums + c);
            float* from = x + c;
            for (int row = 0; row < rows; row++, from += stride)
                sum += L.Load(from);
            L.Store(sum, sums + c);
        }
    }

    /// <summary>The same of bfloat16.</summary>
    /// <param name="x">[rows, columns].</param>
    /// <param name="rows">How many.</param>
    /// <param name="columns">Their length, a multiple of 32.</param>
    /// <param name="stride">From a row to the next.</param>
    /// <param name="sums">[columns], added to.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void AddRows(NarrowElement* x, int rows, int columns, int stride, float* sums)
    {
        for (int c = 0; c < columns; c += 2 * Lanes512.Count)
        {
            // Four sums: each addition waits for the one before.
            var (even0, even1) = NarrowElement.Ordered(sums + c);
            Lanes512 odd0 = default, odd1 = default;
            NarrowElement* from = x + c;
            int row = 0;
            for (; row + 1 < rows; row += 2, from += 2 * stride)
            {
                // As many rows further on lie those that come next.
                Lanes.Prefetch(from + (nint)rows * stride);
                Lanes.Prefetch(from + (nint)(rows + 1) * stride);
                var (a0, a1) = NarrowElement.LoadTwo(from);
                var (b0, b1) = NarrowElement.LoadTwo(from + stride);
                even0 += a0;
                even1 += a1;
                odd0 += b0;
                odd1 += b1;
            }
            if (row < rows)
            {
                var (a0, a1) = NarrowElement.LoadTwo(from);
                even0 += a0;
                even1 += a1;
            }
            NarrowElement.StoreOrdered(even0 + odd0, even1 + odd1, sums + c);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Add(NarrowElement* from, int count, NarrowElement* to)
    {
        for (int i = 0; i < count; i += Lanes512.Count)
            NarrowElement.Store(NarrowElement.Load(to + i) + NarrowElement.Load(from + i), to + i);
    }
}
