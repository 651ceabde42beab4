namespace Microsoft.ML.Diffusion;

/// <summary>
/// A 3x3 convolution of stride 1 with a zero around the image, over <see cref="ConvolutionKernel"/> or, where a unit multiplies whole matrices, <see cref="BFloat16Convolution"/>;
/// it also doubles the image as it reads it.
/// </summary>
/// <param name="outputs">D.</param>
/// <param name="doubled">Whether the image is doubled first, by nearest neighbours; without a norm.</param>
internal sealed unsafe class ConvolutionOperator(int outputs, bool doubled) : ImageOperator(outputs)
{
    /// <inheritdoc/>
    public override bool Takes(ImageShape x, bool normed) =>
        (!x.IsNarrow || MatrixUnit.Takes(x.Channels, Outputs)) && (!doubled || Lanes.Dividing(x.Channels) > 0) && (!normed || (!doubled && NormBatch.Takes(x.Channels)))
        && OutputOf(x).Pixels * Math.Max(x.Channels, Outputs) <= Most;

    /// <inheritdoc/>
    public override ImageShape OutputOf(ImageShape x) => doubled
        ? x with { Height = 2 * x.Height, Width = 2 * x.Width, Channels = Outputs }
        : x with { Channels = Outputs };

    /// <inheritdoc/>
    public override ChannelMoments? Apply(ImageMemory x, NormBatch? norm, LayerMemory layer, ImageMemory addend, ImageMemory y)
    {
        var size = SizeOf(y.Shape, x.Shape.Channels);
        var sheet = MomentSheet.TryCreate(size.Images, size.Height * size.Width, MomentLines.Rows * size.Width, size.Outputs, Lanes.Widest);
        Convolve(size, x, norm, doubled, layer.Weight, turned: false, layer.Bias, addend, y, sheet?.Lines ?? default);
        return sheet?.Merge();
    }

    /// <inheritdoc/>
    public override void AddGradients(ImageMemory x, NormBatch? norm, ImageMemory dy, float* dWeight, float* dBias)
    {
        var size = SizeOf(dy.Shape, x.Shape.Channels);
        MatrixUnit? unit = UnitFor(x);
        if (unit is null)
            ConvolutionKernel.WeightGradient(size, SourceOf(x, norm, doubled), dy.Floats, dWeight, dBias);
        else if (unit is PairUnit pairs)
            ConvolutionKernel.WeightGradient(pairs, size, SourceOf(x, norm, doubled), dy.Narrow, dWeight, dBias);
        else if (doubled)
            BFloat16Gradient.AddDoubled(unit, new(Halved(size), NarrowSourceOf(x, null), dy.Narrow, doubled: true), dWeight, dBias);
        else
            BFloat16Gradient.Add(unit, new ConvolutionPieces(size, NarrowSourceOf(x, norm), dy.Narrow), dWeight, dBias);
    }

    /// <inheritdoc/>
    public override void InputGradient(float* weight, ImageMemory dy, ImageMemory dx)
    {
        var size = SizeOf(dy.Shape, dx.Shape.Channels);
        var back = size with { Inputs = size.Outputs, Outputs = size.Inputs };
        if (!doubled)
        {
            Convolve(back, dy, null, false, weight, turned: true, null, default, dx, default);
            return;
        }
        if (UnitFor(dy) is { } unit and not PairUnit)
        {
            BFloat16Convolution.InputGradientOfDoubled(unit, Halved(size), dy.Narrow, weight, dx.Narrow);
            return;
        }
        using Tensor memory = empty([size.Images, size.Height, size.Width, size.Inputs], dx.Shape.Type);
        var large = ImageMemory.Of(memory);
        Convolve(back, dy, null, false, weight, turned: true, null, default, large, default);
        ImageKernel.Halve(large, dx, factor: 1);
    }

    private static void Convolve(
        in ConvolutionSize size, ImageMemory x, NormBatch? norm, bool doubled, float* w, bool turned, float* b, ImageMemory addend, ImageMemory y, MomentLines moments)
    {
        MatrixUnit? unit = UnitFor(x);
        if (unit is null)
            ConvolutionKernel.Apply(size, SourceOf(x, norm, doubled), w, turned, b, addend.Floats, y.Floats, moments);
        else if (unit is PairUnit pairs)
            ConvolutionKernel.Apply(pairs, size, SourceOf(x, norm, doubled), w, turned, b, addend.Narrow, y.Narrow, moments);
        else if (doubled)
            BFloat16Convolution.ApplyDoubled(unit, Halved(size), NarrowSourceOf(x, null), w, b, addend.Narrow, y.Narrow, moments);
        else
            BFloat16Convolution.Apply(unit, size, NarrowSourceOf(x, norm), w, turned, b, addend.Narrow, y.Narrow, moments);
    }

    /// <summary>The sizes, an image that is doubled counted as it is then.</summary>
    private static ConvolutionSize SizeOf(ImageShape y, int inputs) => new(y.Images, y.Height, y.Width, inputs, y.Channels);

    private static ConvolutionSize Halved(in ConvolutionSize size) => size with { Height = size.Height / 2, Width = size.Width / 2 };

    private static PixelSource SourceOf(ImageMemory x, NormBatch? norm, bool doubled)
    {
        if (norm is not null)
            return norm.Source();
        var shape = x.Shape;
        return shape.IsNarrow
            ? PixelSource.Of(x.Narrow, shape.Height, shape.Width, shape.Channels, doubled)
            : PixelSource.Of(x.Floats, shape.Height, shape.Width, shape.Channels, doubled);
    }

    private static BFloat16Source NarrowSourceOf(ImageMemory x, NormBatch? norm) =>
        norm is not null ? new BFloat16Norm(norm) : new BFloat16Image(x.Narrow, x.Shape.Height, x.Shape.Width, x.Shape.Channels);
}
