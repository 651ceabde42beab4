namespace Microsoft.ML.Diffusion;

/// <summary>
/// A matrix unit that multiplies in vector registers: a few rows at a time, and factors that both lie in pairs. 3x3 convolutions run over it by <see cref="ComplexPoints"/>,
/// or beside it by <see cref="Int16Points{L}"/>.
/// </summary>
internal abstract unsafe class PairUnit : MatrixUnit
{
    /// <summary>Rows that it multiplies together.</summary>
    public const int RowMultiple = 8;

    /// <summary>
    /// Whether 3x3 convolutions and the gradients of their inputs are multiplied in 16-bit integers, which take 36 products for the 46 of bfloat16 and are three times as accurate.
    /// </summary>
    public virtual bool ConvolvesInIntegers => false;

    /// <summary>
    /// Whether integers multiply so much more quickly that other products are worth rounding too: 1x1 and strided convolutions (<see cref="Int16NarrowProduct"/>), the gradients of their weights
    /// (<see cref="Int16NarrowGradient"/>) and of 3x3 weights (<see cref="Int16GradientPoints"/>).
    /// </summary>
    public virtual bool MultipliesInIntegers => false;

    /// <summary>C = A·B or C += A·B for a number of rows.</summary>
    /// <param name="product">The factors; <see cref="BlockProduct.ASecond"/> is left alone.</param>
    /// <param name="rows">Rows of A and C, a multiple of <see cref="RowMultiple"/>.</param>
    public abstract void MultiplyRows(BlockProduct* product, int rows);

    /// <summary>C = Aᵀ·B or C += Aᵀ·B of factors whose rows 2i and 2i + 1 lie together as pairs of bfloat16, a pair for each column.</summary>
    /// <param name="product">
    /// The factors: strides are from a row of pairs to the next, of which there are <see cref="BlockProduct.Steps"/>; <see cref="BlockProduct.ASecond"/>,
    /// <see cref="BlockProduct.Offsets"/> and <see cref="BlockProduct.BStep"/> are left alone.
    /// </param>
    /// <param name="rows">Columns of A, rows of C; a multiple of <see cref="RowMultiple"/>.</param>
    public abstract void MultiplyPairs(BlockProduct* product, int rows);
}
