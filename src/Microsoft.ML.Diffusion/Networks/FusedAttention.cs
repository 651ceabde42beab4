using TorchSharp;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// Softmax attention as one operator with a gradient of its own, over <see cref="AttentionKernel{L, P}"/> or <see cref="BFloat16Attention"/>: it keeps queries, keys, values and the mixture,
/// and a number for each query instead of its weights. Differentiable once.
/// </summary>
internal sealed unsafe class FusedAttention : autograd.SingleTensorFunction<FusedAttention>
{
    private const string Settings = "settings";

    /// <inheritdoc/>
    public override string Name => nameof(FusedAttention);

    /// <summary>Runs it where it can.</summary>
    /// <param name="qkv">[N, T, 3·heads·d], or images [N, 3·heads·d, H, W].</param>
    /// <param name="heads">Number of heads.</param>
    /// <returns>[N, T, heads·d], or [N, heads·d, H, W] with the channels last in memory; null where the plain operators have to do it.</returns>
    public static Tensor? TryApply(Tensor qkv, int heads)
    {
        long[] shape = qkv.shape;
        bool images = shape.Length == 4;
        var (positions, numbers) = images ? (shape[2] * shape[3], shape[1]) : (shape[1], shape[2]);
        if (numbers % (3 * heads) != 0 || (!images && !qkv.is_contiguous()))
            return null;
        var size = new AttentionSize((int)shape[0], (int)positions, heads, (int)numbers / 3 / heads);
        if (qkv.dtype == ScalarType.BFloat16 ? !HostKernels.TakeNarrow(qkv, size.Positions, size.Width) : !HostKernels.Take(qkv, qkv) || LanesFor(size) == 0)
            return null;
        if (!is_grad_enabled())
        {
            using Tensor rows = Rows(qkv), mixed = empty([.. rows.shape[..^1], numbers / 3], qkv.dtype);
            Apply(size, rows, mixed, null);
            return AsGiven(mixed);
        }
        using var scope = NewDisposeScope();
        return apply(qkv, size).MoveToOuterDisposeScope();
    }

    /// <inheritdoc/>
    public override Tensor forward(autograd.AutogradContext ctx, params object[] vars)
    {
        var (qkv, size) = ((Tensor)vars[0], (AttentionSize)vars[1]);
        Tensor rows = Rows(qkv), y = empty([.. rows.shape[..^1], (long)size.Heads * size.Width], qkv.dtype);
        Tensor normalizers = empty([size.Images, size.Heads, size.Positions], float32);
        Apply(size, rows, y, normalizers);
        ctx.save_for_backward([rows, y, normalizers]);
        ctx.save_data(Settings, size);
        ctx.set_materialize_grads(false);
        return AsGiven(y);
    }

    /// <inheritdoc/>
    public override List<Tensor> backward(autograd.AutogradContext ctx, Tensor grad_output)
    {
        using var scope = NewDisposeScope();
        // TorchSharp hands over a handle of its own and does not free it.
        using Tensor given = grad_output;
        var saved = ctx.get_saved_variables();
        var size = (AttentionSize)ctx.get_data(Settings);
        Tensor dy = Rows(given), dqkv = empty(saved[0].shape, saved[0].dtype);
        float* normalizers = HostMemory.Pointer(saved[2]);
        if (saved[0].dtype == ScalarType.BFloat16)
        {
            BFloat16Attention.Backward(
                MatrixUnit.Current!, size, HostMemory.Narrow(saved[0]), HostMemory.Narrow(saved[1]), normalizers, HostMemory.Narrow(dy), HostMemory.Narrow(dqkv));
            return ReturnedGradients.Pass(AsGiven(dqkv), null);
        }
        float* qkv = HostMemory.Pointer(saved[0]), y = HostMemory.Pointer(saved[1]);
        int lanes = LanesFor(size);
        if (lanes == 16 && Int16Products.Take(size.Width, size.Positions))
            AttentionKernel<Lanes512, Int16Factors<Lanes512>>.Backward(size, qkv, y, normalizers, HostMemory.Pointer(dy), HostMemory.Pointer(dqkv));
        else if (lanes == 16)
            AttentionKernel<Lanes512, WideFactors<Lanes512>>.Backward(size, qkv, y, normalizers, HostMemory.Pointer(dy), HostMemory.Pointer(dqkv));
        else if (lanes == 8 && Int16Products.Take(size.Width, size.Positions))
            AttentionKernel<Lanes256, Int16Factors<Lanes256>>.Backward(size, qkv, y, normalizers, HostMemory.Pointer(dy), HostMemory.Pointer(dqkv));
        else if (lanes == 8)
            AttentionKernel<Lanes256, WideFactors<Lanes256>>.Backward(size, qkv, y, normalizers, HostMemory.Pointer(dy), HostMemory.Pointer(dqkv));
        else
            AttentionKernel<Lanes128, WideFactors<Lanes128>>.Backward(size, qkv, y, normalizers, HostMemory.Pointer(dy), HostMemory.Pointer(dqkv));
        return ReturnedGradients.Pass(AsGiven(dqkv), null);
    }

    /// <summary>A position's numbers side by side: [N, T, C], or images' as [N, H, W, C]; the caller disposes it.</summary>
    private static Tensor Rows(Tensor x) => x.dim() == 4 ? ChannelsLast.Pixels(x) : x.contiguous();

    /// <summary>Rows as what they came from: images as [N, C, H, W]; the caller disposes it.</summary>
    private static Tensor AsGiven(Tensor rows) => rows.dim() == 4 ? rows.permute(0, 3, 1, 2) : rows.alias();

    private static void Apply(AttentionSize size, Tensor qkv, Tensor y, Tensor? normalizers)
    {
        float* statistics = normalizers is null ? null : HostMemory.Pointer(normalizers);
        if (qkv.dtype == ScalarType.BFloat16)
        {
            BFloat16Attention.Apply(MatrixUnit.Current!, size, HostMemory.Narrow(qkv), HostMemory.Narrow(y), statistics);
            return;
        }
        int lanes = LanesFor(size);
        if (lanes == 16 && Int16Products.Take(size.Width, size.Positions))
            AttentionKernel<Lanes512, Int16Factors<Lanes512>>.Apply(size, HostMemory.Pointer(qkv), HostMemory.Pointer(y), statistics);
        else if (lanes == 16)
            AttentionKernel<Lanes512, WideFactors<Lanes512>>.Apply(size, HostMemory.Pointer(qkv), HostMemory.Pointer(y), statistics);
        else if (lanes == 8 && Int16Products.Take(size.Width, size.Positions))
            AttentionKernel<Lanes256, Int16Factors<Lanes256>>.Apply(size, HostMemory.Pointer(qkv), HostMemory.Pointer(y), statistics);
        else if (lanes == 8)
            AttentionKernel<Lanes256, WideFactors<Lanes256>>.Apply(size, HostMemory.Pointer(qkv), HostMemory.Pointer(y), statistics);
        else
            AttentionKernel<Lanes128, WideFactors<Lanes128>>.Apply(size, HostMemory.Pointer(qkv), HostMemory.Pointer(y), statistics);
    }

    private static int LanesFor(AttentionSize size) => Math.Min(Lanes.Dividing(size.Positions), Lanes.Dividing(size.Width));
}
