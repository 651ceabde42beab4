using TorchSharp.Native;

namespace TorchSharp;

public static partial class torch
{
    /// <summary>Shapes, views, parts and gathering.</summary>
    public partial class Tensor
    {
        public Tensor reshape(params long[] shape) => Ops.reshape.Call(this, shape);
        public Tensor view(params long[] shape) => Ops.view.Call(this, shape);
        public Tensor flatten(long start_dim = 0, long end_dim = -1) => Ops.flatten_using_ints.Call(this, start_dim, end_dim);
        public Tensor transpose(long dim0, long dim1) => Ops.transpose_int.Call(this, dim0, dim1);
        public Tensor permute(params long[] permutation) => Ops.permute.Call(this, permutation);
        public Tensor t() => Ops.t.Call(this);
        public Tensor unsqueeze(long dim) => Ops.unsqueeze.Call(this, dim);
        public Tensor contiguous() => Ops.contiguous.Call(this);
        public Tensor expand_as(Tensor other) => Ops.expand_as.Call(this, other);
        public Tensor tril(long diagonal = 0) => Ops.tril.Call(this, diagonal);
        public Tensor narrow(long dim, long start, long length) => Ops.narrow.Call(this, dim, start, length);
        public Tensor select(long dim, long index) => Ops.select_int.Call(this, dim, index);
        public Tensor index_select(long dim, Tensor index) => Ops.index_select.Call(this, dim, index);
        public Tensor detach() => Ops.detach.Call(this);
        public Tensor alias() => Ops.alias.Call(this);
        public Tensor clone() => Ops.clone.Call(this);
        public Tensor expand(ReadOnlySpan<long> sizes, bool isImplicit = false) => Ops.expand.Call(this, Arg.List(sizes), isImplicit);
        public Tensor as_strided(long[] size, long[] strides, long storageOffset = 0) => Ops.as_strided.Call(this, size, strides, storageOffset);
    }
}
