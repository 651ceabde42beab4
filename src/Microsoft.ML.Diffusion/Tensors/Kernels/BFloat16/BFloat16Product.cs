using System.Runtime.CompilerServices;

namespace Microsoft.ML.Diffusion;

/// <summary>y = x·Wᵀ + b for many rows, bfloat16 with float32 sums.</summary>
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
    public static void Apply(
        MatrixUnit unit, nint rows, int inputs, int outputs, float* x, RowSource? source, float* weight, bool transposed, float* bias, float* addend, float* y)
    {
        var size = new WeightSize(outputs, 1, inputs);
        object call = new();
        Cores.Run((int)((rows + Chunk - 1) / Chunk), chunk =>
        {
            nint first = (nint)chunk * Chunk, numbers = (nint)Chunk * inputs;
            int count = (int)Math.Min(Chunk, rows - first);
            float* packed = KernelMemory.Own((nint)inputs * outputs / 2 + numbers / 2 + (source is null ? 0 : numbers) + Chunk + BFloat16Blocks.BlockFloats);
            float* narrow = packed + (nint)inputs * outputs / 2, sums = narrow + numbers / 2, targets = sums + BFloat16Blocks.BlockFloats, computed = targets + Chunk;
            if (s_packed != call)
            {
                BFloat16Layout.Weight(weight, size, transposed, 0, outputs, (ushort*)packed);
                s_packed = call;
            }
            float* from = x + first * inputs;
            if (source is not null)
            {
                from = computed;
                source.Read(first, count, from);
            }
            BFloat16Layout.Row(from, (nint)count * inputs, (ushort*)narrow);
            Multiply(unit, size, count, (ushort*)narrow, (ushort*)packed, new(y + first * outputs, outputs, bias, addend is null ? null : addend + first * outputs), (int*)targets, sums);
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
