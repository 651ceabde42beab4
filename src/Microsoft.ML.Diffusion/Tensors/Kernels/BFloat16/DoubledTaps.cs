using System.Runtime.CompilerServices;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// The 3x3 taps of a convolution whose image is doubled by nearest neighbours. Four pixels of the result lie where one of the image before was. Each sees 2x2 different ones, so that it has a
/// kernel of 2x2 taps: sums of those of the nine that meet the same pixel.
/// </summary>
internal static unsafe class DoubledTaps
{
    /// <summary>Taps of the four kernels.</summary>
    public const int Count = 16;

    /// <summary>Adds up one output's taps.</summary>
    /// <param name="weight">[3, 3, C].</param>
    /// <param name="inputs">C, a multiple of 16.</param>
    /// <param name="to">[2, 2, C] for the upper left of the four pixels, written.</param>
    /// <param name="next">From there to the pixel right of it, then to the lower ones.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Sum(float* weight, int inputs, float* to, nint next)
    {
        for (int pixel = 0; pixel < 4; pixel++, to += next)
        {
            for (int tap = 0; tap < 4; tap++)
            {
                var (top, bottom, left, right) = Of(pixel, tap);
                for (int c = 0; c < inputs; c += Lanes512.Count)
                {
                    Lanes512 sum = default;
                    for (int row = top; row < bottom; row++)
                    {
                        for (int column = left; column < right; column++)
                            sum += Lanes512.Load(weight + (3 * row + column) * inputs + c);
                    }
                    Lanes512.Store(sum, to + tap * inputs + c);
                }
            }
        }
    }

    /// <summary>Takes the gradients of one output's sums back to the taps.</summary>
    /// <param name="sums">[2, 2, 2, 2, C]: for each of the four pixels its taps.</param>
    /// <param name="inputs">C, a multiple of 16.</param>
    /// <param name="dWeight">[3, 3, C], added to.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void AddGradient(float* sums, int inputs, float* dWeight)
    {
        for (int i = 0; i < Count; i++, sums += inputs)
        {
            var (top, bottom, left, right) = Of(i / 4, i % 4);
            for (int row = top; row < bottom; row++)
            {
                for (int column = left; column < right; column++)
                    SumKernel.Add(sums, inputs, dWeight + (3 * row + column) * inputs);
            }
        }
    }

    /// <summary>Which of the nine taps make up one of a pixel's four.</summary>
    private static (int Top, int Bottom, int Left, int Right) Of(int pixel, int tap)
    {
        var (top, bottom) = Along(pixel / 2, tap / 2);
        var (left, right) = Along(pixel % 2, tap % 2);
        return (top, bottom, left, right);
    }

    /// <summary>Along one side, the first of two equal pixels sees its neighbour once and itself twice, the second the other way round.</summary>
    private static (int First, int End) Along(int pixel, int tap) => tap == 0 ? (0, 1 + pixel) : (1 + pixel, 3);
}
