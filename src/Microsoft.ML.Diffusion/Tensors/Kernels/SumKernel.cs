using System.Numerics;
using System.Runtime.CompilerServices;

namespace Microsoft.ML.Diffusion;

/// <summary>Adds numbers to others.</summary>
internal static unsafe class SumKernel
{
    /// <summary>Numbers that a core adds at a time.</summary>
    private const int Portion = 1 << 15;

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

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Add(NarrowElement* from, int count, NarrowElement* to)
    {
        for (int i = 0; i < count; i += Lanes512.Count)
            NarrowElement.Store(NarrowElement.Load(to + i) + NarrowElement.Load(from + i), to + i);
    }
}
