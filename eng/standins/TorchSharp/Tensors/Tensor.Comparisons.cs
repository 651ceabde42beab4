using TorchSharp.Native;

namespace TorchSharp;

public static partial class torch
{
    /// <summary>Comparisons and masks. As in the package, comparing with a null tensor gives a tensor that holds false.</summary>
    public partial class Tensor
    {
        public Tensor eq(Tensor target) => target is null ? false : Ops.eq_Tensor.Call(this, target);
        public Tensor eq(Scalar target) => target is null ? false : Ops.eq_Scalar.Call(this, target);
        public Tensor ne(Tensor target) => target is null ? false : Ops.ne_Tensor.Call(this, target);
        public Tensor ne(Scalar target) => target is null ? false : Ops.ne_Scalar.Call(this, target);
        public Tensor lt(Tensor target) => target is null ? false : Ops.lt_Tensor.Call(this, target);
        public Tensor lt(Scalar target) => target is null ? false : Ops.lt_Scalar.Call(this, target);
        public Tensor le(Tensor target) => target is null ? false : Ops.le_Tensor.Call(this, target);
        public Tensor le(Scalar target) => target is null ? false : Ops.le_Scalar.Call(this, target);
        public Tensor gt(Tensor target) => target is null ? false : Ops.gt_Tensor.Call(this, target);
        public Tensor gt(Scalar target) => target is null ? false : Ops.gt_Scalar.Call(this, target);
        public Tensor ge(Tensor target) => target is null ? false : Ops.ge_Tensor.Call(this, target);
        public Tensor ge(Scalar target) => target is null ? false : Ops.ge_Scalar.Call(this, target);
        public Tensor isnan() => Ops.isnan.Call(this);
        public Tensor isinf() => Ops.isinf.Call(this);
        public Tensor isfinite() => Ops.isfinite.Call(this);
        public Tensor isposinf() => Ops.isposinf.Call(this);
        public Tensor isneginf() => Ops.isneginf.Call(this);
        public Tensor isclose(Tensor other, double rtol = 1E-05, double atol = 1E-08, bool nanEqual = false) => Ops.isclose.Call(this, other, rtol, atol, nanEqual);
        public Tensor masked_select(Tensor mask) => Ops.masked_select.Call(this, mask);
        public Tensor masked_fill(Tensor mask, Scalar value) => Ops.masked_fill_Scalar.Call(this, mask, value);
        public Tensor masked_fill_(Tensor mask, Scalar value) => Ops.masked_fill__Scalar.On(this, mask, value);
        public Tensor heaviside(Tensor other) => Ops.heaviside.Call(this, other);

        /// <summary>Element by element, as in the package; <see cref="Equals(Tensor)"/> says whether two tensors are the same.</summary>
        public Tensor equal(Tensor target) => eq(target);
        public Tensor not_equal(Tensor target) => ne(target);
        public Tensor greater(Tensor target) => gt(target);
        public Tensor greater_equal(Tensor target) => ge(target);
        public Tensor less(Tensor target) => lt(target);
        public Tensor less_equal(Tensor target) => le(target);
    }
}
