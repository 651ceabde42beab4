using System.Runtime.CompilerServices;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// Working memory of the kernels: blocks of a thread that grow to the largest need and stay, so that a step allocates nothing.
/// Managed and pinned: they go with their thread.
/// </summary>
internal static unsafe class KernelMemory
{
    private const int Alignment = 64;

    [ThreadStatic] private static float[]? s_shared;
    [ThreadStatic] private static float[]? s_own;

    /// <summary>What the thread that starts a kernel shares with those that run its parts; holds whatever was left in it. Valid until the thread asks again.</summary>
    /// <param name="floats">Its least length.</param>
    /// <returns>Aligned to a cache line.</returns>
    public static float* Shared(long floats) => Take(ref s_shared, floats);

    /// <summary>What a part of a kernel has to itself; holds whatever was left in it. Valid until the thread asks again.</summary>
    /// <param name="floats">Its least length.</param>
    /// <returns>Aligned to a cache line.</returns>
    public static float* Own(long floats) => Take(ref s_own, floats);

    private static float* Take(ref float[]? block, long floats)
    {
        if (block is null || block.Length < floats + Alignment / sizeof(float))
            block = GC.AllocateUninitializedArray<float>(checked((int)(floats + Alignment / sizeof(float))), pinned: true);
        nint address = (nint)Unsafe.AsPointer(ref block[0]);
        return (float*)((address + Alignment - 1) & -Alignment);
    }

    /// <summary>Up to the next multiple.</summary>
    public static int RoundUp(int value, int multiple) => (value + multiple - 1) / multiple * multiple;
}
