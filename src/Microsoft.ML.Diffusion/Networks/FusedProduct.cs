using TorchSharp;

namespace Microsoft.ML.Diffusion;

/// <summary>How a <see cref="FusedProduct"/> reads its input.</summary>
/// <param name="Norm">The norm before the product, or null.</param>
/// <param name="Window">The sizes.</param>
internal sealed record ProductSettings(NormSettings? Norm, WindowSize Window) : SurroundedSettings(Norm);

/// <summary>A 1x1 convolution, or a strided one over its windows, as a matrix product, over <see cref="LinearKernel"/> or <see cref="BFloat16Product"/>.</summary>
internal sealed unsafe class FusedProduct : SurroundedOperator<FusedProduct, ProductSettings>
{
    /// <summary>Pixels of the shortest line whose moments are worth measuring.</summary>
    private const int LeastLine = 8;

    /// <summary>Runs it where it can.</summary>
    /// <param name="x">[N, C, H, W]; not changed.</param>
    /// <param name="weight">[D, C, k, k], or [D, C] of a 1x1 convolution.</param>
    /// <param name="bias">[D] or null.</param>
    /// <param name="stride">From an output to the next.</param>
    /// <param name="before">Zeros before the first pixel, on both axes.</param>
    /// <param name="after">Zeros after the last one.</param>
    /// <param name="norm">What comes before a 1x1 convolution, or null.</param>
    /// <param name="addend">[N, D, H', W'], added to the result; or null.</param>
    /// <param name="fork">The others that read x, which get it if this runs; or null.</param>
    /// <returns>[N, D, H', W'] with the channels last in memory; null where the plain operators have to do it.</returns>
    public static Tensor? TryApply(
        Tensor x, Tensor weight, Tensor? bias, int stride = 1, int before = 0, int after = 0, NormArguments? norm = null, Tensor? addend = null, Fork? fork = null)
    {
        long[] shape = x.shape, kernel = weight.dim() == 2 ? [.. weight.shape, 1, 1] : weight.shape;
        bool taken = HostKernels.Take(x, weight) || HostKernels.TakeNarrow(x, weight, kernel[1], kernel[0]);
        if (!taken || kernel[2] != kernel[3] || LinearKernel.LanesFor(kernel[1], kernel[0]) == 0)
            return null;
        var window = new WindowSize((int)shape[0], (int)shape[2], (int)shape[3], (int)shape[1], (int)kernel[2], stride, before, after);
        if (norm is not null && !(window.IsPointwise && HostKernels.TakeNorm(shape[1], norm)))
            return null;
        if (window.OutputHeight < 1 || window.OutputWidth < 1 || !LinearKernel.Takes(window.Outputs) || window.Outputs * Math.Max(kernel[0], window.Numbers) > int.MaxValue / sizeof(float))
            return null;
        return Run(x, weight, bias, norm, addend, fork, new(norm?.Settings, window));
    }

    /// <inheritdoc/>
    protected override Tensor Compute(Tensor pixels, NormBatch? norm, LayerMemory layer, Tensor? addend, ProductSettings settings)
    {
        var window = settings.Window;
        Tensor y = empty([window.Images, window.OutputHeight, window.OutputWidth, settings.Outputs], pixels.dtype);
        // A block ends with a sum and a level begins with a strided convolution: a norm follows these.
        var sheet = addend is not null || !window.IsPointwise ? SheetFor(window, settings.Outputs) : null;
        Multiply(pixels, norm, layer, addend, y, settings, sheet?.Lines ?? default);
        settings.OutputMoments = sheet?.Merge();
        return y;
    }

    /// <inheritdoc/>
    protected override void AddWeightGradient(Tensor pixels, NormBatch? norm, Tensor dy, float* dWeight, float* dBias, ProductSettings settings)
    {
        var window = settings.Window;
        if (UnitFor(pixels) is { } unit)
        {
            var pieces = new ProductPieces(
                window.Outputs, window.Numbers, settings.Outputs, HostMemory.Narrow(pixels), NarrowSourceOf(pixels, norm, window), HostMemory.Narrow(dy));
            BFloat16Gradient.Add(unit, pieces, dWeight, dBias);
            return;
        }
        LinearKernel.WeightGradient(
            window.Outputs, window.Numbers, settings.Outputs, HostMemory.Pointer(pixels), SourceOf(pixels, norm, window), HostMemory.Pointer(dy), dWeight, dBias);
    }

    /// <inheritdoc/>
    protected override Tensor InputGradient(long[] shape, float* kernel, Tensor dy, ProductSettings settings)
    {
        var window = settings.Window;
        int outputs = settings.Outputs;
        Tensor windows = window.IsPointwise ? empty(shape, dy.dtype) : empty([window.Outputs, window.Numbers], dy.dtype);
        if (UnitFor(dy) is { } unit)
        {
            BFloat16Product.Apply(
                unit, window.Outputs, outputs, window.Numbers, HostMemory.Narrow(dy), null, kernel, transposed: true, null, null, HostMemory.Narrow(windows));
        }
        else
        {
            LinearKernel.Apply(
                window.Outputs, outputs, window.Numbers, HostMemory.Pointer(dy), null, kernel, transposed: true, null, null, HostMemory.Pointer(windows));
        }
        if (window.IsPointwise)
            return windows;
        using Tensor all = windows;
        Tensor dx = empty(shape, dy.dtype);
        if (dy.dtype == ScalarType.BFloat16)
            LinearKernel.AddWindows(window, HostMemory.Narrow(all), HostMemory.Narrow(dx));
        else
            LinearKernel.AddWindows(window, HostMemory.Pointer(all), HostMemory.Pointer(dx));
        return dx;
    }

    /// <summary>Lines of the longest power of two: they end where chunks of rows do.</summary>
    private static MomentSheet? SheetFor(WindowSize window, int outputs)
    {
        int pixels = window.OutputHeight * window.OutputWidth, line = Math.Min(pixels & -pixels, LinearKernel.Line);
        return line < LeastLine ? null : MomentSheet.TryCreate(window.Images, pixels, line, outputs, LinearKernel.LanesFor(window.Numbers, outputs));
    }

    private static void Multiply(Tensor pixels, NormBatch? norm, LayerMemory layer, Tensor? addend, Tensor y, ProductSettings settings, MomentLines moments)
    {
        var window = settings.Window;
        if (UnitFor(pixels) is { } unit)
        {
            BFloat16Product.Apply(
                unit, window.Outputs, window.Numbers, settings.Outputs, HostMemory.Narrow(pixels), NarrowSourceOf(pixels, norm, window), layer.Weight, transposed: false,
                layer.Bias, HostMemory.NarrowOrNull(addend), HostMemory.Narrow(y), moments);
            return;
        }
        LinearKernel.Apply(
            window.Outputs, window.Numbers, settings.Outputs, HostMemory.Pointer(pixels), SourceOf(pixels, norm, window), layer.Weight, transposed: false,
            layer.Bias, HostMemory.PointerOrNull(addend), HostMemory.Pointer(y), moments);
    }

    private static RowSource? SourceOf(Tensor pixels, NormBatch? norm, WindowSize window)
    {
        if (norm is not null)
            return new NormRows(norm);
        return window.IsPointwise ? null : new WindowRows(HostMemory.Pointer(pixels), window);
    }

    private static BFloat16Rows? NarrowSourceOf(Tensor pixels, NormBatch? norm, WindowSize window)
    {
        if (norm is not null)
            return new BFloat16NormRows(norm);
        return window.IsPointwise ? null : new BFloat16WindowRows(HostMemory.Narrow(pixels), window);
    }
}
