namespace Microsoft.ML.Diffusion;

/// <summary>What varies between kinds of products of small matrices: how the factors lie in memory, and what multiplies them.</summary>
/// <typeparam name="L">The register.</typeparam>
internal unsafe interface IProductFactors<L>
    where L : unmanaged, ILanes<L>
{
    /// <summary>Floats of a packed right factor.</summary>
    static abstract nint PanelFloats(int k, int columns);

    /// <summary>Floats that <see cref="Multiply"/> works in.</summary>
    static abstract nint RowFloats(int rows, int k);

    /// <summary>Rows that <see cref="AddTransposed"/> takes at the most; even.</summary>
    static abstract int MostRows { get; }

    /// <summary>Floats that <see cref="AddTransposed"/> works in.</summary>
    static abstract nint TransposedFloats(int k, int rows, int columns);

    /// <summary>Packs a right factor.</summary>
    /// <param name="from">[k, columns]; transposed: [columns, k].</param>
    /// <param name="stride">From a row of it to the next.</param>
    /// <param name="transposed">Whether it lies the other way.</param>
    /// <param name="k">Rows of the factor.</param>
    /// <param name="columns">Its columns, a multiple of the lanes.</param>
    /// <param name="panels">[<see cref="PanelFloats"/>], written.</param>
    static abstract void Pack(float* from, nint stride, bool transposed, int k, int columns, float* panels);

    /// <summary>C = A·B.</summary>
    /// <param name="a">[rows, k].</param>
    /// <param name="strideA">From a row to the next.</param>
    /// <param name="panels">B, from <see cref="Pack"/>.</param>
    /// <param name="c">[rows, columns], written.</param>
    /// <param name="strideC">From a row to the next.</param>
    /// <param name="rows">From <see cref="MatrixKernel{L}.Rows"/>.</param>
    /// <param name="columns">Columns of B and C.</param>
    /// <param name="k">Columns of A.</param>
    /// <param name="room">[<see cref="RowFloats"/>].</param>
    static abstract void Multiply(float* a, int strideA, float* panels, float* c, int strideC, int rows, int columns, int k, float* room);

    /// <summary>C += Aᵀ·B.</summary>
    /// <param name="a">[k, rows].</param>
    /// <param name="strideA">From a row to the next.</param>
    /// <param name="b">[k, columns].</param>
    /// <param name="strideB">From a row to the next.</param>
    /// <param name="c">[rows, columns], added to.</param>
    /// <param name="strideC">From a row to the next.</param>
    /// <param name="rows">Columns of A, a multiple of the lanes.</param>
    /// <param name="columns">Columns of B, a multiple of the lanes.</param>
    /// <param name="k">Rows of A and B, an even number of at most <see cref="MostRows"/>.</param>
    /// <param name="room">[<see cref="TransposedFloats"/>].</param>
    static abstract void AddTransposed(float* a, int strideA, float* b, int strideB, float* c, int strideC, int rows, int columns, int k, float* room);
}

/// <summary>Products of float32.</summary>
/// <typeparam name="L">The register.</typeparam>
internal readonly unsafe struct WideFactors<L> : IProductFactors<L>
    where L : unmanaged, ILanes<L>
{
    public static int MostRows => 240;

    public static nint PanelFloats(int k, int columns) => (nint)k * columns;

    public static nint RowFloats(int rows, int k) => 0;

    public static nint TransposedFloats(int k, int rows, int columns) => 0;

    public static void Pack(float* from, nint stride, bool transposed, int k, int columns, float* panels)
    {
        if (transposed)
            Packing<L>.Transposed(from, stride, k, columns, panels);
        else
            Packing<L>.Rows(from, stride, k, columns, panels);
    }

    public static void Multiply(float* a, int strideA, float* panels, float* c, int strideC, int rows, int columns, int k, float* room) =>
        MatrixKernel<L>.Multiply(a, strideA, panels, c, strideC, rows, columns, k);

    public static void AddTransposed(float* a, int strideA, float* b, int strideB, float* c, int strideC, int rows, int columns, int k, float* room) =>
        MatrixKernel<L>.AddTransposed(a, strideA, b, strideB, c, strideC, rows, columns, k);
}
