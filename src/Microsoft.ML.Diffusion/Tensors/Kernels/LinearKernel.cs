using System.Runtime.CompilerServices;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// Products of many rows of float32 with a weight, in the widest registers that its sides fill, or multiplied in integers (<see cref="Int16Products"/>); what belongs to their surroundings, also of bfloat16.
/// </summary>
internal static unsafe class LinearKernel
{
    /// <summary>Rows that are worked on together: whole blocks of six, a left factor that stays in the first-level cache.</summary>
    public const int Chunk = 3 * Line;

    /// <summary>Rows whose moments are measured together, at the most.</summary>
    public const int Line = 16;

    /// <summary>Floats of the register for a weight; 0 where there is none.</summary>
    public static int LanesFor(long inputs, long outputs) => Math.Min(Lanes.Dividing(inputs), Lanes.Dividing(outputs));

    /// <summary>Whether the kernel takes so many rows.</summary>
    public static bool Takes(long rows) => rows >= 4 && rows % 2 == 0;

    /// <inheritdoc cref="LinearProduct{L, P}.Apply"/>
    public static void Apply(nint rows, int inputs, int outputs, float* x, RowSource? source, float* weight, bool transposed, float* bias, float* addend, float* y, MomentLines moments = default)
    {
        int lanes = LanesFor(inputs, outputs);
        if (lanes == 16 && Int16Products.Take(inputs, outputs))
            LinearProduct<Lanes512, Int16Factors<Lanes512>>.Apply(rows, inputs, outputs, x, source, weight, transposed, bias, addend, y, moments);
        else if (lanes == 16)
            LinearProduct<Lanes512, WideFactors<Lanes512>>.Apply(rows, inputs, outputs, x, source, weight, transposed, bias, addend, y, moments);
        else if (lanes == 8 && Int16Products.Take(inputs, outputs))
            LinearProduct<Lanes256, Int16Factors<Lanes256>>.Apply(rows, inputs, outputs, x, source, weight, transposed, bias, addend, y, moments);
        else if (lanes == 8)
            LinearProduct<Lanes256, WideFactors<Lanes256>>.Apply(rows, inputs, outputs, x, source, weight, transposed, bias, addend, y, moments);
        else
            LinearProduct<Lanes128, WideFactors<Lanes128>>.Apply(rows, inputs, outputs, x, source, weight, transposed, bias, addend, y, moments);
    }

    /// <inheritdoc cref="LinearProduct{L, P}.WeightGradient"/>
    public static void WeightGradient(nint rows, int inputs, int outputs, float* x, RowSource? source, float* dy, float* dWeight, float* dBias)
    {
        int lanes = LanesFor(inputs, outputs);
        if (lanes == 16 && Int16Products.Take(inputs, outputs))
            LinearProduct<Lanes512, Int16Factors<Lanes512>>.WeightGradient(rows, inputs, outputs, x, source, dy, dWeight, dBias);
        else if (lanes == 16)
            LinearProduct<Lanes512, WideFactors<Lanes512>>.WeightGradient(rows, inputs, outputs, x, source, dy, dWeight, dBias);
        else if (lanes == 8 && Int16Products.Take(inputs, outputs))
            LinearProduct<Lanes256, Int16Factors<Lanes256>>.WeightGradient(rows, inputs, outputs, x, source, dy, dWeight, dBias);
        else if (lanes == 8)
            LinearProduct<Lanes256, WideFactors<Lanes256>>.WeightGradient(rows, inputs, outputs, x, source, dy, dWeight, dBias);
        else
            LinearProduct<Lanes128, WideFactors<Lanes128>>.WeightGradient(rows, inputs, outputs, x, source, dy, dWeight, dBias);
    }

    /// <summary>The gradient of a strided convolution's input: every window's gradient, added where its pixels lie.</summary>
    /// <param name="size">The sizes.</param>
    /// <param name="windows">[N·H'·W', k·k·C].</param>
    /// <param name="dx">[N, H, W, C], written.</param>
    public static void AddWindows(WindowSize size, float* windows, float* dx) => Cores.Run(size.Images, image =>
    {
        nint outputs = size.Outputs / size.Images, floats = (nint)size.Height * size.Width * size.Channels;
        int segment = size.Kernel * size.Channels;
        new Span<float>(dx + image * floats, checked((int)floats)).Clear();
        float* from = windows + image * outputs * size.Kernel * segment;
        for (nint output = image * outputs; output < (image + 1) * outputs; output++)
        {
            var (_, y, x) = size.Window(output);
            int left = Math.Max(0, -x), right = Math.Min(size.Kernel, size.Width - x);
            for (int row = 0; row < size.Kernel; row++, y++, from += segment)
            {
                if (y < 0 || y >= size.Height || right <= left)
                    continue;
                SumKernel.Add(from + left * size.Channels, (right - left) * size.Channels, dx + (((nint)image * size.Height + y) * size.Width + x + left) * size.Channels);
            }
        }
    });

    /// <summary>The same of bfloat16, summed in float32 some rows of an image at a time; channels are a multiple of 16.</summary>
    /// <param name="size">The sizes.</param>
    /// <param name="windows">[N·H'·W', k·k·C].</param>
    /// <param name="dx">[N, H, W, C], written.</param>
    public static void AddWindows(WindowSize size, ushort* windows, ushort* dx)
    {
        const int Together = 1 << 17;
        int rowNumbers = size.Width * size.Channels, rows = Math.Clamp(Together / rowNumbers, 1, size.Height), bands = (size.Height + rows - 1) / rows;
        Cores.Run(size.Images * bands, part =>
        {
            int image = part / bands, top = part % bands * rows, height = Math.Min(rows, size.Height - top), segment = size.Kernel * size.Channels;
            float* sums = KernelMemory.Own((nint)rows * rowNumbers);
            new Span<float>(sums, height * rowNumbers).Clear();
            // Rows of outputs whose windows reach into the band.
            int first = Math.Max(0, (top + size.Before - size.Kernel) / size.Stride), last = Math.Min(size.OutputHeight - 1, (top + height - 1 + size.Before) / size.Stride);
            nint output = ((nint)image * size.OutputHeight + first) * size.OutputWidth, end = ((nint)image * size.OutputHeight + last + 1) * size.OutputWidth;
            for (; output < end; output++)
            {
                var (_, y, x) = size.Window(output);
                int left = Math.Max(0, -x), right = Math.Min(size.Kernel, size.Width - x);
                for (int row = 0; row < size.Kernel; row++, y++)
                {
                    if (y >= top && y < top + height && right > left)
                    {
                        NarrowElement* window = (NarrowElement*)windows + (output * size.Kernel + row) * segment + left * size.Channels;
                        AddRow(window, (right - left) * size.Channels, sums + (nint)(y - top) * rowNumbers + (x + left) * size.Channels);
                    }
                }
            }
            BFloat16Layout.Round(sums, height * rowNumbers, dx + ((nint)image * size.Height + top) * rowNumbers);
        });
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void AddRow(NarrowElement* from, int count, float* to)
    {
        for (int i = 0; i < count; i += Lanes512.Count)
            Lanes512.Store(Lanes512.Load(to + i) + NarrowElement.Load(from + i), to + i);
    }
}
