using System.Runtime.InteropServices;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// Blocks of native memory that come back for the next pass over a network: every step asks for the same sizes. They go with the pool, given back or not. For one thread.
/// </summary>
internal sealed unsafe class HostPool : IDisposable
{
    private readonly Dictionary<nint, Stack<nint>> _free = [];
    private readonly List<nint> _all = [];
    private bool _disposed;

    ~HostPool() => Free();

    /// <summary>Blocks that are in use.</summary>
    public int Rented { get; private set; }

    /// <summary>Takes a block; holds whatever was left in it.</summary>
    /// <param name="bytes">Its length.</param>
    /// <returns>Aligned to a cache line.</returns>
    /// <exception cref="ObjectDisposedException">The training or generation that the pool belongs to is over.</exception>
    public void* Rent(nint bytes)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        Rented++;
        if (_free.TryGetValue(bytes, out var blocks) && blocks.TryPop(out nint block))
            return (void*)block;
        void* made = NativeMemory.AlignedAlloc((nuint)Math.Max(1, bytes), KernelMemory.Alignment);
        _all.Add((nint)made);
        return made;
    }

    /// <summary>Gives a block back.</summary>
    /// <param name="block">From <see cref="Rent"/>; not to be used any more.</param>
    /// <param name="bytes">As it was asked for.</param>
    public void Return(void* block, nint bytes)
    {
        Rented--;
        if (_disposed)
            return;
        if (!_free.TryGetValue(bytes, out var blocks))
            _free.Add(bytes, blocks = []);
        blocks.Push((nint)block);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Free();
        GC.SuppressFinalize(this);
    }

    private void Free()
    {
        _disposed = true;
        foreach (nint block in _all)
            NativeMemory.AlignedFree((void*)block);
        _all.Clear();
        _free.Clear();
    }
}
