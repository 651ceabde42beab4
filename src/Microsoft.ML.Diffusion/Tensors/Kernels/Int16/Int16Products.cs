using System.Runtime.Intrinsics.X86;

namespace Microsoft.ML.Diffusion;

/// <summary>Whether the kernels of float32 multiply in 16-bit integers.</summary>
internal static class Int16Products
{
    private const int LeastChannels = 32;

    [ThreadStatic] private static bool s_used;

    /// <summary>
    /// Whether this processor gains by it over float32: with registers of 256 bits, and with those of 512 where there is a <see cref="VnniUnit"/>: without, their instructions for integers are no quicker.
    /// </summary>
    public static bool AreQuicker { get; } = Avx2.IsSupported && (Lanes.Widest == Lanes256.Count || Lanes.Widest == Lanes512.Count && VnniUnit.OfThisProcessor is not null);

    /// <summary>Whether they do with so many channels: of few, rounding would cost more than it gains.</summary>
    /// <param name="inputs">Numbers that a product sums.</param>
    /// <param name="outputs">Numbers that come out.</param>
    public static bool Take(int inputs, int outputs) => s_used && inputs >= LeastChannels && outputs >= LeastChannels;

    /// <summary>Has the calling thread's kernels do so, or not, until the result is disposed, on the same thread.</summary>
    /// <param name="used">Whether they do.</param>
    public static Use Enter(bool used)
    {
        var use = new Use(s_used);
        s_used = used;
        return use;
    }

    /// <summary>A choice in force.</summary>
    /// <param name="before">What was before.</param>
    internal readonly struct Use(bool before) : IDisposable
    {
        /// <inheritdoc/>
        public void Dispose() => s_used = before;
    }
}
