using System.Runtime.CompilerServices;

namespace Microsoft.ML.Diffusion;

/// <summary>y = x·Wᵀ + b for many rows: 1x1 convolutions, and larger ones over their windows. Columns fill whole registers.</summary>
/// <typeparam name="L">The register.</typeparam>
/// <typeparam name="P">How the factors lie, and what multiplies them.</typeparam>
internal static unsafe class LinearProduct<L, P>
    where L : unmanaged, ILanes<L>
    where P : struct, IProductFactors<L>
{
    /// <summary>y = x·Wᵀ + b + addend.</summary>
    /// <param name="rows">Their number; even, at least 4.</param>
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
        nint rows, int inputs, int outputs, float* x, RowSource? source, float* weight, bool transposed, float* bias, float* addend, float* y, MomentLines moments)
    {
        float* panels = KernelMemory.Shared(P.PanelFloats(inputs, outputs));
        P.Pack(weight, transposed ? outputs : inputs, !transposed, inputs, outputs, panels);
        // The last chunk takes what is left, so that none is too small for the kernel.
        int chunks = (int)Math.Max(1, rows / LinearKernel.Chunk);
        Cores.Run(chunks, chunk =>
        {
            nint first = (nint)chunk * LinearKernel.Chunk;
            int count = chunk == chunks - 1 ? (int)(rows - first) : LinearKernel.Chunk;
            nint read = source is null ? 0 : (nint)count * inputs;
            float* from = x + first * inputs, room = KernelMemory.Own(read + P.RowFloats(count, inputs));
            if (source is not null)
            {
                source.Read(first, count, room);
                from = room;
            }
            P.Multiply(from, inputs, panels, y + first * outputs, outputs, count, outputs, inputs, room + read);
            Finish(y + first * outputs, count, outputs, bias, addend is null ? null : addend + first * outputs);
            for (nint row = first; moments.AreWanted && row < first + count; row += moments.Pixels)
                moments.Measure<L, WideElement<L>>((WideElement<L>*)y, row / moments.Pixels, 0, outputs);
        });
    }

    /// <summary>The gradients of weight and bias. The result does not depend on the number of cores.</summary>
    /// <param name="rows">Their number.</param>
    /// <param name="inputs">Columns of x.</param>
    /// <param name="outputs">Columns of dy.</param>
    /// <param name="x">[rows, inputs]; null where <paramref name="source"/> gives it.</param>
    /// <param name="source">Computes x; or null.</param>
    /// <param name="dy">[rows, outputs].</param>
    /// <param name="dWeight">[outputs, inputs], added to.</param>
    /// <param name="dBias">[outputs], added to; or null.</param>
    public static void WeightGradient(nint rows, int inputs, int outputs, float* x, RowSource? source, float* dy, float* dWeight, float* dBias)
    {
        int blocks = Math.Min(Cores.Count, outputs / L.Count), registers = outputs / L.Count;
        Cores.Run(blocks, block =>
        {
            int first = registers * block / blocks * L.Count, count = registers * (block + 1) / blocks * L.Count - first;
            nint read = source is null ? 0 : (nint)P.MostRows * inputs;
            float* room = KernelMemory.Own(read + P.TransposedFloats(P.MostRows, count, inputs));
            for (nint row = 0; row < rows; row += P.MostRows)
            {
                int taken = (int)Math.Min(P.MostRows, rows - row);
                float* from = x + row * inputs, gradient = dy + row * outputs + first;
                if (source is not null)
                {
                    source.Read(row, taken, room);
                    from = room;
                }
                P.AddTransposed(gradient, outputs, from, inputs, dWeight + (nint)first * inputs, inputs, count, inputs, taken, room + read);
                if (dBias is not null)
                    SumKernel.AddRows<L>(gradient, taken, count, outputs, dBias + first);
            }
        });
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Finish(float* y, int rows, int columns, float* bias, float* addend)
    {
        if (bias is null && addend is null)
            return;
        for (int row = 0; row < rows; row++, y += columns)
        {
            for (int c = 0; c < columns; c += L.Count)
            {
                L value = L.Load(y + c);
                if (bias is not null)
                    value += L.Load(bias + c);
                if (addend is not null)
                    value += L.Load(addend + c);
                L.Store(value, y + c);
            }
            if (addend is not null)
                addend += columns;
        }
    }
}
