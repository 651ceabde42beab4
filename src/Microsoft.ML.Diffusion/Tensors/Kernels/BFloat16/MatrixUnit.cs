using System.Runtime.InteropServices;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// What multiplies small bfloat16 matrices and sums in float32: <see cref="AmxUnit"/> or <see cref="DotUnit"/>, where the processor can. The kernels of this folder run over one,
/// so that their layouts are tested on processors without.
/// </summary>
internal abstract unsafe class MatrixUnit
{
    /// <summary>Rows and columns of the block of sums that a product works on.</summary>
    public const int Side = 32;

    /// <summary>Numbers of a row of the left factor that one step reads.</summary>
    public const int Depth = 32;

    /// <summary>bfloat16 numbers of the right factor that one step reads: <see cref="Depth"/> rows in pairs, <see cref="Side"/> columns.</summary>
    public const int StepNumbers = Depth * Side;

    [ThreadStatic] private static MatrixUnit? s_current;

    /// <summary>What the calling thread's kernels multiply with; null: float32 in vector registers.</summary>
    public static MatrixUnit? Current => s_current;

    /// <summary>The processor's own; null where it has none that the system lets us use.</summary>
    public static MatrixUnit? OfThisProcessor { get; } = (MatrixUnit?)AmxUnit.TryCreate() ?? DotUnit.TryCreate();

    /// <summary>Has the calling thread's kernels multiply with a unit until the result is disposed, on the same thread.</summary>
    /// <param name="unit">The unit; null: none.</param>
    public static Use Enter(MatrixUnit? unit)
    {
        var use = new Use(s_current);
        s_current = unit;
        return use;
    }

    /// <summary>Whether the sides of a product fill whole blocks.</summary>
    public static bool Takes(long inputs, long outputs) => inputs % Depth == 0 && outputs % Side == 0;

    /// <summary>Prepares the calling thread; before its first product, and before <see cref="End"/>.</summary>
    public abstract void Begin();

    /// <summary>C = A·B, or C += A·B.</summary>
    public abstract void Multiply(BlockProduct* product);

    /// <summary>Gives the unit's registers up.</summary>
    public abstract void End();

    /// <summary>A unit in use.</summary>
    /// <param name="before">What was in use before.</param>
    internal readonly struct Use(MatrixUnit? before) : IDisposable
    {
        /// <inheritdoc/>
        public void Dispose() => s_current = before;
    }
}

/// <summary>
/// One block: <see cref="MatrixUnit.Side"/> rows of A times as many columns of B. Strides and offsets count bytes. Machine code reads it as it lies here.
/// </summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct BlockProduct
{
    /// <summary>The left factor's first row: bfloat16, <see cref="MatrixUnit.Depth"/> numbers a row and step.</summary>
    public ushort* A;

    /// <summary>From a row of A to the next.</summary>
    public nint AStride;

    /// <summary>[Steps]: where each step finds its numbers, counted from <see cref="A"/>.</summary>
    public nint* Offsets;

    /// <summary>How many steps of <see cref="MatrixUnit.Depth"/> numbers; at least one.</summary>
    public nint Steps;

    /// <summary>The right factor: rows 2i and 2i + 1 lie together as pairs of bfloat16, a pair for each of 16 columns.</summary>
    public ushort* B;

    /// <summary>From a row of pairs to the next.</summary>
    public nint BStride;

    /// <summary>From the first 16 columns to the other 16.</summary>
    public nint BSecond;

    /// <summary>From a step to the next.</summary>
    public nint BStep;

    /// <summary>The sums, float32.</summary>
    public float* C;

    /// <summary>From a row of C to the next.</summary>
    public nint CStride;

    /// <summary>Not 0: added to what C holds.</summary>
    public nint Accumulate;

    /// <summary>From A's first 16 rows to the other 16.</summary>
    public nint ASecond;

    /// <summary>From C to the sums that are added to, where they are not C's own; a <see cref="PairUnit"/> alone heeds it.</summary>
    public nint Start;
}
