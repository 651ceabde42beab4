using System.Runtime.CompilerServices;

namespace Microsoft.ML.Diffusion;

/// <summary>The left factor of a product, some rows at a time: computed as it is read. Read by several threads at once.</summary>
internal abstract unsafe class RowSource
{
    /// <summary>Writes some rows.</summary>
    /// <param name="first">The first.</param>
    /// <param name="count">How many.</param>
    /// <param name="to">[count, columns].</param>
    public abstract void Read(nint first, int count, float* to);
}

/// <summary>The pixels of a batch through group norm, FiLM and SiLU.</summary>
/// <param name="norm">The norm, measured.</param>
internal sealed unsafe class NormRows(NormBatch norm) : RowSource
{
    /// <inheritdoc/>
    public override void Read(nint first, int count, float* to) => norm.Apply(first, count, to);
}

/// <summary>The pixels of a batch that lies in two pieces.</summary>
/// <param name="x">[N, H, W, C].</param>
internal sealed unsafe class JoinedRows(ImageMemory x) : RowSource
{
    /// <inheritdoc/>
    public override void Read(nint first, int count, float* to) => x.Copy(first, count, to);
}

/// <summary>For each output of a strided convolution the pixels that it sees, side by side; zero outside the image.</summary>
/// <param name="pixels">[N, H, W, C].</param>
/// <param name="size">The sizes.</param>
internal sealed unsafe class WindowRows(float* pixels, WindowSize size) : RowSource
{
    /// <inheritdoc/>
    public override void Read(nint first, int count, float* to) => Copy(pixels, size, first, count, to);

    /// <summary>Writes some rows of numbers of any kind.</summary>
    /// <param name="pixels">[N, H, W, C].</param>
    /// <param name="size">The sizes.</param>
    /// <param name="first">The first output.</param>
    /// <param name="count">How many.</param>
    /// <param name="to">[count, k·k·C], written.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Copy<T>(T* pixels, in WindowSize size, nint first, int count, T* to)
        where T : unmanaged
    {
        int segment = size.Kernel * size.Channels;
        for (nint output = first; output < first + count; output++)
        {
            var (image, y, x) = size.Window(output);
            for (int row = 0; row < size.Kernel; row++, y++, to += segment)
            {
                // A row of the window is one run of memory, cut where the image ends.
                int left = Math.Max(0, -x), right = Math.Min(size.Kernel, size.Width - x);
                bool inside = y >= 0 && y < size.Height && right > left;
                if (!inside || left > 0 || right < size.Kernel)
                    new Span<T>(to, segment).Clear();
                if (!inside)
                    continue;
                T* from = pixels + (((nint)image * size.Height + y) * size.Width + x + left) * size.Channels;
                new ReadOnlySpan<T>(from, (right - left) * size.Channels).CopyTo(new Span<T>(to + left * size.Channels, (right - left) * size.Channels));
            }
        }
    }
}

/// <summary>The sizes of a strided convolution.</summary>
/// <param name="Images">N.</param>
/// <param name="Height">H.</param>
/// <param name="Width">W.</param>
/// <param name="Channels">C.</param>
/// <param name="Kernel">The kernel's side.</param>
/// <param name="Stride">From an output to the next.</param>
/// <param name="Before">Zeros before the first pixel, on both axes.</param>
/// <param name="After">Zeros after the last one.</param>
internal readonly record struct WindowSize(int Images, int Height, int Width, int Channels, int Kernel, int Stride, int Before, int After)
{
    /// <summary>H'.</summary>
    public int OutputHeight => (Height + Before + After - Kernel) / Stride + 1;

    /// <summary>W'.</summary>
    public int OutputWidth => (Width + Before + After - Kernel) / Stride + 1;

    /// <summary>k·k·C, the numbers of a window.</summary>
    public int Numbers => Kernel * Kernel * Channels;

    /// <summary>N·H'·W'.</summary>
    public nint Outputs => (nint)Images * OutputHeight * OutputWidth;

    /// <summary>Whether every output sees the one pixel in its place.</summary>
    public bool IsPointwise => Kernel == 1 && Stride == 1 && Before == 0 && After == 0;

    /// <summary>The image of an output and where its window begins.</summary>
    public (int Image, int Y, int X) Window(nint output)
    {
        int column = (int)(output % OutputWidth);
        nint rest = output / OutputWidth;
        return ((int)(rest / OutputHeight), (int)(rest % OutputHeight) * Stride - Before, column * Stride - Before);
    }
}
