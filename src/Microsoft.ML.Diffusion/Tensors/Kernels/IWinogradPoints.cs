namespace Microsoft.ML.Diffusion;

/// <summary>
/// What varies between kinds of F(4x4, 3x3): the points that a tile is evaluated at as a polynomial, and what multiplies the values. Transformed pixels and weights lie in memory as
/// matrices, whose products are added up to some values a tile and output.
/// </summary>
/// <typeparam name="L">The register.</typeparam>
internal unsafe interface IWinogradPoints<L>
    where L : unmanaged, ILanes<L>
{
    /// <summary>Matrices of transformed pixels.</summary>
    static abstract int PixelMatrices { get; }

    /// <summary>Matrices of transformed weights.</summary>
    static abstract int WeightMatrices { get; }

    /// <summary>Whether a network that draws gains by keeping its transformed weights (<see cref="KeptWeights"/>): where numbers are so short that they are read quicker than made.</summary>
    static abstract bool KeepsWeights { get; }

    /// <summary>Values that a tile of an output is made of.</summary>
    static abstract int Values { get; }

    /// <summary>Registers of floats that transforms work in, but <see cref="Weights"/>.</summary>
    static abstract int ScratchRegisters { get; }

    /// <summary>Registers of floats that <see cref="Weights"/> works in.</summary>
    static abstract int WeightRegisters { get; }

    /// <summary>Floats of memory that a matrix takes.</summary>
    /// <param name="vectors">Its tiles, or its outputs.</param>
    /// <param name="inputs">Numbers of each.</param>
    static abstract nint Floats(nint vectors, int inputs);

    /// <summary>Tiles for which there is room in the matrices.</summary>
    static abstract int Rows(int tiles);

    /// <summary>The width of the narrowest panel of outputs.</summary>
    static abstract int LeastPanel { get; }

    /// <summary>The width of the panel of outputs that begins at one; all but the last few are equally wide.</summary>
    /// <param name="outputs">All of them, a multiple of the lanes.</param>
    /// <param name="output">Where the panel begins.</param>
    static abstract int PanelAt(int outputs, int output);

    /// <summary>Where the panel begins that has an output.</summary>
    /// <param name="outputs">All of them, a multiple of the lanes.</param>
    /// <param name="output">The output.</param>
    static abstract int PanelStart(int outputs, int output);

    /// <summary>Bᵀ d B: 6x6 pixels, some channels.</summary>
    /// <param name="d">The tile's first pixel.</param>
    /// <param name="row">From a row of pixels to the next.</param>
    /// <param name="count">Channels, the distance from a pixel to the next.</param>
    /// <param name="v">The first matrix.</param>
    /// <param name="tile">The tile's row in each matrix.</param>
    /// <param name="first">Which column the first channel is.</param>
    /// <param name="channels">Columns of the matrices.</param>
    /// <param name="stride">From a matrix to the next.</param>
    /// <param name="scratch">[<see cref="ScratchRegisters"/>].</param>
    static abstract void Input(float* d, nint row, int count, float* v, nint tile, int first, int channels, nint stride, float* scratch);

    /// <summary>G g Gᵀ: the 3x3 weights of a register's width of inputs and of outputs. Called for all inputs in turn: the matrices are whole after the last.</summary>
    /// <param name="g">The first input's first weight.</param>
    /// <param name="input">From an input's weights to the next input's.</param>
    /// <param name="row">From a row of the kernel to the next.</param>
    /// <param name="column">From a column to the next.</param>
    /// <param name="u">The first matrix, the panel's first column.</param>
    /// <param name="at">Which row of the matrix the first input is.</param>
    /// <param name="inputs">Rows of the matrix.</param>
    /// <param name="output">Which column of the panel the first output is.</param>
    /// <param name="width">Columns of the panel.</param>
    /// <param name="stride">From a matrix to the next.</param>
    /// <param name="scratch">[<see cref="WeightRegisters"/>], as the inputs before left it.</param>
    static abstract void Weights(float* g, nint input, nint row, nint column, float* u, int at, int inputs, int output, int width, nint stride, float* scratch);

    /// <summary>(G g Gᵀ) ⊙ (Bᵀ d B), summed over channels: a panel of outputs.</summary>
    /// <param name="v">The matrices of pixels, [tiles, inputs].</param>
    /// <param name="vStride">From one to the next.</param>
    /// <param name="u">The matrices of weights, from the panel's first column on.</param>
    /// <param name="uStride">From one to the next.</param>
    /// <param name="m"><see cref="Values"/> matrices [tiles, width], written; there is room for <see cref="Rows"/>.</param>
    /// <param name="mStride">From one to the next.</param>
    /// <param name="tiles">Rows that are needed.</param>
    /// <param name="width">Columns of the panel.</param>
    /// <param name="inputs">Channels.</param>
    void Multiply(float* v, nint vStride, float* u, nint uStride, float* m, nint mStride, int tiles, int width, int inputs);

    /// <summary>Aᵀ m A: the values to 4x4 outputs, a register of channels.</summary>
    /// <param name="m">The first value.</param>
    /// <param name="stride">From a value to the next.</param>
    /// <param name="y">The tile's first pixel.</param>
    /// <param name="row">From a row of pixels to the next.</param>
    /// <param name="pixel">From a pixel to the next.</param>
    /// <param name="bias">Added to each output.</param>
    /// <param name="addend">A tile that lies as y does, added; or null.</param>
    /// <param name="scratch">24 registers.</param>
    /// <typeparam name="E">The outputs' numbers.</typeparam>
    static abstract void Output<E>(float* m, nint stride, E* y, nint row, nint pixel, L bias, E* addend, float* scratch)
        where E : unmanaged, IElement<E, L>;
}
