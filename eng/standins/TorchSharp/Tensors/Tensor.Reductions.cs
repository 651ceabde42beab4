using TorchSharp.Native;

namespace TorchSharp;

public static partial class torch
{
    /// <summary>Reductions, scans and sorting.</summary>
    public partial class Tensor
    {
        public Tensor all() => Ops.all.Call(this);
        public Tensor max() => Ops.max.Call(this);
        public Tensor min() => Ops.min.Call(this);
        public Tensor sum(ScalarType? type = null) => Ops.sum.Call(this, type);
        public Tensor sum(long[] dim, bool keepdim = false, ScalarType? type = null) => Ops.sum_dim_IntList.Call(this, dim, keepdim, type);
        public Tensor mean() => Ops.mean.Call(this);
        public Tensor mean(long[] dimensions, bool keepdim = false, ScalarType? type = null) => Ops.mean_dim.Call(this, dimensions, keepdim, type);
        public (Tensor values, Tensor indexes) topk(int k, int dim = -1, bool largest = true, bool sorted = true) => Ops.topk.Call2(this, k, dim, largest, sorted);
        public Tensor sum(ReadOnlySpan<long> dim, bool keepdim = false, ScalarType? type = null) => sum(dim.ToArray(), keepdim, type);
        public Tensor sum(long dim, bool keepdim = false, ScalarType? type = null) => sum([dim], keepdim, type);
        public Tensor norm(float p = 2f) => Ops.norm_Scalar.Call(this, (double)p);
        public Tensor quantile(Tensor q, long dim = -1, bool keepdim = false) => Ops.quantile.Call(this, q, dim == -1 ? Arg.None : dim, keepdim);
        public (Tensor Values, Tensor Indices) sort(long dim = -1, bool descending = false, bool stable = false) => Ops.sort_stable.Call2(this, stable, dim, descending);
        public Tensor std(bool unbiased = true) => Ops.std.Call(this, unbiased);
        public Tensor std(long[] dimensions, bool unbiased = true, bool keepdim = false, ScalarType? type = null) => Ops.std_dim.Call(this, dimensions, unbiased, keepdim);
        public Tensor var(long[] dimensions, bool unbiased = true, bool keepdim = false, ScalarType? type = null) => Ops.var_dim.Call(this, dimensions, unbiased, keepdim);
        public Tensor var(ReadOnlySpan<long> dimensions, bool unbiased = true, bool keepdim = false, ScalarType? type = null) => var(dimensions.ToArray(), unbiased, keepdim, type);
        public Tensor var(long dim, bool unbiased = true, bool keepdim = false, ScalarType? type = null) => var([dim], unbiased, keepdim, type);
    }
}
