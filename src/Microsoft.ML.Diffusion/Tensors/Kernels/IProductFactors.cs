namespace Microsoft.ML.Diffusion;

/// <summary>What varies between kinds of products of many rows with a weight: how the factors lie in memory, and what multiplies them.</summary>
/// <typeparam name="L">The register.</typeparam>
internal unsafe interface IProductFactors<L>
    where L : unmanaged, ILanes<L>
{
    /// <summary>Floats of a packed weight.</summary>
    static abstract nint PanelFloats(int inputs, int outputs);

    /// <summary>Floats that <see cref="Multiply"/> works in.</summary>
    static abstract nint RowFloats(int rows, int inputs);

    /// <summary>Rows over which a weight's gradient is summed at a time; even.</summary>
    static abstract int GradientChunk { get; }

    /// <summary>Floats that <see cref="AddTransposed"/> works in.</summary>
    static abstract nint GradientFloats(int inputs, int outputs);

    /// <summary>Lays a weight out.</summary>
    /// <param name="weight">[outputs, inputs]; transposed: [inputs, outputs].</param>
    /// <param name="transposed">Whether it lies the other way.</param>
    /// <param name="inputs">Rows of the factor.</param>
    /// <param name="outputs">Its columns.</param>
    /// <param name="panels">[<see cref="PanelFloats"/>], written.</param>
    static abstract void Pack(float* weight, bool transposed, int inputs, int outputs, float* panels);

    /// <summary>y = x·Wᵀ.</summary>
    /// <param name="x">[rows, inputs].</param>
    /// <param name="panels">From <see cref="Pack"/>.</param>
    /// <param name="y">[rows, outputs], written.</param>
    /// <param name="rows">From <see cref="MatrixKernel{L}.Rows"/>.</param>
    /// <param name="inputs">Columns of x.</param>
    /// <param name="outputs">Columns of y.</param>
    /// <param name="room">[<see cref="RowFloats"/>].</param>
    static abstract void Multiply(float* x, float* panels, float* y, int rows, int inputs, int outputs, float* room);

    /// <summary>sums += dyᵀ·x.</summary>
    /// <param name="dy">[rows, outputs].</param>
    /// <param name="strideDy">From a row to the next.</param>
    /// <param name="x">[rows, inputs].</param>
    /// <param name="sums">[outputs, inputs], added to.</param>
    /// <param name="rows">At most <see cref="GradientChunk"/>, an even number.</param>
    /// <param name="inputs">Columns of x.</param>
    /// <param name="outputs">Columns of dy.</param>
    /// <param name="room">[<see cref="GradientFloats"/>].</param>
    static abstract void AddTransposed(float* dy, int strideDy, float* x, float* sums, int rows, int inputs, int outputs, float* room);
}

/// <summary>Products of float32.</summary>
/// <typeparam name="L">The register.</typeparam>
internal readonly unsafe struct WideFactors<L> : IProductFactors<L>
    where L : unmanaged, ILanes<L>
{
    public static int GradientChunk => 240;

    public static nint PanelFloats(int inputs, int outputs) => (nint)inputs * outputs;

    public static nint RowFloats(int rows, int inputs) => 0;

    public static nint GradientFloats(int inputs, int outputs) => 0;

    public static void Pack(float* weight, bool transposed, int inputs, int outputs, float* panels)
    {
        if (transposed)
            Packing<L>.Rows(weight, outputs, inputs, outputs, panels);
        else
            Packing<L>.Transposed(weight, inputs, inputs, outputs, panels);
    }

    public static void Multiply(float* x, float* panels, float* y, int rows, int inputs, int outputs, float* room) =>
        MatrixKernel<L>.Multiply(x, inputs, panels, y, outputs, rows, outputs, inputs);

    public static void AddTransposed(float* dy, int strideDy, float* x, float* sums, int rows, int inputs, int outputs, float* room) =>
        MatrixKernel<L>.AddTransposed(dy, strideDy, x, inputs, sums, inputs, outputs, inputs, rows);
}
