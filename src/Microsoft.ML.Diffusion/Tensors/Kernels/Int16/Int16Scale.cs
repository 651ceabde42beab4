using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// What channels' numbers are multiplied by before they are rounded to 16-bit integers, where both factors of a sum are scaled as a whole: as vectors they are no longer than √2³¹ then, so that a sum
/// of their products stays within 2³¹ (Cauchy-Schwarz), and no number is above 2¹⁴, so that <see cref="VnniCode"/> may add two of them.
/// </summary>
internal static class Int16Scale
{
    /// <summary>The longest vector: somewhat below √2³¹, for what rounding may add.</summary>
    private const float Longest = 46_000;

    /// <summary>The largest number: 2¹⁴, less the same.</summary>
    private const float Largest = 16_382;

    /// <summary>A scale for each of some channels; no number where the sum of squares is none.</summary>
    /// <param name="squares">The sums of squares, or more.</param>
    /// <param name="largest">The largest absolute values, or more.</param>
    /// <param name="length">How many times as long what is rounded may be.</param>
    /// <param name="sum">How many times as large its numbers may be.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Of(Vector512<float> squares, Vector512<float> largest, float length = 1, float sum = 1)
    {
        // So that nothing divides by zero; squares of smaller numbers would lose their digits.
        Vector512<float> least = Vector512.Create(1e-18f);
        Vector512<float> scale = Vector512.Min(
            Vector512.Create(Longest / length) / Vector512.Max(Vector512.Sqrt(squares), least), Vector512.Create(Largest / sum) / Vector512.Max(largest, least));
        return scale + (squares - squares);
    }
}
