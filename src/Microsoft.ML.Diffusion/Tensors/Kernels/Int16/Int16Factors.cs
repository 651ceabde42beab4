using System.Runtime.CompilerServices;

namespace Microsoft.ML.Diffusion;

/// <summary>Products of 16-bit integers, whose factors are rounded block by block (<see cref="Int16Layout"/>) as they are read.</summary>
internal readonly unsafe struct Int16Factors : IProductFactors<Lanes256>
{
    private const int N = 8;

    /// <inheritdoc/>
    /// <remarks>One block.</remarks>
    public static int GradientChunk => Int16Layout.Block;

    public static nint PanelFloats(int inputs, int outputs) => outputs * Int16Layout.Words(inputs);

    public static nint RowFloats(int rows, int inputs) => rows * Int16Layout.Words(inputs);

    public static nint GradientFloats(int inputs, int outputs) => (inputs + outputs) * Int16Layout.Words(GradientChunk);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Pack(float* weight, bool transposed, int inputs, int outputs, float* panels)
    {
        float* turned = stackalloc float[Int16Layout.Block * N];
        for (int output = 0; output < outputs; output += N)
        {
            int start = MatrixKernel<Lanes256>.PanelStart(outputs, output), width = MatrixKernel<Lanes256>.PanelAt(outputs, start);
            int* panel = (int*)panels + start * Int16Layout.Words(inputs) + output - start;
            for (int first = 0; first < inputs; first += Int16Layout.Block)
            {
                int count = Math.Min(Int16Layout.Block, inputs - first);
                int* to = panel + Int16Layout.Start(first) * width;
                if (transposed)
                {
                    Int16Layout.Columns(weight + (nint)first * outputs + output, outputs, count, to, width);
                    continue;
                }
                for (int i = 0; i < count; i += N)
                    Lanes256.Transpose(weight + (nint)output * inputs + first + i, inputs, turned + i * N, N);
                Int16Layout.Columns(turned, N, count, to, width);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Multiply(float* x, float* panels, float* y, int rows, int inputs, int outputs, float* room)
    {
        nint words = Int16Layout.Words(inputs);
        int* to = (int*)room;
        for (int row = 0; row < rows; row++, x += inputs, to += words)
        {
            for (int first = 0; first < inputs; first += Int16Layout.Block)
                Int16Layout.Row(x + first, Math.Min(Int16Layout.Block, inputs - first), to + Int16Layout.Start(first));
        }
        Int16Kernel.Multiply((int*)room, (int*)panels, y, outputs, rows, outputs, inputs);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void AddTransposed(float* dy, int strideDy, float* x, float* sums, int rows, int inputs, int outputs, float* room)
    {
        int* left = (int*)room, right = left + outputs * Int16Layout.Words(rows);
        for (int c = 0; c < outputs; c += N)
            Int16Layout.Columns(dy + c, strideDy, rows, left + c, outputs);
        for (int c = 0; c < inputs; c += N)
            Int16Layout.Columns(x + c, inputs, rows, right + c, inputs);
        Int16Kernel.AddTransposed(left, outputs, right, inputs, sums, inputs, outputs, inputs, rows / 2);
    }
}
