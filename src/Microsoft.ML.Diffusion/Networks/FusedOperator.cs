using TorchSharp;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// A linear operator on images with what surrounds it, as one node of libtorch's graph: norm, FiLM and SiLU are computed as the input is read, a residual is added as the output
/// is written. It keeps its input alone for the way back and computes the norm once more there. Differentiable once.
/// </summary>
internal sealed unsafe class FusedOperator : autograd.SingleTensorFunction<FusedOperator>
{
    private const string Settings = "settings";

    /// <inheritdoc/>
    public override string Name => nameof(FusedOperator);

    /// <summary>Runs an operator.</summary>
    /// <param name="x">[N, C, H, W] on the CPU, float32, or bfloat16 where a <see cref="MatrixUnit"/> takes it; not changed.</param>
    /// <param name="weight">[D, C, k, k], or [D, C].</param>
    /// <param name="bias">[D] or null.</param>
    /// <param name="norm">What comes before; null: nothing.</param>
    /// <param name="addend">[N, D, H', W'] or null.</param>
    /// <param name="run">The operator.</param>
    /// <returns>[N, D, H', W'] in x's type with the channels last in memory.</returns>
    public static Tensor Run(Tensor x, Tensor weight, Tensor? bias, NormArguments? norm, Tensor? addend, ImageOperator run)
    {
        var known = KnownLayer.Of(weight, bias, norm);
        var settings = new OperatorSettings(run, norm?.Settings) { InputMoments = ChannelMoments.Of(x), Known = known };
        if (!is_grad_enabled())
        {
            var (y, statistics) = Forward(x, weight, bias, addend, norm?.Weight, norm?.Bias, norm?.Film, settings);
            statistics?.Dispose();
            settings.OutputMoments?.Describe(y);
            return y;
        }
        // The graph holds what it needs by handles of its own: all that was made on the way, TorchSharp's copy of the output's shape too, can go.
        using var scope = NewDisposeScope();
        // Gradients that are added where they are known to lie need no way through the graph: the weight alone stays, for there to be a node at all.
        bool direct = known is { Gradients: not null };
        settings = settings with { Known = direct ? known : null, NeedsInput = x.requires_grad, HasAddend = addend is not null };
        Tensor result = apply(x, weight, direct ? null! : bias!, addend!, direct ? null! : norm?.Weight!, direct ? null! : norm?.Bias!, norm?.Film!, settings).MoveToOuterDisposeScope();
        settings.OutputMoments?.Describe(result);
        return result;
    }

    /// <inheritdoc/>
    public override Tensor forward(autograd.AutogradContext ctx, params object[] vars)
    {
        var (x, weight, bias, addend) = ((Tensor)vars[0], (Tensor)vars[1], (Tensor?)vars[2], (Tensor?)vars[3]);
        var (normWeight, normBias, film, settings) = ((Tensor?)vars[4], (Tensor?)vars[5], (Tensor?)vars[6], (OperatorSettings)vars[7]);
        var (y, statistics) = Forward(x, weight, bias, addend, normWeight, normBias, film, settings);
        ctx.save_for_backward([x, settings.Known is null ? weight : null!, bias!, normWeight!, normBias!, film!, statistics!]);
        ctx.save_data(Settings, settings with { InputMoments = null, OutputMoments = null });
        ctx.set_materialize_grads(false);
        return y;
    }

    /// <inheritdoc/>
    public override List<Tensor> backward(autograd.AutogradContext ctx, Tensor grad_output)
    {
        using var scope = NewDisposeScope();
        var saved = ctx.get_saved_variables();
        var settings = (OperatorSettings)ctx.get_data(Settings);
        // TorchSharp hands over a handle of its own and does not free it.
        using Tensor given = grad_output;
        var (x, weight, bias) = (ImageMemory.Of(ChannelsLast.Pixels(saved[0])), saved[1], (Tensor?)saved[2]);
        var (normWeight, normBias, film, statistics) = ((Tensor?)saved[3], (Tensor?)saved[4], (Tensor?)saved[5], (Tensor?)saved[6]);

        var (run, dy) = (settings.Operator, ImageMemory.Of(ChannelsLast.Pixels(given)));
        using var layer = new ReadLayer(settings.Known, weight, bias, normWeight, normBias);
        NormBatch? norm = settings.Norm is null
            ? null
            : new(x, layer.Memory.NormWeight, layer.Memory.NormBias, ImageRows.Of(film?.contiguous()), HostMemory.Pointer(statistics!), settings.Norm);
        LayerMemory? known = settings.Known?.Gradients;
        Tensor? dWeight = null, dBias = null;
        if (known is { } direct)
            run.AddGradients(x, norm, dy, direct.Weight, direct.Bias);
        else
            (dWeight, dBias) = ParameterGradients();

        Tensor? dx = null;
        Tensor?[] ofNorm = [null, null, null];
        if (settings.NeedsInput || norm is not null)
        {
            dx = empty(x.Shape.Sizes, x.Shape.Type);
            run.InputGradient(layer.Memory.Weight, dy, ImageMemory.Of(dx));
            if (norm is not null)
                ofNorm = NormGradients.Compute(norm, ImageMemory.Of(dx), film, known);
        }
        return ReturnedGradients.Pass([dx?.permute(0, 3, 1, 2), dWeight, dBias, settings.HasAddend ? given.alias() : null, .. ofNorm, null]);

        (Tensor Weight, Tensor? Bias) ParameterGradients()
        {
            bool isMatrix = weight.dim() == 2;
            long[] shape = weight.shape;
            Tensor gradient = zeros(isMatrix ? shape : [shape[0], shape[2], shape[3], shape[1]], float32);
            Tensor? ofBias = bias is null ? null : zeros(bias.shape, float32);
            run.AddGradients(x, norm, dy, HostMemory.Pointer(gradient), HostMemory.PointerOrNull(ofBias));
            return (isMatrix ? gradient : gradient.permute(0, 3, 1, 2), ofBias);
        }
    }

    private static (Tensor Y, Tensor? Statistics) Forward(
        Tensor x, Tensor weight, Tensor? bias, Tensor? addend, Tensor? normWeight, Tensor? normBias, Tensor? film, OperatorSettings settings)
    {
        using Tensor pixels = ChannelsLast.Pixels(x);
        using var layer = new ReadLayer(settings.Known, weight, bias, normWeight, normBias);
        using Tensor? added = addend is null ? null : ChannelsLast.Pixels(addend);
        using Tensor? rows = film?.contiguous();
        var images = ImageMemory.Of(pixels);
        Tensor? statistics = settings.Norm is null ? null : NormGradients.NewStatistics(images.Shape, settings.Norm);
        NormBatch? norm = settings.Norm is null
            ? null
            : new(images, layer.Memory.NormWeight, layer.Memory.NormBias, ImageRows.Of(rows), HostMemory.Pointer(statistics!), settings.Norm);
        norm?.Measure(settings.InputMoments);
        var size = settings.Operator.OutputOf(images.Shape);
        using Tensor y = empty(size.Sizes, size.Type);
        settings.OutputMoments = settings.Operator.Apply(images, norm, layer.Memory, ImageMemory.OfOrNone(added), ImageMemory.Of(y));
        return (y.permute(0, 3, 1, 2), statistics);
    }

    /// <summary>What the node was told.</summary>
    /// <param name="Operator">The operator.</param>
    /// <param name="Norm">The norm before it, or null.</param>
    private sealed record OperatorSettings(ImageOperator Operator, NormSettings? Norm)
    {
        /// <summary>The layer, where its parameters are known, and on the way back their gradients too; null: it is told.</summary>
        public KnownLayer? Known { get; init; }

        /// <summary>Whether somebody wants the input's gradient.</summary>
        public bool NeedsInput { get; init; }

        /// <summary>Whether something is added to the result.</summary>
        public bool HasAddend { get; init; }

        /// <summary>What is known of the input; null: nothing.</summary>
        public ChannelMoments? InputMoments { get; init; }

        /// <summary>What the kernel measured of the result; null: nothing.</summary>
        public ChannelMoments? OutputMoments { get; set; }
    }
}
