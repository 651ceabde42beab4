using TorchSharp;

namespace Microsoft.ML.Diffusion;

/// <summary>How a <see cref="FusedConvolution"/> reads its input.</summary>
/// <param name="Norm">The norm before the convolution, or null.</param>
/// <param name="Doubled">Whether the image is doubled first.</param>
internal sealed record ConvolutionSettings(NormSettings? Norm, bool Doubled) : SurroundedSettings(Norm);

/// <summary>A 3x3 convolution of stride 1 with a zero around the image, over <see cref="ConvolutionKernel"/> or, where a unit multiplies whole matrices, <see cref="BFloat16Convolution"/>; it also doubles the image as it reads it.</summary>
internal sealed unsafe class FusedConvolution : SurroundedOperator<FusedConvolution, ConvolutionSettings>
{
    private static readonly ConvolutionSettings s_asItLies = new(null, false);

    /// <summary>Runs it where it can.</summary>
    /// <param name="x">[N, C, H, W]; not changed.</param>
    /// <param name="weight">[D, C, 3, 3].</param>
    /// <param name="bias">[D] or null.</param>
    /// <param name="norm">What comes before the convolution, or null.</param>
    /// <param name="addend">[N, D, H', W'], added to the result; or null.</param>
    /// <param name="doubled">Whether the image is doubled first, by nearest neighbours; without a norm.</param>
    /// <param name="fork">The others that read x, which get it if this runs; or null.</param>
    /// <returns>[N, D, H', W'] with the channels last in memory; null where the plain operators have to do it.</returns>
    public static Tensor? TryApply(Tensor x, Tensor weight, Tensor? bias, NormArguments? norm = null, Tensor? addend = null, bool doubled = false, Fork? fork = null)
    {
        long[] shape = x.shape, kernel = weight.shape;
        if (!(HostKernels.Take(x, weight) || HostKernels.TakeNarrow(x, weight, kernel[1], kernel[0])) || kernel[2] != 3 || kernel[3] != 3 || (norm is not null && (doubled || !HostKernels.TakeNorm(shape[1], norm))))
            return null;
        long pixels = shape[0] * shape[2] * shape[3] * (doubled ? 4 : 1);
        if (pixels * Math.Max(kernel[0], kernel[1]) > int.MaxValue / sizeof(float))
            return null;
        return Run(x, weight, bias, norm, addend, fork, new(norm?.Settings, doubled));
    }

    /// <inheritdoc/>
    protected override Tensor Compute(Tensor pixels, NormBatch? norm, LayerMemory layer, Tensor? addend, ConvolutionSettings settings)
    {
        var size = SizeOf(pixels.shape, settings.Outputs, settings.Doubled);
        Tensor y = empty([size.Images, size.Height, size.Width, size.Outputs], pixels.dtype);
        var sheet = MomentSheet.TryCreate(size.Images, size.Height * size.Width, MomentLines.Rows * size.Width, size.Outputs, Lanes.Widest);
        Convolve(size, pixels, norm, settings, layer.Weight, turned: false, layer.Bias, addend, y, sheet?.Lines ?? default);
        settings.OutputMoments = sheet?.Merge();
        return y;
    }

    /// <inheritdoc/>
    protected override void AddWeightGradient(Tensor pixels, NormBatch? norm, Tensor dy, float* dWeight, float* dBias, ConvolutionSettings settings)
    {
        var size = SizeOf(pixels.shape, settings.Outputs, settings.Doubled);
        MatrixUnit? unit = UnitFor(pixels);
        if (unit is null)
            ConvolutionKernel.WeightGradient(size, SourceOf(pixels, norm, settings), HostMemory.Pointer(dy), dWeight, dBias);
        else if (unit is PairUnit pairs)
            ConvolutionKernel.WeightGradient(pairs, size, SourceOf(pixels, norm, settings), HostMemory.Narrow(dy), dWeight, dBias);
        else if (settings.Doubled)
            BFloat16Gradient.AddDoubled(unit, new(SizeOf(pixels.shape, settings.Outputs, doubled: false), NarrowSourceOf(pixels, null), HostMemory.Narrow(dy), doubled: true), dWeight, dBias);
        else
            BFloat16Gradient.Add(unit, new ConvolutionPieces(size, NarrowSourceOf(pixels, norm), HostMemory.Narrow(dy)), dWeight, dBias);
    }

    /// <inheritdoc/>
    protected override Tensor InputGradient(long[] shape, float* kernel, Tensor dy, ConvolutionSettings settings)
    {
        if (settings.Doubled && UnitFor(dy) is { } unit and not PairUnit)
        {
            Tensor small = empty(shape, dy.dtype);
            BFloat16Convolution.InputGradientOfDoubled(unit, SizeOf(shape, settings.Outputs, doubled: false), HostMemory.Narrow(dy), kernel, HostMemory.Narrow(small));
            return small;
        }
        var size = SizeOf(shape, settings.Outputs, settings.Doubled);
        Tensor dx = empty([size.Images, size.Height, size.Width, size.Inputs], dy.dtype);
        var back = size with { Inputs = size.Outputs, Outputs = size.Inputs };
        Convolve(back, dy, null, s_asItLies, kernel, turned: true, null, null, dx, default);
        if (!settings.Doubled)
            return dx;
        using Tensor large = dx;
        Tensor halved = empty(shape, dy.dtype);
        if (dy.dtype == ScalarType.BFloat16)
            ConvolutionKernel.Halve(size.Images, size.Height / 2, size.Width / 2, size.Inputs, HostMemory.Narrow(large), HostMemory.Narrow(halved));
        else
            ConvolutionKernel.Halve(size.Images, size.Height / 2, size.Width / 2, size.Inputs, HostMemory.Pointer(large), HostMemory.Pointer(halved));
        return halved;
    }

    private static void Convolve(
        in ConvolutionSize size, Tensor pixels, NormBatch? norm, ConvolutionSettings settings, float* w, bool turned, float* b, Tensor? addend, Tensor y, MomentLines moments)
    {
        MatrixUnit? unit = UnitFor(pixels);
        if (unit is null)
            ConvolutionKernel.Apply(size, SourceOf(pixels, norm, settings), w, turned, b, HostMemory.PointerOrNull(addend), HostMemory.Pointer(y), moments);
        else if (unit is PairUnit pairs)
            ConvolutionKernel.Apply(pairs, size, SourceOf(pixels, norm, settings), w, turned, b, HostMemory.NarrowOrNull(addend), HostMemory.Narrow(y), moments);
        else if (settings.Doubled)
            BFloat16Convolution.ApplyDoubled(
                unit, size with { Height = size.Height / 2, Width = size.Width / 2 }, NarrowSourceOf(pixels, null), w, b, HostMemory.NarrowOrNull(addend), HostMemory.Narrow(y), moments);
        else
            BFloat16Convolution.Apply(unit, size, NarrowSourceOf(pixels, norm), w, turned, b, HostMemory.NarrowOrNull(addend), HostMemory.Narrow(y), moments);
    }

    private static ConvolutionSize SizeOf(long[] pixels, long outputs, bool doubled)
    {
        int times = doubled ? 2 : 1;
        return new((int)pixels[0], times * (int)pixels[1], times * (int)pixels[2], (int)pixels[3], (int)outputs);
    }

    private static PixelSource SourceOf(Tensor pixels, NormBatch? norm, ConvolutionSettings settings)
    {
        if (norm is not null)
            return norm.Source();
        long[] shape = pixels.shape;
        var (height, width, channels) = ((int)shape[1], (int)shape[2], (int)shape[3]);
        return pixels.dtype == ScalarType.BFloat16
            ? PixelSource.Of(HostMemory.Narrow(pixels), height, width, channels, settings.Doubled)
            : PixelSource.Of(HostMemory.Pointer(pixels), height, width, channels, settings.Doubled);
    }

    private static BFloat16Source NarrowSourceOf(Tensor pixels, NormBatch? norm)
    {
        if (norm is not null)
            return new BFloat16Norm(norm);
        long[] shape = pixels.shape;
        return new BFloat16Image(HostMemory.Narrow(pixels), (int)shape[1], (int)shape[2], (int)shape[3]);
    }
}
