using System.Runtime.CompilerServices;

namespace Microsoft.ML.Diffusion;

/// <summary>y = x·Wᵀ + b for many rows of bfloat16, multiplied in 16-bit integers: as <see cref="BFloat16Product"/>, where integers take less time, and with more bits of the weight.</summary>
internal static unsafe class Int16NarrowProduct
{
    /// <summary>Rows that are worked on together: whole blocks of six, and lines of moments.</summary>
    private const int Chunk = 6 * LinearKernel.Line;

    /// <summary>Columns of a panel.</summary>
    private const int Panel = MatrixUnit.Side;

    /// <summary>Of fewer outputs, rounding a row costs what its products gain.</summary>
    private const int LeastOutputs = 64;

    /// <summary>Whether a unit would rather have such a product taken here.</summary>
    public static bool Takes(MatrixUnit unit, int outputs) => unit is PairUnit { MultipliesInIntegers: true } && outputs >= LeastOutputs;

    /// <summary>y = x·Wᵀ + b + addend.</summary>
    /// <param name="rows">Their number; even, at least 4.</param>
    /// <param name="inputs">Columns of x, a multiple of 32.</param>
    /// <param name="outputs">Columns of y, a multiple of 32.</param>
    /// <param name="x">[rows, inputs]; not read where there is a <paramref name="source"/>.</param>
    /// <param name="source">Computes x; or null.</param>
    /// <param name="weight">[outputs, inputs]; transposed: [inputs, outputs].</param>
    /// <param name="transposed">Whether it lies the other way.</param>
    /// <param name="bias">[outputs] or null.</param>
    /// <param name="addend">[rows, outputs] or null.</param>
    /// <param name="y">[rows, outputs], written.</param>
    /// <param name="moments">Lines that divide <see cref="LinearKernel.Line"/>, filled where they are wanted.</param>
    public static void Apply(
        nint rows, int inputs, int outputs, ImageMemory x, BFloat16Rows? source, float* weight, bool transposed, float* bias, ushort* addend, ushort* y, MomentLines moments = default)
    {
        float* panels = Pack(inputs, outputs, weight, transposed);
        int chunks = (int)Math.Max(1, rows / Chunk);
        Cores.Run(chunks, chunk =>
        {
            nint first = (nint)chunk * Chunk, words = Int16Layout.Words(inputs);
            // The last chunk takes what is left, so that none is too small for the kernel.
            int count = chunk == chunks - 1 ? (int)(rows - first) : Chunk;
            float* sums = KernelMemory.Own(count * (Panel + words + inputs / 2 + Int16Layout.Block + 1));
            int* integers = (int*)(sums + count * Panel), targets = integers + count * words;
            float* room = (float*)(targets + count);
            for (int row = 0; row < count; row++)
                targets[row] = row;
            if (source is not null)
            {
                source.Read(first, count, (ushort*)room);
                Round(new(room, new(1, 1, count, inputs, IsNarrow: true)), 0, count, integers, room + count * inputs / 2);
            }
            else
            {
                Round(x, first, count, integers, room);
            }
            var to = new ProductRows(y + first * outputs, outputs, bias, addend is null ? null : addend + first * outputs);
            for (int column = 0; column < outputs; column += Panel)
            {
                int* panel = (int*)panels + column * words;
                BFloat16Blocks.Call(targets, count, to, column);
                Int16Kernel<Lanes512>.Multiply(integers, panel, sums, Panel, count, Panel, inputs, column + Panel < outputs ? panel + Panel * words : null);
                BFloat16Blocks.Finish(sums, targets, count, to, column);
            }
            for (nint row = first; moments.AreWanted && row < first + count; row += moments.Pixels)
                moments.Measure<Lanes512, NarrowElement>((NarrowElement*)y, row / moments.Pixels, 0, outputs);
        });
    }

    /// <summary>The weight's panels: kept ones, or in memory that the cores share.</summary>
    private static float* Pack(int inputs, int outputs, float* weight, bool transposed)
    {
        nint floats = Int16Factors<Lanes512>.PanelFloats(inputs, outputs), panel = Panel * Int16Layout.Words(inputs);
        float* panels = KeptWeights.Find(weight, transposed ? WeightForm.TurnedIntegers : WeightForm.Integers, floats, out bool isThere);
        if (isThere)
            return panels;
        panels = panels is null ? KernelMemory.Weights(floats) : panels;
        Cores.Run(outputs / Panel, part =>
        {
            float* from = weight + (nint)part * Panel * (transposed ? 1 : inputs);
            Int16Factors<Lanes512>.Pack(from, transposed ? outputs : inputs, !transposed, inputs, Panel, panels + part * panel, Int16WideLayout.IsQuicker);
        });
        return panels;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Round(ImageMemory x, nint first, int rows, int* to, float* room)
    {
        int inputs = x.Shape.Channels;
        nint words = Int16Layout.Words(inputs);
        for (int c = 0; c < inputs; c += Int16Layout.Block, to += Int16Layout.Start(Int16Layout.Block))
        {
            ChannelRange block = new(c, Math.Min(inputs, c + Int16Layout.Block));
            // Joined channels lie in two pieces, which may meet in a block.
            var left = x.Run<NarrowElement>(first, block);
            var right = left.Count < block.Count ? x.Run<NarrowElement>(first, block with { First = c + left.Count }) : default;
            if (Int16WideLayout.IsQuicker)
            {
                Int16Layout.Rows(left, right, rows, to, words);
                continue;
            }
            for (int row = 0; row < rows; row++)
            {
                NarrowElement.Read(left.Row(row), left.Count, room + row * block.Count);
                NarrowElement.Read(right.Row(row), right.Count, room + row * block.Count + left.Count);
            }
            Int16Layout.Rows(room, block.Count, rows, block.Count, to, words);
        }
    }
}
