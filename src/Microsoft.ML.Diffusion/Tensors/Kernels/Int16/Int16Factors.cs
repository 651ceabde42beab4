using System.Runtime.CompilerServices;

namespace Microsoft.ML.Diffusion;

/// <summary>Products of 16-bit integers, to which the factors are rounded block by block (<see cref="Int16Layout"/>) as they are read.</summary>
/// <typeparam name="L">The register, as of <see cref="Int16Kernel{L}"/>.</typeparam>
internal readonly unsafe struct Int16Factors<L> : IProductFactors<L>
    where L : unmanaged, ILanes<L>
{
    /// <inheritdoc/>
    /// <remarks>A block.</remarks>
    public static int MostRows => Int16Layout.Block;

    public static nint PanelFloats(int k, int columns) => columns * Int16Layout.Words(k);

    public static nint RowFloats(int rows, int k) => rows * Int16Layout.Words(k);

    public static nint TransposedFloats(int k, int rows, int columns) => (rows + columns) * Int16Layout.Words(k);

    public static void Pack(float* from, nint stride, bool transposed, int k, int columns, float* panels) => Pack(from, stride, transposed, k, columns, panels, neighbours: false);

    /// <summary>Packs a right factor.</summary>
    /// <param name="from">[k, columns]; transposed: [columns, k].</param>
    /// <param name="stride">From a row of it to the next.</param>
    /// <param name="transposed">Whether it lies the other way.</param>
    /// <param name="k">Rows of the factor.</param>
    /// <param name="columns">Its columns, a multiple of the lanes.</param>
    /// <param name="panels">[<see cref="PanelFloats"/>], written.</param>
    /// <param name="neighbours">As <see cref="Int16Layout.Columns"/> takes it.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Pack(float* from, nint stride, bool transposed, int k, int columns, float* panels, bool neighbours)
    {
        int n = L.Count;
        float* turned = stackalloc float[Int16Layout.Block * n];
        for (int column = 0; column < columns; column += n)
        {
            int start = Int16Kernel<L>.PanelStart(column), width = Int16Kernel<L>.PanelAt(columns, start);
            int* panel = (int*)panels + start * Int16Layout.Words(k) + column - start;
            for (int first = 0; first < k; first += Int16Layout.Block)
            {
                int count = Math.Min(Int16Layout.Block, k - first);
                int* to = panel + Int16Layout.Start(first) * width;
                if (!transposed)
                {
                    Int16Layout.Columns(from + first * stride + column, stride, count, n, to, width, neighbours);
                    continue;
                }
                for (int i = 0; i < count; i += n)
                    L.Transpose(from + column * stride + first + i, stride, turned + i * n, n);
                Int16Layout.Columns(turned, n, count, n, to, width, neighbours);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Multiply(float* a, int strideA, float* panels, float* c, int strideC, int rows, int columns, int k, float* room)
    {
        nint words = Int16Layout.Words(k);
        for (int first = 0; first < k; first += Int16Layout.Block)
            Int16Layout.Rows(a + first, strideA, rows, Math.Min(Int16Layout.Block, k - first), (int*)room + Int16Layout.Start(first), words);
        Int16Kernel<L>.Multiply((int*)room, (int*)panels, c, strideC, rows, columns, k);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void AddTransposed(float* a, int strideA, float* b, int strideB, float* c, int strideC, int rows, int columns, int k, float* room)
    {
        int* left = (int*)room, right = left + rows * Int16Layout.Words(k);
        Int16Layout.Columns(a, strideA, k, rows, left, rows);
        Int16Layout.Columns(b, strideB, k, columns, right, columns);
        Int16Kernel<L>.AddTransposed(left, rows, right, columns, c, strideC, rows, columns, k / 2);
    }
}
