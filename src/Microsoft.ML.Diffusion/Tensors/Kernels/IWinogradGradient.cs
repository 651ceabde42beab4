namespace Microsoft.ML.Diffusion;

/// <summary>
/// What varies between kinds of the gradient of a 3x3 convolution's weights by F(4x4, 3x3), as <see cref="IWinogradPoints{L}"/> does on the way forth: products of transformed pixels and gradients
/// are summed over tiles, in two halves of the values, and their sums are transformed back.
/// </summary>
/// <typeparam name="L">The register.</typeparam>
internal unsafe interface IWinogradGradient<L>
    where L : unmanaged, ILanes<L>
{
    /// <summary>Registers of floats that transforms of pixels work in.</summary>
    static abstract int ScratchRegisters { get; }

    /// <summary>Matrices that each of two halves of a weight's gradient sums up.</summary>
    static abstract int HalfMatrices { get; }

    /// <summary>Floats of memory that a half's matrix of tiles takes.</summary>
    /// <param name="tiles">Its rows.</param>
    /// <param name="channels">Its columns.</param>
    static abstract nint GradientFloats(nint tiles, int channels);

    /// <summary>Floats of what values are multiplied by as they are rounded; 0: by nothing, and nobody has to measure pixels.</summary>
    /// <param name="channels">Columns of the matrices.</param>
    static virtual nint ScaleFloats(int channels) => 0;

    /// <summary>Computes it, from how large the pixels are that are transformed together.</summary>
    /// <param name="size">Of the channels.</param>
    /// <param name="channels">How many.</param>
    /// <param name="ofGradient">Whether they are those of the gradient.</param>
    /// <param name="scales">[<see cref="ScaleFloats"/>], written.</param>
    static virtual void Scale(TileSize size, int channels, bool ofGradient, float* scales)
    {
    }

    /// <summary>Half of Bᵀ d B of two tiles, some channels.</summary>
    /// <param name="d">The first pixel of the first tile.</param>
    /// <param name="next">From there to the second tile's.</param>
    /// <param name="row">From a row of pixels to the next.</param>
    /// <param name="count">Channels, the distance from a pixel to the next.</param>
    /// <param name="upper">Whether the second half.</param>
    /// <param name="v">The half's first matrix.</param>
    /// <param name="tile">The first tile's row in each matrix, even.</param>
    /// <param name="first">Which column the first channel is.</param>
    /// <param name="channels">Columns of the matrices.</param>
    /// <param name="stride">From a matrix to the next.</param>
    /// <param name="scales">From <see cref="Scale"/>.</param>
    /// <param name="scratch">[<see cref="ScratchRegisters"/>].</param>
    static abstract void InputHalf(float* d, nint next, nint row, int count, bool upper, float* v, nint tile, int first, int channels, nint stride, float* scales, float* scratch);

    /// <summary>Half of A dY Aᵀ of two tiles, some channels.</summary>
    /// <param name="dy">The first pixel of the first tile.</param>
    /// <param name="next">From there to the second tile's.</param>
    /// <param name="row">From a row of pixels to the next.</param>
    /// <param name="count">Channels, the distance from a pixel to the next.</param>
    /// <param name="upper">Whether the second half.</param>
    /// <param name="v">The half's first matrix.</param>
    /// <param name="tile">The first tile's row in each matrix, even.</param>
    /// <param name="first">Which column the first channel is.</param>
    /// <param name="channels">Columns of the matrices.</param>
    /// <param name="stride">From a matrix to the next.</param>
    /// <param name="scales">From <see cref="Scale"/>.</param>
    /// <param name="scratch">[<see cref="ScratchRegisters"/>].</param>
    static abstract void OutputGradientHalf(float* dy, nint next, nint row, int count, bool upper, float* v, nint tile, int first, int channels, nint stride, float* scales, float* scratch);

    /// <summary>Makes factors of a half's matrices, once all tiles are transformed; nothing where they are factors as they are transformed.</summary>
    /// <param name="v">The first matrix.</param>
    /// <param name="stride">From one to the next.</param>
    /// <param name="channels">Columns of them.</param>
    /// <param name="tiles">Rows, an even number.</param>
    /// <param name="upper">Whether the second half.</param>
    /// <param name="scales">From <see cref="Scale"/>.</param>
    static virtual void Pack(float* v, nint stride, int channels, int tiles, bool upper, float* scales)
    {
    }

    /// <summary>Σ (A dY Aᵀ) ⊙ (Bᵀ d B) over tiles, one half's sums.</summary>
    /// <param name="dy">The half's matrices of the gradient, [tiles, outputs], after <see cref="Pack"/>.</param>
    /// <param name="dyStride">From one to the next.</param>
    /// <param name="outputs">Columns of them.</param>
    /// <param name="first">The first column to be multiplied.</param>
    /// <param name="count">How many.</param>
    /// <param name="x">The half's matrices of pixels, [tiles, inputs], likewise.</param>
    /// <param name="xStride">From one to the next.</param>
    /// <param name="inputs">Columns of them.</param>
    /// <param name="sums">[count, inputs] for each matrix.</param>
    /// <param name="sumStride">From one to the next.</param>
    /// <param name="tiles">An even number.</param>
    /// <param name="add">Whether they are added to what is there, and not written.</param>
    void SumProducts(float* dy, nint dyStride, int outputs, int first, int count, float* x, nint xStride, int inputs, float* sums, nint sumStride, int tiles, bool add);

    /// <summary>Gᵀ u G of one half's sums, a register of inputs: its part of the gradient of 3x3 weights.</summary>
    /// <param name="u">The first sum.</param>
    /// <param name="stride">From a matrix to the next.</param>
    /// <param name="upper">Whether the second half.</param>
    /// <param name="g">Where the first weight's part goes.</param>
    /// <param name="next">From a weight to the next.</param>
    /// <param name="scratch">18 registers.</param>
    static abstract void WeightGradientHalf(float* u, nint stride, bool upper, float* g, nint next, float* scratch);
}
