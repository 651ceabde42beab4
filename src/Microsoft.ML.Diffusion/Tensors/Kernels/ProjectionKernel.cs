using System.Runtime.CompilerServices;

namespace Microsoft.ML.Diffusion;

/// <summary>A linear layer's numbers, and where its results go.</summary>
/// <param name="weight">[D, E].</param>
/// <param name="bias">[D].</param>
/// <param name="outputs">D, a multiple of the lanes.</param>
internal readonly unsafe struct ProjectedLayer(float* weight, float* bias, int outputs)
{
    public float* Weight { get; } = weight;

    public float* Bias { get; } = bias;

    public int Outputs { get; } = outputs;

    /// <summary>[M, D]: the result, written; or its gradient.</summary>
    public float* Rows { get; init; }

    /// <summary>[D, E], added to.</summary>
    public float* WeightGradient { get; init; }

    /// <summary>[D], added to.</summary>
    public float* BiasGradient { get; init; }
}

/// <summary>
/// Many linear layers over the same few rows: what all blocks of a network make of one embedding. Weights are read as they lie. A row's result depends neither on the other
/// rows nor on the number of cores.
/// </summary>
/// <typeparam name="L">The register.</typeparam>
internal static unsafe class ProjectionKernel<L>
    where L : unmanaged, ILanes<L>
{
    /// <summary>Outputs of a layer that a core takes at a time: blocks of six rows.</summary>
    private const int Chunk = 96;

    /// <summary>y = x·Wᵀ + b for each layer.</summary>
    /// <param name="layers">The layers.</param>
    /// <param name="rows">M.</param>
    /// <param name="inputs">E, a multiple of the lanes.</param>
    /// <param name="x">[M, E].</param>
    public static void Apply(ProjectedLayer[] layers, int rows, int inputs, float* x)
    {
        // W·xᵀ, so that the rows are the columns of the right factor: it is laid out once for all layers.
        int columns = KernelMemory.RoundUp(rows, L.Count);
        float* filled = KernelMemory.Shared(2 * (nint)columns * inputs), panels = filled + (nint)columns * inputs;
        new ReadOnlySpan<float>(x, rows * inputs).CopyTo(new Span<float>(filled, rows * inputs));
        new Span<float>(filled + (nint)rows * inputs, (columns - rows) * inputs).Clear();
        Packing<L>.Transposed(filled, inputs, inputs, columns, panels);

        (int Layer, int First)[] parts = [.. layers.SelectMany((layer, i) => Enumerable.Range(0, (layer.Outputs + Chunk - 1) / Chunk).Select(chunk => (i, chunk * Chunk)))];
        Cores.Run(parts.Length, part => ApplyChunk(layers[parts[part].Layer], parts[part].First, rows, columns, inputs, panels));
    }

    /// <summary>The gradients of weights, biases and rows.</summary>
    /// <param name="layers">The layers.</param>
    /// <param name="rows">M.</param>
    /// <param name="inputs">E, a multiple of the lanes.</param>
    /// <param name="x">[M, E].</param>
    /// <param name="dx">[M up to a multiple of 4, E], added to.</param>
    public static void Backward(ProjectedLayer[] layers, int rows, int inputs, float* x, float* dx)
    {
        int padded = KernelMemory.RoundUp(rows, 4);
        var starts = new nint[layers.Length + 1];
        for (int i = 0; i < layers.Length; i++)
            starts[i + 1] = starts[i] + (nint)layers[i].Outputs * padded;
        float* turned = KernelMemory.Shared(starts[^1]);
        Cores.Run(layers.Length, i => TurnGradient(layers[i], rows, padded, turned + starts[i]));

        int registers = inputs / L.Count, parts = Math.Min(Cores.Count, registers);
        Cores.Run(parts, part =>
        {
            int first = registers * part / parts * L.Count, width = registers * (part + 1) / parts * L.Count - first;
            for (int i = 0; i < layers.Length; i++)
            {
                var layer = layers[i];
                MatrixKernel<L>.AddTransposed(layer.Rows, layer.Outputs, x + first, inputs, layer.WeightGradient + first, inputs, layer.Outputs, width, rows);
                MatrixKernel<L>.AddTransposed(turned + starts[i], padded, layer.Weight + first, inputs, dx + first, inputs, padded, width, layer.Outputs);
            }
        });
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void ApplyChunk(ProjectedLayer layer, int first, int rows, int columns, int inputs, float* panels)
    {
        int count = Math.Min(Chunk, layer.Outputs - first);
        float* products = KernelMemory.Own((nint)count * columns + L.Count * L.Count), square = products + (nint)count * columns;
        MatrixKernel<L>.Multiply(layer.Weight + (nint)first * inputs, inputs, panels, products, columns, count, columns, inputs);
        for (int row = 0; row < rows; row += L.Count)
        {
            int valid = Math.Min(L.Count, rows - row);
            for (int output = 0; output < count; output += L.Count)
            {
                L.Transpose(products + (nint)output * columns + row, columns, square, L.Count);
                L bias = L.Load(layer.Bias + first + output);
                float* to = layer.Rows + (nint)row * layer.Outputs + first + output;
                for (int i = 0; i < valid; i++, to += layer.Outputs)
                    L.Store(L.Load(square + i * L.Count) + bias, to);
            }
        }
    }

    /// <summary>The transpose of a layer's gradient, and the bias's.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void TurnGradient(ProjectedLayer layer, int rows, int padded, float* to)
    {
        for (int output = 0; output < layer.Outputs; output++, to += padded)
        {
            float* from = layer.Rows + output;
            float sum = 0;
            for (int row = 0; row < rows; row++, from += layer.Outputs)
            {
                to[row] = *from;
                sum += *from;
            }
            for (int row = rows; row < padded; row++)
                to[row] = 0;
            layer.BiasGradient[output] += sum;
        }
    }
}

/// <summary>The same in the widest registers that all sides fill.</summary>
internal static unsafe class ProjectionKernel
{
    /// <summary>Floats of the register; 0 where there is none.</summary>
    /// <param name="inputs">E.</param>
    /// <param name="outputs">D of each layer.</param>
    public static int LanesFor(long inputs, IEnumerable<long> outputs) => outputs.Min(count => LinearKernel.LanesFor(inputs, count));

    /// <inheritdoc cref="ProjectionKernel{L}.Apply"/>
    public static void Apply(ProjectedLayer[] layers, int rows, int inputs, float* x)
    {
        int lanes = LanesFor(inputs, layers.Select(layer => (long)layer.Outputs));
        if (lanes == 16)
            ProjectionKernel<Lanes512>.Apply(layers, rows, inputs, x);
        else if (lanes == 8)
            ProjectionKernel<Lanes256>.Apply(layers, rows, inputs, x);
        else
            ProjectionKernel<Lanes128>.Apply(layers, rows, inputs, x);
    }

    /// <inheritdoc cref="ProjectionKernel{L}.Backward"/>
    public static void Backward(ProjectedLayer[] layers, int rows, int inputs, float* x, float* dx)
    {
        int lanes = LanesFor(inputs, layers.Select(layer => (long)layer.Outputs));
        if (lanes == 16)
            ProjectionKernel<Lanes512>.Backward(layers, rows, inputs, x, dx);
        else if (lanes == 8)
            ProjectionKernel<Lanes256>.Backward(layers, rows, inputs, x, dx);
        else
            ProjectionKernel<Lanes128>.Backward(layers, rows, inputs, x, dx);
    }
}
