using TorchSharp.Native;

namespace TorchSharp;

/// <summary>Functions of several tensors.</summary>
public static partial class torch
{
    public static Tensor cat(IList<Tensor> tensors, long dim = 0) => Cat(tensors as Tensor[] ?? [.. tensors], dim);

    public static Tensor cat(Tensor[] tensors, long dim = 0) => Cat(tensors, dim);

    public static Tensor cat(ReadOnlySpan<Tensor> tensors, long dim = 0) => Cat(tensors.ToArray(), dim);

    private static Tensor Cat(Tensor[] tensors, long dim) => tensors.Length switch
    {
        0 => throw new ArgumentException(nameof(tensors)),
        1 => tensors[0].alias(),
        _ => Ops.cat.Call(tensors, dim),
    };

    public static Tensor stack(IEnumerable<Tensor> tensors, long dim = 0) => Ops.stack.Call(tensors as Tensor[] ?? [.. tensors], dim);

    public static Tensor where(Tensor condition, Tensor x, Tensor y) => Ops.where_self.Call(condition, x, y);

    public static Tensor cdist(Tensor x1, Tensor x2, double p = 2, compute_mode compute_mode = compute_mode.use_mm_for_euclid_dist_if_necessary) => Ops.cdist.Call(x1, x2, p, (long)compute_mode);
}

public enum compute_mode { use_mm_for_euclid_dist_if_necessary = 0, use_mm_for_euclid_dist = 1, donot_use_mm_for_euclid_dist = 2 }
