namespace Microsoft.ML.Diffusion;

/// <summary>A 1x1 convolution, or a strided one over its windows, as a matrix product, over <see cref="LinearKernel"/>, <see cref="BFloat16Product"/> or <see cref="Int16NarrowProduct"/>.</summary>
/// <param name="outputs">D.</param>
/// <param name="kernel">k.</param>
/// <param name="stride">From an output to the next.</param>
/// <param name="before">Zeros before the first pixel, on both axes.</param>
/// <param name="after">Zeros after the last one.</param>
internal sealed unsafe class ProductOperator(int outputs, int kernel = 1, int stride = 1, int before = 0, int after = 0) : ImageOperator(outputs)
{
    /// <summary>Pixels of the shortest line whose moments are worth measuring.</summary>
    private const int LeastLine = 8;

    /// <inheritdoc/>
    public override bool Takes(ImageShape x, bool normed)
    {
        var window = WindowOf(x);
        bool fits = x.IsNarrow ? MatrixUnit.Takes(x.Channels, Outputs) : LinearKernel.LanesFor(x.Channels, Outputs) > 0;
        return fits && (!normed || (window.IsPointwise && NormBatch.Takes(x.Channels))) && window.OutputHeight >= 1 && window.OutputWidth >= 1 && LinearKernel.Takes(window.Outputs)
            && window.Outputs * Math.Max(Outputs, window.Numbers) <= Most;
    }

    /// <inheritdoc/>
    public override ImageShape OutputOf(ImageShape x)
    {
        var window = WindowOf(x);
        return x with { Height = window.OutputHeight, Width = window.OutputWidth, Channels = Outputs };
    }

    /// <inheritdoc/>
    public override ChannelMoments? Apply(ImageMemory x, NormBatch? norm, LayerMemory layer, ImageMemory addend, ImageMemory y)
    {
        var window = WindowOf(x.Shape);
        // A block ends with a sum and a level begins with a strided convolution: a norm follows these.
        var sheet = addend.Numbers is not null || !window.IsPointwise ? SheetFor(window, Outputs) : null;
        MomentLines moments = sheet?.Lines ?? default;
        if (UnitFor(x) is { } unit)
        {
            Multiply(
                unit, window.Outputs, window.Numbers, Outputs, x, NarrowSourceOf(x, window, norm), layer.Weight, transposed: false, layer.Bias, addend.Narrow, y.Narrow, moments);
        }
        else
        {
            LinearKernel.Apply(
                window.Outputs, window.Numbers, Outputs, FloatsOf(x), SourceOf(x, window, norm), layer.Weight, transposed: false, layer.Bias, addend.Floats, y.Floats, moments);
        }
        return sheet?.Merge();
    }

    /// <inheritdoc/>
    public override void AddGradients(ImageMemory x, NormBatch? norm, ImageMemory dy, float* dWeight, float* dBias)
    {
        var window = WindowOf(x.Shape);
        if (UnitFor(x) is { } unit)
        {
            BFloat16Rows? source = NarrowSourceOf(x, window, norm);
            if (Int16NarrowGradient.Takes(unit))
                new Int16NarrowGradient(window.Outputs, window.Numbers, Outputs, x, source, dy.Narrow, dWeight, dBias).Add();
            else
                BFloat16Gradient.Add(unit, new ProductPieces(window.Outputs, window.Numbers, Outputs, x, source, dy.Narrow), dWeight, dBias);
        }
        else
        {
            LinearKernel.WeightGradient(window.Outputs, window.Numbers, Outputs, FloatsOf(x), SourceOf(x, window, norm), dy.Floats, dWeight, dBias);
        }
    }

    /// <inheritdoc/>
    public override void InputGradient(float* weight, ImageMemory dy, ImageMemory dx)
    {
        var window = WindowOf(dx.Shape);
        if (window.IsPointwise)
        {
            WindowGradient(window, weight, dy, dx.Numbers);
            return;
        }
        using Tensor windows = empty([window.Outputs, window.Numbers], dx.Shape.Type);
        void* numbers = HostMemory.Pointer(windows);
        WindowGradient(window, weight, dy, numbers);
        if (dx.Shape.IsNarrow)
            LinearKernel.AddWindows(window, (ushort*)numbers, dx.Narrow);
        else
            LinearKernel.AddWindows(window, (float*)numbers, dx.Floats);
    }

    /// <summary>Lines of the longest power of two: they end where chunks of rows do.</summary>
    private static MomentSheet? SheetFor(WindowSize window, int outputs)
    {
        int pixels = window.OutputHeight * window.OutputWidth, line = Math.Min(pixels & -pixels, LinearKernel.Line);
        return line < LeastLine ? null : MomentSheet.TryCreate(window.Images, pixels, line, outputs, LinearKernel.LanesFor(window.Numbers, outputs));
    }

    private void WindowGradient(WindowSize window, float* weight, ImageMemory dy, void* windows)
    {
        if (UnitFor(dy) is { } unit)
            Multiply(unit, window.Outputs, Outputs, window.Numbers, dy, null, weight, transposed: true, null, null, (ushort*)windows, default);
        else
            LinearKernel.Apply(window.Outputs, Outputs, window.Numbers, dy.Floats, null, weight, transposed: true, null, null, (float*)windows);
    }

    private static void Multiply(
        MatrixUnit unit, nint rows, int inputs, int outputs, ImageMemory x, BFloat16Rows? source, float* weight, bool transposed, float* bias, ushort* addend, ushort* y, MomentLines moments)
    {
        if (Int16NarrowProduct.Takes(unit, outputs))
            Int16NarrowProduct.Apply(rows, inputs, outputs, x, source, weight, transposed, bias, addend, y, moments);
        else
            BFloat16Product.Apply(unit, rows, inputs, outputs, x, source, weight, transposed, bias, addend, y, moments);
    }

    private static float* FloatsOf(ImageMemory x) => x.Joined is null ? x.Floats : null;

    private WindowSize WindowOf(ImageShape x) => new(x.Images, x.Height, x.Width, x.Channels, kernel, stride, before, after);

    private static RowSource? SourceOf(ImageMemory x, WindowSize window, NormBatch? norm)
    {
        if (norm is not null)
            return new NormRows(norm);
        if (window.IsPointwise)
            return x.Joined is null ? null : new JoinedRows(x);
        return new WindowRows(x.Floats, window);
    }

    private static BFloat16Rows? NarrowSourceOf(ImageMemory x, WindowSize window, NormBatch? norm)
    {
        if (norm is not null)
            return new BFloat16NormRows(norm);
        return window.IsPointwise ? null : new BFloat16WindowRows(x.Narrow, window);
    }
}
