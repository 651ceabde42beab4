using TorchSharp;

namespace Microsoft.ML.Diffusion;

/// <summary>What an operator with surroundings was told.</summary>
/// <param name="Norm">The norm before the operator, or null.</param>
internal abstract record SurroundedSettings(NormSettings? Norm)
{
    /// <summary>D.</summary>
    public int Outputs { get; init; }

    /// <summary>The layer, where its parameters are known, and on the way back their gradients too; null: it is told.</summary>
    public KnownLayer? Known { get; init; }

    /// <summary>Whether somebody wants the input's gradient.</summary>
    public bool NeedsInput { get; init; }

    /// <summary>Whether something is added to the result.</summary>
    public bool HasAddend { get; init; }

    /// <summary>How many others read the input.</summary>
    public int Readers { get; init; }

    /// <summary>N, D, H', W'.</summary>
    public long[] OutputShape { get; init; } = [];

    /// <summary>What is known of the input; null: nothing.</summary>
    public ChannelMoments? InputMoments { get; init; }

    /// <summary>What the kernel measured of the result; null: nothing.</summary>
    public ChannelMoments? OutputMoments { get; set; }
}

/// <summary>
/// A linear operator on images with what surrounds it, as one node of the graph: norm, FiLM and SiLU are computed as the input is read, a residual is added as the output
/// is written. It keeps its input alone for the way back and computes the norm once more there. Others that read the input get it from the node (<see cref="Fork"/>).
/// Differentiable once.
/// </summary>
/// <typeparam name="T">The operator.</typeparam>
/// <typeparam name="S">Its settings.</typeparam>
internal abstract unsafe class SurroundedOperator<T, S> : autograd.MultiTensorFunction<T>
    where T : SurroundedOperator<T, S>, new()
    where S : SurroundedSettings
{
    private const string Settings = "settings";

    /// <inheritdoc/>
    public sealed override string Name => typeof(T).Name;

    /// <summary>Runs the operator.</summary>
    /// <param name="x">[N, C, H, W] on the CPU, float32, or bfloat16 where a <see cref="MatrixUnit"/> takes it; not changed.</param>
    /// <param name="weight">[D, C, k, k], or [D, C].</param>
    /// <param name="bias">[D] or null.</param>
    /// <param name="norm">What comes before; null: nothing.</param>
    /// <param name="addend">[N, D, H', W'] or null.</param>
    /// <param name="fork">The others that read x; or null.</param>
    /// <param name="settings">The settings.</param>
    /// <returns>[N, D, H', W'] in x's type with the channels last in memory.</returns>
    protected static Tensor Run(Tensor x, Tensor weight, Tensor? bias, NormArguments? norm, Tensor? addend, Fork? fork, S settings)
    {
        settings = settings with { Outputs = (int)weight.shape[0], InputMoments = ChannelMoments.Of(x), Known = KnownLayer.Of(weight, bias, norm) };
        if (!is_grad_enabled())
        {
            var (y, statistics) = new T().Forward(x, weight, bias, addend, norm?.Weight, norm?.Bias, norm?.Film, settings);
            statistics?.Dispose();
            fork?.Fill(x);
            settings.OutputMoments?.Describe(y);
            return y;
        }
        // The graph holds what it needs by handles of its own: all that was made on the way, TorchSharp's copy of the output's shape too, can go.
        using var scope = NewDisposeScope();
        // Gradients that are added where they are known to lie need no way through the graph: the weight alone stays, for there to be a node at all.
        bool direct = settings.Known is { Gradients: not null };
        settings = settings with { Known = direct ? settings.Known : null, NeedsInput = x.requires_grad, HasAddend = addend is not null, Readers = fork?.Readers ?? 0 };
        List<Tensor> outputs = apply(x, weight, direct ? null! : bias!, addend!, direct ? null! : norm?.Weight!, direct ? null! : norm?.Bias!, norm?.Film!, settings);
        foreach (Tensor output in outputs)
            output.MoveToOuterDisposeScope();
        fork?.Fill(outputs.Skip(1), settings.InputMoments);
        settings.OutputMoments?.Describe(outputs[0]);
        return outputs[0];
    }

    /// <inheritdoc/>
    public sealed override List<Tensor> forward(autograd.AutogradContext ctx, params object[] vars)
    {
        var (x, weight, bias, addend) = ((Tensor)vars[0], (Tensor)vars[1], (Tensor?)vars[2], (Tensor?)vars[3]);
        var (normWeight, normBias, film, settings) = ((Tensor?)vars[4], (Tensor?)vars[5], (Tensor?)vars[6], (S)vars[7]);
        var (y, statistics) = Forward(x, weight, bias, addend, normWeight, normBias, film, settings);
        ctx.save_for_backward([x, settings.Known is null ? weight : null!, bias!, normWeight!, normBias!, film!, statistics!]);
        ctx.save_data(Settings, settings with { OutputShape = y.shape, InputMoments = null, OutputMoments = null });
        // TorchSharp makes its zeros like the gradient that is not there.
        ctx.set_materialize_grads(false);
        return [y, .. Enumerable.Range(0, settings.Readers).Select(_ => x.detach())];
    }

    /// <inheritdoc/>
    public sealed override List<Tensor> backward(autograd.AutogradContext ctx, List<Tensor> grad_outputs)
    {
        using var scope = NewDisposeScope();
        var saved = ctx.get_saved_variables();
        var settings = (S)ctx.get_data(Settings);
        // TorchSharp hands over handles of its own and does not free them; an empty one where nobody used the output.
        using Tensor result = grad_outputs[0];
        Tensor given = result.IsInvalid ? zeros(settings.OutputShape, saved[0].dtype) : result;
        var (x, weight, bias) = (saved[0], saved[1], (Tensor?)saved[2]);
        var (normWeight, normBias, film, statistics) = ((Tensor?)saved[3], (Tensor?)saved[4], (Tensor?)saved[5], (Tensor?)saved[6]);

        Tensor pixels = ChannelsLast.Pixels(x), dy = ChannelsLast.Pixels(given);
        using var layer = new ReadLayer(settings.Known, weight, bias, normWeight, normBias);
        NormBatch? norm = settings.Norm is null ? null : new(pixels, layer.Memory.NormWeight, layer.Memory.NormBias, film?.contiguous(), statistics!, settings.Norm);
        LayerMemory? known = settings.Known?.Gradients;
        Tensor? dWeight = null, dBias = null;
        if (known is { } direct)
            AddParameterGradients(direct);
        else
            (dWeight, dBias) = ParameterGradients();

        Tensor? dx = settings.NeedsInput || norm is not null ? InputGradient(pixels.shape, layer.Memory.Weight, dy, settings) : null;
        Tensor?[] ofNorm = norm is null ? [null, null, null] : NormGradients.Compute(norm, dx!, film, known);
        foreach (Tensor other in grad_outputs.Skip(1))
        {
            if (dx is not null && !other.IsInvalid)
                AddTo(dx, ChannelsLast.Pixels(other));
            other.Dispose();
        }
        return ReturnedGradients.Pass([dx?.permute(0, 3, 1, 2), dWeight, dBias, settings.HasAddend ? given.alias() : null, .. ofNorm, null]);

        // The kernels write a bias's gradient and add to a weight's.
        void AddParameterGradients(LayerMemory gradients)
        {
            float* sums = gradients.Bias is null ? null : KernelMemory.Sums(settings.Outputs);
            AddWeightGradient(pixels, norm, dy, gradients.Weight, sums, settings);
            for (int i = 0; i < settings.Outputs && sums is not null; i++)
                gradients.Bias[i] += sums[i];
        }

        (Tensor Weight, Tensor? Bias) ParameterGradients()
        {
            bool isMatrix = weight.dim() == 2;
            long[] shape = weight.shape;
            Tensor gradient = zeros(isMatrix ? shape : [shape[0], shape[2], shape[3], shape[1]], float32);
            Tensor? ofBias = bias is null ? null : empty(bias.shape, float32);
            AddWeightGradient(pixels, norm, dy, HostMemory.Pointer(gradient), HostMemory.PointerOrNull(ofBias), settings);
            return (isMatrix ? gradient : gradient.permute(0, 3, 1, 2), ofBias);
        }
    }

    /// <summary>What multiplies activations of bfloat16; null: they are float32.</summary>
    protected static MatrixUnit? UnitFor(Tensor activations) => activations.dtype == ScalarType.BFloat16
        ? MatrixUnit.Current ?? throw new InvalidOperationException("The forward pass computed in bfloat16 on a matrix unit, the backward pass has none: both belong inside one use of it.")
        : null;

    /// <summary>Computes the result.</summary>
    /// <param name="pixels">[N, H, W, C], the input before its norm.</param>
    /// <param name="norm">The norm, measured; or null.</param>
    /// <param name="layer">Weight and bias.</param>
    /// <param name="addend">[N, H', W', D] or null.</param>
    /// <param name="settings">The settings; what is measured of the result goes there.</param>
    /// <returns>[N, H', W', D].</returns>
    protected abstract Tensor Compute(Tensor pixels, NormBatch? norm, LayerMemory layer, Tensor? addend, S settings);

    /// <summary>Adds up the gradient of the weight and computes that of the bias.</summary>
    /// <param name="pixels">[N, H, W, C], the input before its norm.</param>
    /// <param name="norm">The norm, measured; or null.</param>
    /// <param name="dy">[N, H', W', D].</param>
    /// <param name="dWeight">[D, k, k, C], added to.</param>
    /// <param name="dBias">[D], written; or null.</param>
    /// <param name="settings">The settings.</param>
    protected abstract void AddWeightGradient(Tensor pixels, NormBatch? norm, Tensor dy, float* dWeight, float* dBias, S settings);

    /// <summary>Computes the gradient of the operator's input, behind the norm.</summary>
    /// <param name="shape">N, H, W, C.</param>
    /// <param name="kernel">[D, k, k, C].</param>
    /// <param name="dy">[N, H', W', D].</param>
    /// <param name="settings">The settings.</param>
    /// <returns>[N, H, W, C], in the current scope.</returns>
    protected abstract Tensor InputGradient(long[] shape, float* kernel, Tensor dy, S settings);

    private static void AddTo(Tensor sum, Tensor gradient)
    {
        int count = checked((int)sum.numel());
        if (sum.dtype == ScalarType.BFloat16)
            SumKernel.AddOnAllCores(HostMemory.Narrow(gradient), count, HostMemory.Narrow(sum));
        else
            SumKernel.AddOnAllCores(HostMemory.Pointer(gradient), count, HostMemory.Pointer(sum));
    }

    private (Tensor Y, Tensor? Statistics) Forward(
        Tensor x, Tensor weight, Tensor? bias, Tensor? addend, Tensor? normWeight, Tensor? normBias, Tensor? film, S settings)
    {
        using Tensor pixels = ChannelsLast.Pixels(x);
        using var layer = new ReadLayer(settings.Known, weight, bias, normWeight, normBias);
        using Tensor? added = addend is null ? null : ChannelsLast.Pixels(addend);
        using Tensor? rows = film?.contiguous();
        Tensor? statistics = settings.Norm is null ? null : NormGradients.NewStatistics(pixels, settings.Norm);
        NormBatch? norm = settings.Norm is null ? null : new(pixels, layer.Memory.NormWeight, layer.Memory.NormBias, rows, statistics!, settings.Norm);
        norm?.Measure(settings.InputMoments);
        using Tensor y = Compute(pixels, norm, layer.Memory, added, settings);
        return (y.permute(0, 3, 1, 2), statistics);
    }
}
