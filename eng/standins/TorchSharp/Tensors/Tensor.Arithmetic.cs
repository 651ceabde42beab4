using TorchSharp.Native;

namespace TorchSharp;

public static partial class torch
{
    /// <summary>Arithmetic, and what writes to the whole tensor.</summary>
    public partial class Tensor
    {
        public Tensor add(Tensor target) => Ops.add_Tensor.Call(this, target);
        public Tensor add(Tensor target, Scalar alpha) => Ops.add_Tensor.Call(this, target, alpha);
        public Tensor add(Scalar scalar) => Ops.add_Scalar.Call(this, scalar);
        public Tensor add(Scalar scalar, Scalar alpha) => Ops.add_Scalar.Call(this, scalar, alpha);
        public Tensor add_(Tensor target) => Ops.add__Tensor.On(this, target);
        public Tensor add_(Tensor target, Scalar alpha) => Ops.add__Tensor.On(this, target, alpha);
        public Tensor add_(Scalar scalar) => Ops.add__Scalar.On(this, scalar);
        public Tensor add_(Scalar scalar, Scalar alpha) => Ops.add__Scalar.On(this, scalar, alpha);
        public Tensor sub(Tensor target) => Ops.sub_Tensor.Call(this, target);
        public Tensor sub(Scalar target) => Ops.sub_Scalar.Call(this, target);
        public Tensor sub_(Scalar target) => Ops.sub__Scalar.On(this, target);
        public Tensor mul(Tensor target) => Ops.mul_Tensor.Call(this, target);
        public Tensor mul(Scalar target) => Ops.mul_Scalar.Call(this, target);
        public Tensor mul_(Tensor target) => Ops.mul__Tensor.On(this, target);
        public Tensor mul_(Scalar target) => Ops.mul__Scalar.On(this, target);
        public Tensor div(Tensor target, RoundingMode rounding_mode = RoundingMode.None) => Ops.div_Tensor_mode.Call(this, target, Rounding(rounding_mode));
        public Tensor div(Scalar target, RoundingMode rounding_mode = RoundingMode.None) => Ops.div_Scalar_mode.Call(this, target, Rounding(rounding_mode));
        public Tensor div_(Scalar target, RoundingMode rounding_mode = RoundingMode.None) => Ops.div__Scalar_mode.On(this, target, Rounding(rounding_mode));
        public Tensor negative() => neg();
        public Tensor addcmul_(Tensor tensor1, Tensor tensor2, Scalar value) => Ops.addcmul_.On(this, tensor1, tensor2, value);
        public Tensor addcdiv_(Tensor tensor1, Tensor tensor2, Scalar value) => Ops.addcdiv_.On(this, tensor1, tensor2, value);
        public Tensor clamp(Scalar min = null, Scalar max = null) => Ops.clamp.Call(this, min, max);
        public Tensor clamp_max(Scalar max) => Ops.clamp_max.Call(this, max);
        public Tensor clamp_min(Scalar min) => Ops.clamp_min.Call(this, min);
        public Tensor softmax(long dim, ScalarType? dtype = null) => Ops.softmax_int.Call(this, dim, dtype);
        public Tensor gelu() => Ops.gelu.Call(this);
        public Tensor fill_(Scalar value) => Ops.fill__Scalar.On(this, value);

        /// <summary>As in the package: the memory is zeroed, and a new object for it is returned.</summary>
        public Tensor zero_() => zeros(shape);

        public Tensor zeros(params long[] sizes) => Ops.zeros_out.Call(sizes, this);

        public bool allclose(Tensor target, double rtol = 1e-05, double atol = 1e-08, bool equal_nan = false) =>
            target is not null && Ops.allclose.CallBool(this, target, rtol, atol, equal_nan);

        private static string Rounding(RoundingMode mode) => mode == RoundingMode.None ? null : mode.ToString();
    }
}
