using System.Runtime.CompilerServices;

namespace Microsoft.ML.Diffusion;

/// <summary>y = x·Wᵀ + b for many rows: 1x1 convolutions, and larger ones over their windows. Columns fill whole registers.</summary>
/// <typeparam name="L">The register.</typeparam>
internal static unsafe class LinearProduct<L>
    where L : unmanaged, ILanes<L>
{
    /// <summary>Rows over which a weight's gradient is summed at a time.</summary>
    private const int GradientChunk = 240;

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
        float* panels = KernelMemory.Shared((nint)inputs * outputs);
        Pack(weight, transposed, inputs, outputs, panels);
        // The last chunk takes what is left, so that none is too small for the kernel.
        int chunks = (int)Math.Max(1, rows / LinearKernel.Chunk);
        Cores.Run(chunks, chunk =>
        {
            nint first = (nint)chunk * LinearKernel.Chunk;
            int count = chunk == chunks - 1 ? (int)(rows - first) : LinearKernel.Chunk;
            float* from = x + first * inputs;
            if (source is not null)
            {
                from = KernelMemory.Own((nint)2 * LinearKernel.Chunk * inputs);
                source.Read(first, count, from);
            }
            MatrixKernel<L>.Multiply(from, inputs, panels, y + first * outputs, outputs, count, outputs, inputs);
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
    /// <param name="dBias">[outputs], written; or null.</param>
    public static void WeightGradient(nint rows, int inputs, int outputs, float* x, RowSource? source, float* dy, float* dWeight, float* dBias)
    {
        int blocks = Math.Min(Cores.Count, outputs / L.Count), registers = outputs / L.Count;
        Cores.Run(blocks, block =>
        {
            int first = registers * block / blocks * L.Count, count = registers * (block + 1) / blocks * L.Count - first;
            if (dBias is not null)
                new Span<float>(dBias + first, count).Clear();
            for (nint row = 0; row < rows; row += GradientChunk)
            {
                int taken = (int)Math.Min(GradientChunk, rows - row);
                float* from = x + row * inputs, gradient = dy + row * outputs + first;
                if (source is not null)
                {
                    from = KernelMemory.Own((nint)GradientChunk * inputs);
                    source.Read(row, taken, from);
                }
                MatrixKernel<L>.AddTransposed(gradient, outputs, from, inputs, dWeight + (nint)first * inputs, inputs, count, inputs, taken);
                if (dBias is not null)
                    AddRows(gradient, taken, count, outputs, dBias + first);
            }
        });
    }

    /// <summary>Lays a right factor out in panels.</summary>
    /// <param name="weight">[outputs, inputs]; transposed: [inputs, outputs].</param>
    /// <param name="transposed">Whether it lies the other way.</param>
    /// <param name="inputs">Rows of the factor.</param>
    /// <param name="outputs">Its columns.</param>
    /// <param name="panels">[inputs·outputs], written.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Pack(float* weight, bool transposed, int inputs, int outputs, float* panels)
    {
        if (transposed)
            Packing<L>.Rows(weight, outputs, inputs, outputs, panels);
        else
            Packing<L>.Transposed(weight, inputs, inputs, outputs, panels);
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

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void AddRows(float* x, int rows, int columns, int stride, float* sums)
    {
        for (int c = 0; c < columns; c += L.Count)
        {
            L sum = L.Load(sums + c);
            float* from = x + c;
            for (int row = 0; row < rows; row++, from += stride)
                sum += L.Load(from);
            L.Store(sum, sums + c);
        }
    }
}
