using System.Runtime.InteropServices;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// How the C library treats the memory that tensors free. glibc gives large blocks and the end of its heap back to the kernel at once and pays for their pages again
/// at the next step, up to a fifth of the step's time. Elsewhere nothing is changed.
/// </summary>
internal static partial class HostAllocator
{
    // mallopt(3); malloc.h.
    private const int TrimThreshold = -1;
    private const int TopPad = -2;
    private const int MapThreshold = -3;

    private static readonly Lock s_lock = new();
    private static int s_users;

    /// <summary>Has freed memory kept for the next allocation, until the result is disposed; then it is given back.</summary>
    public static Keeping Keep()
    {
        lock (s_lock)
        {
            if (s_users++ == 0)
                Set(mapThreshold: 32 << 20, trimThreshold: int.MaxValue, topPad: 64 << 20);
        }
        return new(begun: true);
    }

    private static void Set(int mapThreshold, int trimThreshold, int topPad)
    {
        if (!OperatingSystem.IsLinux())
            return;
        try
        {
            _ = mallopt(MapThreshold, mapThreshold);
            _ = mallopt(TrimThreshold, trimThreshold);
            _ = mallopt(TopPad, topPad);
            if (trimThreshold != int.MaxValue)
                _ = malloc_trim(0);
        }
        catch (Exception e) when (e is EntryPointNotFoundException or DllNotFoundException)
        {
            // Another C library (musl): nothing to tune.
        }
    }

    [LibraryImport("libc")]
    private static partial int mallopt(int parameter, int value);

    [LibraryImport("libc")]
    private static partial int malloc_trim(nuint pad);

    /// <summary>Ends it.</summary>
    internal readonly struct Keeping : IDisposable
    {
        private readonly bool _begun;

        internal Keeping(bool begun) => _begun = begun;

        /// <inheritdoc/>
        public void Dispose()
        {
            if (!_begun)
                return;
            lock (s_lock)
            {
                // Where glibc arrives by itself after a large block was freed.
                if (--s_users == 0)
                    Set(mapThreshold: 32 << 20, trimThreshold: 64 << 20, topPad: 128 << 10);
            }
        }
    }
}
