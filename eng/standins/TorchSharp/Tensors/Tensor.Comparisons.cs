using TorchSharp.Native;

namespace TorchSharp;

public static partial class torch
{
    /// <summary>Comparisons and masks. As in the package, comparing with a null tensor gives a tensor that holds false.</summary>
    public partial class Tensor
    {
        public Tensor eq(Tensor target) => target is null ? false : Ops.eq_Tensor.Call(this, target);
        public Tensor eq(Scalar target) => target is null ? false : Ops.eq_Scalar.Call(this, target);
        public Tensor ne(Scalar target) => target is null ? false : Ops.ne_Scalar.Call(this, target);
        public Tensor lt(Tensor target) => target is null ? false : Ops.lt_Tensor.Call(this, target);
        public Tensor lt(Scalar target) => target is null ? false : Ops.lt_Scalar.Call(this, target);
        public Tensor le(Tensor target) => target is null ? false : Ops.le_Tensor.Call(this, target);
        public Tensor gt(Scalar target) => target is null ? false : Ops.gt_Scalar.Call(this, target);
        public Tensor ge(Scalar target) => target is null ? false : Ops.ge_Scalar.Call(this, target);
        public Tensor isfinite() => Ops.isfinite.Call(this);
        public Tensor masked_fill(Tensor mask, Scalar value) => Ops.masked_fill_Scalar.Call(this, mask, value);
    }
}
