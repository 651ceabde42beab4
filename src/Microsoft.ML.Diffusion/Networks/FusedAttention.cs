using TorchSharp;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// Softmax attention as one operator with a gradient of its own, over <see cref="AttentionOperator"/>: it keeps queries, keys, values and the mixture,
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
        bool narrow = qkv.dtype == ScalarType.BFloat16;
        if (!AttentionOperator.Takes(size, narrow) || !(narrow ? HostKernels.TakeNarrow(qkv) : HostKernels.Take(qkv, qkv)))
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
        AttentionOperator.Backward(
            size, saved[0].dtype == ScalarType.BFloat16, HostMemory.Pointer(saved[0]), HostMemory.Pointer(saved[1]), HostMemory.Pointer(saved[2]), HostMemory.Pointer(dy), HostMemory.Pointer(dqkv));
        return ReturnedGradients.Pass(AsGiven(dqkv), null);
    }

    /// <summary>A position's numbers side by side: [N, T, C], or images' as [N, H, W, C]; the caller disposes it.</summary>
    private static Tensor Rows(Tensor x) => x.dim() == 4 ? ChannelsLast.Pixels(x) : x.contiguous();

    /// <summary>Rows as what they came from: images as [N, C, H, W]; the caller disposes it.</summary>
    private static Tensor AsGiven(Tensor rows) => rows.dim() == 4 ? rows.permute(0, 3, 1, 2) : rows.alias();

    private static void Apply(AttentionSize size, Tensor qkv, Tensor y, Tensor? normalizers) => AttentionOperator.Apply(
        size, qkv.dtype == ScalarType.BFloat16, HostMemory.Pointer(qkv), HostMemory.Pointer(y), HostMemory.PointerOrNull(normalizers));
}
