using System.Runtime.CompilerServices;

namespace Microsoft.ML.Diffusion;

/// <summary>Lays right factors out in the panels that <see cref="MatrixKernel{L}"/> reads.</summary>
/// <typeparam name="L">The register.</typeparam>
internal static unsafe class Packing<L>
    where L : unmanaged, ILanes<L>
{
    /// <summary>A matrix as it is.</summary>
    /// <param name="from">[k, columns].</param>
    /// <param name="stride">From a row to the next.</param>
    /// <param name="k">Its rows.</param>
    /// <param name="columns">Its columns, a multiple of the lanes.</param>
    /// <param name="panels">[k·columns], written.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Rows(float* from, nint stride, int k, int columns, float* panels)
    {
        int width;
        for (int column = 0; column < columns; column += width)
        {
            width = MatrixKernel<L>.PanelAt(columns, column);
            float* row = from + column;
            for (int i = 0; i < k; i++, row += stride, panels += width)
            {
                for (int c = 0; c < width; c += L.Count)
                    L.Store(L.Load(row + c), panels + c);
            }
        }
    }

    /// <summary>A matrix by its transpose.</summary>
    /// <param name="from">[columns, k].</param>
    /// <param name="stride">From a row to the next.</param>
    /// <param name="k">Rows of the factor.</param>
    /// <param name="columns">Its columns, a multiple of the lanes.</param>
    /// <param name="panels">[k·columns], written.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Transposed(float* from, nint stride, int k, int columns, float* panels)
    {
        int width;
        for (int column = 0; column < columns; column += width, panels += (nint)width * k)
        {
            width = MatrixKernel<L>.PanelAt(columns, column);
            int squares = k / L.Count * L.Count;
            for (int first = 0; first < squares; first += L.Count)
            {
                for (int c = 0; c < width; c += L.Count)
                    L.Transpose(from + (column + c) * stride + first, stride, panels + (nint)first * width + c, width);
            }
            for (int c = 0; c < width; c++)
            {
                for (int i = squares; i < k; i++)
                    panels[(nint)i * width + c] = from[(column + c) * stride + i];
            }
        }
    }
}
