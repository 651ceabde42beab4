using System.Runtime.CompilerServices;

namespace Microsoft.ML.Diffusion;

/// <summary>y = x·Wᵀ + b for many rows of bfloat16, with float32 sums.</summary>
internal static unsafe class BFloat16Product
{
    /// <summary>Rows that are worked on together.</summary>
    private const int Chunk = 4 * MatrixUnit.Side;

    /// <summary>Whose weight lies packed at the beginning of this thread's own memory.</summary>
    [ThreadStatic] private static object? s_packed;

    /// <summary>y = x·Wᵀ + b + addend.</summary>
    /// <param name="unit">Multiplies.</param>
    /// <param name="rows">Their number.</param>
    /// <param name="inputs">Columns of x.</param>
    /// <param name="outputs">Columns of y.</param>
    /// <param name="x">[rows, inputs]; null where <paramref name="source"/> gives it.</param>
    /// <param name="source">Computes x; or null.</param>
    /// <param name="weight">[outputs, inputs]; transposed: [inputs, outputs].</param>
    /// <param name="transposed">Whether it lies the other way.</param>
    /// <param name="bias">[outputs] or null.</param>
    /// <param name="addend">[rows, outputs] or null.</param>
    /// <param name="y">[rows, outputs], written.</param>
    /// <param name="moments">Lines that divide <see cref="LinearKernel.Line"/>, filled where they are wanted.</param>
    public static void Apply(
        MatrixUnit unit, nint rows, int inputs, int outputs, ushort* x, BFloat16Rows? source, float* weight, bool transposed, float* bias, ushort* addend, ushort* y,
        MomentLines moments = default)
    {
        var size = new WeightSize(outputs, 1, inputs);
        nint weightFloats = (nint)inputs * outputs / 2;
        ushort* kept = (ushort*)KeptWeights.Find(weight, transposed ? WeightForm.TurnedTaps : WeightForm.Taps, weightFloats, out bool isThere);
        if (kept is not null && !isThere)
            BFloat16Layout.Weight(weight, size, transposed, 0, outputs, kept);
        object call = new();
        Cores.Run((int)((rows + Chunk - 1) / Chunk), chunk =>
        {
            nint first = (nint)chunk * Chunk;
            int count = (int)Math.Min(Chunk, rows - first);
            float* packed = KernelMemory.Own(weightFloats + (nint)Chunk * inputs / 2 + Chunk + BFloat16Blocks.BlockFloats);
            float* sums = packed + weightFloats, targets = sums + BFloat16Blocks.BlockFloats;
            ushort* from = (ushort*)(targets + Chunk);
            if (kept is null && s_packed != call)
            {
                BFloat16Layout.Weight(weight, size, transposed, 0, outputs, (ushort*)packed);
                s_packed = call;
            }
            if (source is not null)
                source.Read(first, count, from);
            else if (count % MatrixUnit.Side == 0)
                from = x + first * inputs;
            else
                // Whole blocks are read: past the last row there may be no memory.
                BFloat16Source.Copy(x + first * inputs, from, count * inputs);
            Multiply(unit, size, count, from, kept is null ? (ushort*)packed : kept, new(y + first * outputs, outputs, bias, addend is null ? null : addend + first * outputs), (int*)targets, sums);
            for (nint row = first; moments.AreWanted && row < first + count; row += moments.Pixels)
                moments.Measure<Lanes512, NarrowElement>((NarrowElement*)y, row / moments.Pixels, 0, outputs);
        });
        s_packed = null;
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
