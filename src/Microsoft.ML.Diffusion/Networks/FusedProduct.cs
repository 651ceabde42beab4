using TorchSharp;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// A 1x1 convolution, or a strided one over its windows, as a matrix product with a gradient of its own: a norm is computed as the input is read, a residual added
/// as the output is written. It keeps its input alone for the way back. Differentiable once.
/// </summary>
internal sealed unsafe class FusedProduct : autograd.SingleTensorFunction<FusedProduct>
{
    private const string Settings = "settings";

    /// <inheritdoc/>
    public override string Name => nameof(FusedProduct);

    /// <summary>Runs it where it can.</summary>
    /// <param name="x">[N, C, H, W]; not changed.</param>
    /// <param name="weight">[D, C, k, k].</param>
    /// <param name="bias">[D] or null.</param>
    /// <param name="stride">From an output to the next.</param>
    /// <param name="before">Zeros before the first pixel, on both axes.</param>
    /// <param name="after">Zeros after the last one.</param>
    /// <param name="norm">What comes before a 1x1 convolution, or null; not disposed.</param>
    /// <param name="addend">[N, D, H', W'], added to the result; or null.</param>
    /// <returns>[N, D, H', W'] with the channels last in memory; null where the plain operators have to do it.</returns>
    public static Tensor? TryApply(Tensor x, Tensor weight, Tensor? bias, int stride = 1, int before = 0, int after = 0, NormArguments? norm = null, Tensor? addend = null)
    {
        long[] shape = x.shape, kernel = weight.shape;
        if (!HostKernels.Take(x, weight) || kernel[2] != kernel[3] || (norm is not null && !NormBatch.Takes(shape[1])))
            return null;
        var window = new WindowSize((int)shape[0], (int)shape[2], (int)shape[3], (int)shape[1], (int)kernel[2], stride, before, after);
        if (norm is not null && !window.IsPointwise)
            return null;
        if (LinearKernel.LanesFor(kernel[1], kernel[0]) == 0 || window.OutputHeight < 1 || window.OutputWidth < 1 || !LinearKernel.Takes(window.Outputs))
            return null;
        if (window.Outputs * Math.Max(kernel[0], kernel[1] * kernel[2] * kernel[3]) > int.MaxValue / sizeof(float))
            return null;
        if (!is_grad_enabled())
        {
            var (y, statistics) = Forward(x, weight, bias, addend, norm?.Weight, norm?.Bias, norm?.Scale, norm?.Shift, new(norm?.Settings, window, false));
            statistics?.Dispose();
            return y;
        }
        // The graph holds what it needs by handles of its own: all that was made on the way can go.
        using var scope = NewDisposeScope();
        var settings = new ProductSettings(norm?.Settings, window, x.requires_grad);
        return apply(x, weight, bias!, addend!, norm?.Weight!, norm?.Bias!, norm?.Scale!, norm?.Shift!, settings).MoveToOuterDisposeScope();
    }

    /// <inheritdoc/>
    public override Tensor forward(autograd.AutogradContext ctx, params object[] vars)
    {
        var (x, weight, bias, addend) = ((Tensor)vars[0], (Tensor)vars[1], (Tensor?)vars[2], (Tensor?)vars[3]);
        var (normWeight, normBias, scale, shift, settings) = ((Tensor?)vars[4], (Tensor?)vars[5], (Tensor?)vars[6], (Tensor?)vars[7], (ProductSettings)vars[8]);
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
        var settings = (ProductSettings)ctx.get_data(Settings);
        var (x, weight, bias) = (saved[0], saved[1], (Tensor?)saved[2]);
        var (normWeight, normBias, scale, shift, statistics) = ((Tensor?)saved[3], (Tensor?)saved[4], (Tensor?)saved[5], (Tensor?)saved[6], (Tensor?)saved[7]);

        Tensor pixels = HostKernels.Pixels(x), dy = HostKernels.Pixels(given), kernel = HostKernels.Pixels(weight);
        NormBatch? norm = settings.Norm is null ? null : new(pixels, normWeight!, normBias!, scale?.contiguous(), shift?.contiguous(), statistics!, settings.Norm);
        var window = settings.Window;
        int inputs = window.Kernel * window.Kernel * window.Channels, outputs = (int)kernel.shape[0];

        Tensor? direct = DirectGradients.Of(weight);
        Tensor dWeight = direct ?? zeros(kernel.shape, float32);
        Tensor? dBias = bias is null ? null : empty(bias.shape, float32);
        LinearKernel.WeightGradient(
            window.Outputs, inputs, outputs, HostMemory.Pointer(pixels), SourceOf(pixels, norm, window), HostMemory.Pointer(dy),
            HostMemory.Pointer(dWeight), dBias is null ? null : HostMemory.Pointer(dBias));

        Tensor? dx = null;
        Tensor?[] normGradients = [null, null, null, null];
        if (settings.NeedsInput || norm is not null)
        {
            dx = empty([window.Outputs, inputs], float32);
            LinearKernel.Apply(window.Outputs, outputs, inputs, HostMemory.Pointer(dy), null, HostMemory.Pointer(kernel), transposed: true, null, null, HostMemory.Pointer(dx));
            if (window.IsPointwise)
            {
                dx = dx.view(pixels.shape);
            }
            else
            {
                Tensor windows = dx;
                dx = empty(pixels.shape, float32);
                LinearKernel.AddWindows(window, HostMemory.Pointer(windows), HostMemory.Pointer(dx));
            }
            if (norm is not null)
                normGradients = NormGradients.Compute(norm, dx, normWeight!, normBias!, scale, shift);
        }

        return ReturnedGradients.Pass([dx?.permute(0, 3, 1, 2), direct is null ? dWeight.permute(0, 3, 1, 2) : null, dBias, settings.HasAddend ? given.alias() : null, .. normGradients, null]);
    }

    private static (Tensor Y, Tensor? Statistics) Forward(
        Tensor x, Tensor weight, Tensor? bias, Tensor? addend, Tensor? normWeight, Tensor? normBias, Tensor? scale, Tensor? shift, ProductSettings settings)
    {
        using Tensor pixels = HostKernels.Pixels(x);
        using Tensor kernel = HostKernels.Pixels(weight);
        using Tensor? added = addend is null ? null : HostKernels.Pixels(addend);
        using Tensor? scales = scale?.contiguous();
        using Tensor? shifts = shift?.contiguous();
        Tensor? statistics = settings.Norm is null ? null : NormGradients.NewStatistics(pixels, settings.Norm);
        NormBatch? norm = settings.Norm is null ? null : new(pixels, normWeight!, normBias!, scales, shifts, statistics!, settings.Norm);
        norm?.Measure();
        var window = settings.Window;
        int outputs = (int)kernel.shape[0];
        using Tensor y = empty([window.Images, window.OutputHeight, window.OutputWidth, outputs], float32);
        LinearKernel.Apply(
            window.Outputs, window.Kernel * window.Kernel * window.Channels, outputs, HostMemory.Pointer(pixels), SourceOf(pixels, norm, window), HostMemory.Pointer(kernel),
            transposed: false, bias is null ? null : HostMemory.Pointer(bias), added is null ? null : HostMemory.Pointer(added), HostMemory.Pointer(y));
        return (y.permute(0, 3, 1, 2), statistics);
    }

    private static RowSource? SourceOf(Tensor pixels, NormBatch? norm, WindowSize window)
    {
        if (norm is not null)
            return new NormRows(norm);
        return window.IsPointwise ? null : new WindowRows(HostMemory.Pointer(pixels), window);
    }

    /// <param name="Norm">The norm before the product, or null.</param>
    /// <param name="Window">The sizes.</param>
    /// <param name="NeedsInput">Whether somebody wants the input's gradient.</param>
    private sealed record ProductSettings(NormSettings? Norm, WindowSize Window, bool NeedsInput)
    {
        public bool HasAddend { get; init; }
    }
}
