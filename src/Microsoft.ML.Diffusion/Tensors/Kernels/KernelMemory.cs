using System.Runtime.InteropServices;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// Working memory of the kernels: blocks of a thread that grow to the largest need and stay, so that a step allocates nothing. They go with their thread.
/// </summary>
internal static unsafe class KernelMemory
{
    /// <summary>A line of the cache, in bytes.</summary>
    public const int Alignment = 64;

    [ThreadStatic] private static Block? s_shared;
    [ThreadStatic] private static Block? s_weights;
    [ThreadStatic] private static Block? s_sums;
    [ThreadStatic] private static Block? s_gradients;
    [ThreadStatic] private static Block? s_own;

    /// <summary>What the thread that starts a kernel shares with those that run its parts; holds whatever was left in it. Valid until the thread asks again.</summary>
    /// <param name="floats">Its least length.</param>
    /// <returns>Aligned to a cache line.</returns>
    public static float* Shared(long floats) => (s_shared ??= new()).Take(floats);

    /// <summary>The same, for what a kernel makes of a weight.</summary>
    /// <param name="floats">Its least length.</param>
    /// <returns>Aligned to a cache line.</returns>
    public static float* Weights(long floats) => (s_weights ??= new()).Take(floats);

    /// <summary>The same, for what a kernel measures or sums up for its caller.</summary>
    /// <param name="floats">Its least length.</param>
    /// <returns>Aligned to a cache line.</returns>
    public static float* Sums(long floats) => (s_sums ??= new()).Take(floats);

    /// <summary>The same, for the sums of a gradient that may be added up while other kernels run (<see cref="DeferredWork"/>).</summary>
    /// <param name="floats">Its least length.</param>
    /// <returns>Aligned to a cache line.</returns>
    public static float* Gradients(long floats) => (s_gradients ??= new()).Take(floats);

    /// <summary>What a part of a kernel has to itself; holds whatever was left in it. Valid until the thread asks again.</summary>
    /// <param name="floats">Its least length.</param>
    /// <returns>Aligned to a cache line.</returns>
    public static float* Own(long floats) => (s_own ??= new()).Take(floats);

    /// <summary>Up to the next multiple.</summary>
    public static int RoundUp(int value, int multiple) => (value + multiple - 1) / multiple * multiple;

    /// <inheritdoc cref="RoundUp(int, int)"/>
    public static nint RoundUp(nint value, int multiple) => (value + multiple - 1) / multiple * multiple;

    private sealed class Block
    {
        private float* _memory;
        private long _floats;

        ~Block() => NativeMemory.AlignedFree(_memory);

        public float* Take(long floats)
        {
            if (floats <= _floats)
                return _memory;
            NativeMemory.AlignedFree(_memory);
            _memory = null;
            _floats = 0;
            _memory = (float*)NativeMemory.AlignedAlloc((nuint)floats * sizeof(float), Alignment);
            _floats = floats;
            return _memory;
        }
    }
}
