using TorchSharp;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// A 3x3 convolution of stride 1 with what surrounds it, as one operator with a gradient of its own: norm, FiLM and SiLU or a doubling of the image are computed as
/// the input is read, a residual is added as the output is written. It keeps its input alone for the way back and computes the norm once more there.
/// Differentiable once.
/// </summary>
internal sealed unsafe class FusedConvolution : autograd.SingleTensorFunction<FusedConvolution>
{
    private const string Settings = "settings";

    /// <inheritdoc/>
    public override string Name => nameof(FusedConvolution);

    /// <summary>Runs it where it can.</summary>
    /// <param name="x">[N, C, H, W]; not changed.</param>
    /// <param name="weight">[D, C, 3, 3].</param>
    /// <param name="bias">[D] or null.</param>
    /// <param name="norm">What comes before the convolution, or null; not disposed.</param>
    /// <param name="addend">[N, D, H', W'], added to the result; or null.</param>
    /// <param name="doubled">Whether the image is doubled first, by nearest neighbours.</param>
    /// <returns>[N, D, H', W'] with the channels last in memory; null where the plain operators have to do it.</returns>
    public static Tensor? TryApply(Tensor x, Tensor weight, Tensor? bias, NormArguments? norm = null, Tensor? addend = null, bool doubled = false)
    {
        long[] shape = x.shape, kernel = weight.shape;
        if (!HostKernels.Take(x, weight) || kernel[2] != 3 || kernel[3] != 3 || (norm is not null && (doubled || !NormBatch.Takes(shape[1]))))
            return null;
        long pixels = shape[0] * shape[2] * shape[3] * (doubled ? 4 : 1);
        if (pixels * Math.Max(kernel[0], kernel[1]) > int.MaxValue / sizeof(float))
            return null;
        if (!is_grad_enabled())
        {
            var (y, statistics) = Forward(x, weight, bias, addend, norm?.Weight, norm?.Bias, norm?.Scale, norm?.Shift, new(norm?.Settings, doubled, false));
            statistics?.Dispose();
            return y;
        }
        // The graph holds what it needs by handles of its own: all that was made on the way can go.
        using var scope = NewDisposeScope();
        var settings = new ConvolutionSettings(norm?.Settings, doubled, x.requires_grad);
        return apply(x, weight, bias!, addend!, norm?.Weight!, norm?.Bias!, norm?.Scale!, norm?.Shift!, settings).MoveToOuterDisposeScope();
    }

    /// <inheritdoc/>
    public override Tensor forward(autograd.AutogradContext ctx, params object[] vars)
    {
        var (x, weight, bias, addend) = ((Tensor)vars[0], (Tensor)vars[1], (Tensor?)vars[2], (Tensor?)vars[3]);
        var (normWeight, normBias, scale, shift, settings) = ((Tensor?)vars[4], (Tensor?)vars[5], (Tensor?)vars[6], (Tensor?)vars[7], (ConvolutionSettings)vars[8]);
        var (y, statistics) = Forward(x, weight, bias, addend, normWeight, normBias, scale, shift, settings);
        ctx.save_for_backward([x, weight, bias!, normWeight!, normBias!, scale!, shift!, statistics!]);
        ctx.save_data(Settings, settings with { HasAddend = addend is not null });
        ctx.set_materialize_grads(false);
        return y;
    }

    /// <inheritdoc/>
    public override List<Tensor> backward(autograd.AutogradContext ctx, Tensor grad_output)
    {
        using var scope = NewDisposeScope();
        // TorchSharp hands over a handle of its own and does not free it.
        using Tensor given = grad_output;
        var saved = ctx.get_saved_variables();
        var settings = (ConvolutionSettings)ctx.get_data(Settings);
        var (x, weight, bias) = (saved[0], saved[1], (Tensor?)saved[2]);
        var (normWeight, normBias, scale, shift, statistics) = ((Tensor?)saved[3], (Tensor?)saved[4], (Tensor?)saved[5], (Tensor?)saved[6], (Tensor?)saved[7]);

        Tensor pixels = HostKernels.Pixels(x), dy = HostKernels.Pixels(given), kernel = HostKernels.Pixels(weight);
        NormBatch? norm = settings.Norm is null ? null : new(pixels, normWeight!, normBias!, scale?.contiguous(), shift?.contiguous(), statistics!, settings.Norm);
        var size = SizeOf(pixels, kernel, settings.Doubled);
        var gradient = new ImageSource(HostMemory.Pointer(dy), size.Height, size.Width, size.Outputs);

        Tensor? direct = DirectGradients.Of(weight);
        Tensor dWeight = direct ?? zeros(kernel.shape, float32);
        Tensor? dBias = bias is null ? null : empty(bias.shape, float32);
        ConvolutionKernel.WeightGradient(size, SourceOf(pixels, norm, settings), gradient, HostMemory.Pointer(dWeight), dBias is null ? null : HostMemory.Pointer(dBias));

        Tensor? dx = null;
        Tensor?[] normGradients = [null, null, null, null];
        if (settings.NeedsInput || norm is not null)
        {
            dx = empty([size.Images, size.Height, size.Width, size.Inputs], float32);
            ConvolutionKernel.Apply(size with { Inputs = size.Outputs, Outputs = size.Inputs }, gradient, HostMemory.Pointer(kernel), turned: true, null, null, HostMemory.Pointer(dx));
            if (settings.Doubled)
            {
                Tensor large = dx;
                dx = empty(pixels.shape, float32);
                ConvolutionKernel.Halve(size.Images, size.Height / 2, size.Width / 2, size.Inputs, HostMemory.Pointer(large), HostMemory.Pointer(dx));
            }
            if (norm is not null)
                normGradients = NormGradients.Compute(norm, dx, normWeight!, normBias!, scale, shift);
        }

        return ReturnedGradients.Pass([dx?.permute(0, 3, 1, 2), direct is null ? dWeight.permute(0, 3, 1, 2) : null, dBias, settings.HasAddend ? given.alias() : null, .. normGradients, null]);
    }

    private static (Tensor Y, Tensor? Statistics) Forward(
        Tensor x, Tensor weight, Tensor? bias, Tensor? addend, Tensor? normWeight, Tensor? normBias, Tensor? scale, Tensor? shift, ConvolutionSettings settings)
    {
        using Tensor pixels = HostKernels.Pixels(x);
        using Tensor kernel = HostKernels.Pixels(weight);
        using Tensor? added = addend is null ? null : HostKernels.Pixels(addend);
        using Tensor? scales = scale?.contiguous();
        using Tensor? shifts = shift?.contiguous();
        Tensor? statistics = settings.Norm is null ? null : NormGradients.NewStatistics(pixels, settings.Norm);
        NormBatch? norm = settings.Norm is null ? null : new(pixels, normWeight!, normBias!, scales, shifts, statistics!, settings.Norm);
        norm?.Measure();
        var size = SizeOf(pixels, kernel, settings.Doubled);
        using Tensor y = empty([size.Images, size.Height, size.Width, size.Outputs], float32);
        ConvolutionKernel.Apply(
            size, SourceOf(pixels, norm, settings), HostMemory.Pointer(kernel), turned: false, bias is null ? null : HostMemory.Pointer(bias),
            added is null ? null : HostMemory.Pointer(added), HostMemory.Pointer(y));
        return (y.permute(0, 3, 1, 2), statistics);
    }

    private static ConvolutionSize SizeOf(Tensor pixels, Tensor kernel, bool doubled)
    {
        long[] shape = pixels.shape;
        int times = doubled ? 2 : 1;
        return new((int)shape[0], times * (int)shape[1], times * (int)shape[2], (int)shape[3], (int)kernel.shape[0]);
    }

    private static PixelSource SourceOf(Tensor pixels, NormBatch? norm, ConvolutionSettings settings)
    {
        if (norm is not null)
            return norm.Source();
        long[] shape = pixels.shape;
        var (height, width, channels) = ((int)shape[1], (int)shape[2], (int)shape[3]);
        return settings.Doubled ? new DoubledSource(HostMemory.Pointer(pixels), height, width, channels) : new ImageSource(HostMemory.Pointer(pixels), height, width, channels);
    }

    /// <param name="Norm">The norm before the convolution, or null.</param>
    /// <param name="Doubled">Whether the image is doubled first.</param>
    /// <param name="NeedsInput">Whether somebody wants the input's gradient.</param>
    private sealed record ConvolutionSettings(NormSettings? Norm, bool Doubled, bool NeedsInput)
    {
        public bool HasAddend { get; init; }
    }
}
