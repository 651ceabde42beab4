using Microsoft.ML.Data;

namespace Microsoft.ML.Diffusion;

/// <summary>The seed of a row's noise where the row brings none: a hash of its id, which follows it through shuffles and filters.</summary>
internal static class RowSeed
{
    /// <summary>Combines a row's id with the transformer's seed (the finalizer of MurmurHash3).</summary>
    /// <remarks>libtorch's generators read 32 bits of a seed: rows of one view, whose ids count up, get seeds that count up, so that no two are the same.</remarks>
    public static long Of(long seed, DataViewRowId id) =>
        unchecked((uint)(Mix((ulong)seed + 0x9E3779B97F4A7C15) + Mix(id.High) + id.Low));

    private static ulong Mix(ulong z)
    {
        unchecked
        {
            z = (z ^ (z >> 33)) * 0xFF51AFD7ED558CCD;
            z = (z ^ (z >> 33)) * 0xC4CEB9FE1A85EC53;
            return z ^ (z >> 33);
        }
    }
}
