using System.Runtime.CompilerServices;

namespace Microsoft.ML.Diffusion;

/// <summary>y = x·Wᵀ + b for many rows of bfloat16, with float32 sums.</summary>
internal static unsafe class BFloat16Product
{
    /// <summary>Rows that are worked on together.</summary>
    private const int Chunk = 4 * MatrixUnit.Side;

    /// <summary>y = x·Wᵀ + b + addend.</summary>
    /// <param name="unit">Multiplies.</param>
    /// <param name="rows">Their number.</param>
    /// <param name="inputs">Columns of x.</param>
    /// <param name="outputs">Columns of y.</param>
    /// <param name="x">[rows, inputs]; not read where there is a <paramref name="source"/>.</param>
    /// <param name="source">Computes x; or null.</param>
    /// <param name="weight">[outputs, inputs]; transposed: [inputs, outputs].</param>
    /// <param name="transposed">Whether it lies the other way.</param>
    /// <param name="bias">[outputs] or null.</param>
    /// <param name="addend">[rows, outputs] or null.</param>
    /// <param name="y">[rows, outputs], written.</param>
    /// <param name="moments">Lines that divide <see cref="LinearKernel.Line"/>, filled where they are wanted.</param>
    public static void Apply(
        MatrixUnit unit, nint rows, int inputs, int outputs, ImageMemory x, BFloat16Rows? source, float* weight, bool transposed, float* bias, ushort* addend, ushort* y,
        MomentLines moments = default)
    {
        // Blocks are multiplied where they lie, which joined channels do not in one piece.
        source ??= x.Joined is null ? null : new BFloat16JoinedRows(x);
        ushort* whole = source is null ? x.Narrow : null;
        var size = new WeightSize(outputs, 1, inputs);
        var packed = PackedWeight.Take(weight, transposed ? WeightForm.TurnedTaps : WeightForm.Taps, size, phases: 1, out bool isThere);
        if (!isThere)
            packed.Fill(weight, transposed);
        Cores.Run((int)((rows + Chunk - 1) / Chunk), chunk =>
        {
            nint first = (nint)chunk * Chunk;
            int count = (int)Math.Min(Chunk, rows - first);
            float* sums = KernelMemory.Own(BFloat16Blocks.BlockFloats + Chunk + (nint)Chunk * inputs / 2), targets = sums + BFloat16Blocks.BlockFloats;
            ushort* from = (ushort*)(targets + Chunk);
            if (source is not null)
                source.Read(first, count, from);
            else if (count % MatrixUnit.Side == 0)
                from = whole + first * inputs;
            else
                // Whole blocks are read: past the last row there may be no memory.
                BFloat16Source.Copy(whole + first * inputs, from, count * inputs);
            Multiply(unit, size, count, from, packed.At(0, 0), new(y + first * outputs, outputs, bias, addend is null ? null : addend + first * outputs), (int*)targets, sums);
            for (nint row = first; moments.AreWanted && row < first + count; row += moments.Pixels)
                moments.Measure<Lanes512, NarrowElement>((NarrowElement*)y, row / moments.Pixels, 0, outputs);
        });
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Multiply(MatrixUnit unit, WeightSize size, int rows, ushort* x, ushort* weight, in ProductRows to, int* targets, float* sums)
    {
        nint* offsets = stackalloc nint[size.Steps];
        for (int step = 0; step < size.Steps; step++)
            offsets[step] = step * MatrixUnit.Depth * sizeof(ushort);
        for (int row = 0; row < rows; row++)
            targets[row] = row;
        unit.Begin();
        BFloat16Blocks.Multiply(unit, x, size.Inputs * sizeof(ushort), targets, rows, offsets, size.Steps, weight, to, 0, size.Outputs, sums);
        unit.End();
    }
}
