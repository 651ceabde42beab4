using TorchSharp;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// Group norm, FiLM and SiLU of a batch as one operator with a gradient of its own, over <see cref="NormActivationKernel"/>, an image a core.
/// It keeps its input alone for the way back, where plain operators keep four tensors of that size. Differentiable once.
/// </summary>
internal sealed class FusedNormActivation : autograd.SingleTensorFunction<FusedNormActivation>
{
    private const string Settings = "settings";

    /// <inheritdoc/>
    public override string Name => nameof(FusedNormActivation);

    /// <summary>Runs it where it can.</summary>
    /// <returns>[N, C, H, W] with the channels last in memory; null where the plain operators have to do it.</returns>
    /// <inheritdoc cref="NormActivation.Apply"/>
    public static Tensor? TryApply(Tensor x, long groups, Tensor weight, Tensor bias, double epsilon, Tensor? scale, Tensor? shift, bool silu)
    {
        if (x.device_type != DeviceType.CPU || x.dtype != ScalarType.Float32 || weight.dtype != ScalarType.Float32)
            return null;
        if (!NormActivationKernel.Takes(x.shape[1]) || x.numel() > int.MaxValue / sizeof(float))
            return null;
        using (Tensor pixels = x.permute(0, 2, 3, 1))
        {
            if (!pixels.is_contiguous())
                return null;
        }

        var norm = new NormSettings((int)groups, epsilon, silu);
        if (is_grad_enabled())
        {
            // The graph holds what it needs by handles of its own: all that was made on the way, TorchSharp's copy of the output's shape too, can go.
            using var scope = NewDisposeScope();
            return apply(x, weight, bias, scale!, shift!, norm).MoveToOuterDisposeScope();
        }
        var (y, statistics) = Forward(x, weight, bias, scale, shift, norm);
        statistics.Dispose();
        return y;
    }

    /// <inheritdoc/>
    public override Tensor forward(autograd.AutogradContext ctx, params object[] vars)
    {
        var (x, weight, bias) = ((Tensor)vars[0], (Tensor)vars[1], (Tensor)vars[2]);
        var (scale, shift, norm) = ((Tensor?)vars[3], (Tensor?)vars[4], (NormSettings)vars[5]);
        var (y, statistics) = Forward(x, weight, bias, scale, shift, norm);
        ctx.save_for_backward([x, weight, bias, scale!, shift!, statistics]);
        ctx.save_data(Settings, norm);
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
        var norm = (NormSettings)ctx.get_data(Settings);
        var (x, weight, bias, scale, shift) = (saved[0], saved[1], saved[2], (Tensor?)saved[3], (Tensor?)saved[4]);
        var batch = new Batch(x.permute(0, 2, 3, 1), weight, bias, scale?.contiguous(), shift?.contiguous(), saved[5], norm);
        Tensor dy = given.permute(0, 2, 3, 1).contiguous();

        Tensor dx = empty(batch.X.shape, float32);
        Tensor sums = empty([batch.Images, batch.Channels], float32), products = empty([batch.Images, batch.Channels], float32);
        ForEachImage(batch.Images, image => batch.Backward(image, dy, dx, sums, products));

        Tensor film = scale is null ? ones(1, float32) : scale + 1;
        Tensor dWeight = (products * film).sum(dim: 0), dBias = (sums * film).sum(dim: 0);
        Tensor? dScale = scale is null ? null : Rows(products * weight + sums * bias, scale);
        Tensor? dShift = shift is null ? null : Rows(sums, shift);
        Tensor result = dx.permute(0, 3, 1, 2);
        foreach (Tensor? kept in new[] { result, dWeight, dBias, dScale, dShift })
            kept?.MoveToOuterDisposeScope();
        return [result, dWeight, dBias, dScale!, dShift!, null!];
    }

    /// <summary>One row for the whole batch collects the gradients of all.</summary>
    private static Tensor Rows(Tensor gradient, Tensor rows) =>
        rows.shape[0] == gradient.shape[0] ? gradient.alias() : gradient.sum(0, keepdim: true);

    private static (Tensor Y, Tensor Statistics) Forward(Tensor x, Tensor weight, Tensor bias, Tensor? scale, Tensor? shift, NormSettings norm)
    {
        using Tensor pixels = x.permute(0, 2, 3, 1);
        using Tensor? scales = scale?.contiguous();
        using Tensor? shifts = shift?.contiguous();
        using Tensor result = empty(pixels.shape, float32);
        Tensor statistics = empty([pixels.shape[0], 2 * norm.Groups], float32);
        var batch = new Batch(pixels, weight, bias, scales, shifts, statistics, norm);
        ForEachImage(batch.Images, image => batch.Forward(image, result));
        return (result.permute(0, 3, 1, 2), statistics);
    }

    private static void ForEachImage(int images, Action<int> run)
    {
        if (images == 1)
            run(0);
        else
            Parallel.For(0, images, new ParallelOptions { MaxDegreeOfParallelism = Math.Max(1, get_num_threads()) }, run);
    }

    /// <param name="Groups">Groups of channels.</param>
    /// <param name="Epsilon">Added to the variance.</param>
    /// <param name="Silu">Whether SiLU follows.</param>
    private sealed record NormSettings(int Groups, double Epsilon, bool Silu);

    /// <param name="X">[N, H, W, C] contiguous.</param>
    /// <param name="Weight">[C].</param>
    /// <param name="Bias">[C].</param>
    /// <param name="Scale">[N or 1, C] contiguous, or null.</param>
    /// <param name="Shift">[N or 1, C] contiguous, or null.</param>
    /// <param name="Statistics">[N, 2·groups]: means, then 1/√(variance + ε).</param>
    /// <param name="Norm">The settings.</param>
    private sealed record Batch(Tensor X, Tensor Weight, Tensor Bias, Tensor? Scale, Tensor? Shift, Tensor Statistics, NormSettings Norm)
    {
        public int Images { get; } = (int)X.shape[0];

        public int Channels { get; } = (int)X.shape[3];

        public void Forward(int image, Tensor y)
        {
            var x = Row(X, image);
            var statistics = Row(Statistics, image);
            NormActivationKernel.Measure(x, Channels, Norm.Epsilon, statistics[..Norm.Groups], statistics[Norm.Groups..]);
            Span<float> coefficients = stackalloc float[2 * Channels];
            Factors(image, coefficients[..Channels], coefficients[Channels..]);
            NormActivationKernel.Apply(x, coefficients[..Channels], coefficients[Channels..], Norm.Silu, Row(y, image));
        }

        public void Backward(int image, Tensor dy, Tensor dx, Tensor sums, Tensor products)
        {
            var x = Row(X, image);
            var statistics = Row(Statistics, image);
            Span<float> coefficients = stackalloc float[4 * Channels];
            Span<float> factor = coefficients[..Channels], offset = coefficients[Channels..(2 * Channels)];
            Span<float> mean = coefficients[(2 * Channels)..(3 * Channels)], inverse = coefficients[(3 * Channels)..];
            Factors(image, factor, offset);
            int width = Channels / Norm.Groups;
            for (int group = 0; group < Norm.Groups; group++)
            {
                mean.Slice(group * width, width).Fill(statistics[group]);
                inverse.Slice(group * width, width).Fill(statistics[Norm.Groups + group]);
            }

            var forward = new NormCoefficients(factor, offset, mean, inverse);
            Span<float> gradient = Row(dx, image), sum = Row(sums, image), product = Row(products, image);
            NormActivationKernel.BackThroughActivation(x, Row(dy, image), forward, Norm.Silu, gradient, sum, product);
            NormActivationKernel.BackThroughNorm(x, forward, Norm.Groups, sum, product, gradient);
        }

        private void Factors(int image, Span<float> factor, Span<float> offset)
        {
            var statistics = Row(Statistics, image);
            NormActivationKernel.Factors(
                statistics[..Norm.Groups], statistics[Norm.Groups..], Row(Weight, 0, 1), Row(Bias, 0, 1), Film(Scale, image), Film(Shift, image), factor, offset);
        }

        private static ReadOnlySpan<float> Film(Tensor? rows, int image) =>
            rows is null ? [] : Row(rows, rows.shape[0] == 1 ? 0 : image);

        private static Span<float> Row(Tensor tensor, int row) => Row(tensor, row, (int)tensor.shape[0]);

        private static Span<float> Row(Tensor tensor, int row, int rows)
        {
            var values = HostMemory.Floats(tensor);
            int length = values.Length / rows;
            return values.Slice(row * length, length);
        }
    }
}
