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
        public Tensor sub_(Tensor target) => Ops.sub__Tensor.On(this, target);
        public Tensor sub_(Scalar target) => Ops.sub__Scalar.On(this, target);
        public Tensor subtract(Tensor target) => sub(target);
        public Tensor subtract(Scalar target) => sub(target);
        public Tensor mul(Tensor target) => Ops.mul_Tensor.Call(this, target);
        public Tensor mul(Scalar target) => Ops.mul_Scalar.Call(this, target);
        public Tensor mul_(Tensor target) => Ops.mul__Tensor.On(this, target);
        public Tensor mul_(Scalar target) => Ops.mul__Scalar.On(this, target);
        public Tensor multiply(Tensor target) => mul(target);
        public Tensor multiply(Scalar target) => mul(target);
        public Tensor div(Tensor target, RoundingMode rounding_mode = RoundingMode.None) => Ops.div_Tensor_mode.Call(this, target, Rounding(rounding_mode));
        public Tensor div(Scalar target, RoundingMode rounding_mode = RoundingMode.None) => Ops.div_Scalar_mode.Call(this, target, Rounding(rounding_mode));
        public Tensor div_(Tensor target, RoundingMode rounding_mode = RoundingMode.None) => Ops.div__Tensor_mode.On(this, target, Rounding(rounding_mode));
        public Tensor div_(Scalar target, RoundingMode rounding_mode = RoundingMode.None) => Ops.div__Scalar_mode.On(this, target, Rounding(rounding_mode));
        public Tensor floor_divide(Tensor other) => Ops.floor_divide.Call(this, other);
        public Tensor floor_divide(Scalar other) => Ops.floor_divide_Scalar.Call(this, other);
        public Tensor negative() => neg();
        public Tensor absolute() => abs();
        public Tensor round(long decimals = 0) => Ops.round_decimals.Call(this, decimals);
        public Tensor round_(long decimals = 0) => Ops.round__decimals.On(this, decimals);
        public Tensor addcmul(Tensor tensor1, Tensor tensor2, Scalar value) => Ops.addcmul.Call(this, tensor1, tensor2, value);
        public Tensor addcmul_(Tensor tensor1, Tensor tensor2, Scalar value) => Ops.addcmul_.On(this, tensor1, tensor2, value);
        public Tensor addcdiv(Tensor tensor1, Tensor tensor2, Scalar value) => Ops.addcdiv.Call(this, tensor1, tensor2, value);
        public Tensor addcdiv(Tensor tensor1, Tensor tensor2) => Ops.addcdiv.Call(this, tensor1, tensor2);
        public Tensor addcdiv_(Tensor tensor1, Tensor tensor2, Scalar value) => Ops.addcdiv_.On(this, tensor1, tensor2, value);
        public Tensor addcdiv_(Tensor tensor1, Tensor tensor2) => Ops.addcdiv_.On(this, tensor1, tensor2);
        public Tensor lerp(Tensor end, Tensor weight) => Ops.lerp_Tensor.Call(this, end, weight);
        public Tensor lerp_(Tensor end, Tensor weight) => Ops.lerp__Tensor.On(this, end, weight);
        public Tensor clamp(Scalar min = null, Scalar max = null) => Ops.clamp.Call(this, min, max);
        public Tensor clamp(Tensor min = null, Tensor max = null) => Ops.clamp_Tensor.Call(this, min, max);
        public Tensor clip(Scalar min = null, Scalar max = null) => clamp(min, max);
        public Tensor clamp_(Scalar min = null, Scalar max = null) => Ops.clamp_.On(this, min, max);
        public Tensor clamp_(Tensor min = null, Tensor max = null) => Ops.clamp__Tensor.On(this, min, max);
        public Tensor clamp_max(Scalar max) => Ops.clamp_max.Call(this, max);
        public Tensor clamp_max_(Scalar max) => Ops.clamp_max_.On(this, max);
        public Tensor clamp_min(Scalar min) => Ops.clamp_min.Call(this, min);
        public Tensor clamp_min_(Scalar min) => Ops.clamp_min_.On(this, min);
        public Tensor nan_to_num(double nan = 0, double? posinf = null, double? neginf = null) => Ops.nan_to_num.Call(this, nan, posinf, neginf);
        public Tensor softmax(long dim, ScalarType? dtype = null) => Ops.softmax_int.Call(this, dim, dtype);
        public Tensor log_softmax(long dim, ScalarType? dtype = null) => Ops.log_softmax_int.Call(this, dim, dtype);
        public Tensor softplus(double beta = 1, double threshold = 20) => Ops.softplus.Call(this, beta, threshold);
        public Tensor log_sigmoid() => Ops.log_sigmoid.Call(this);
        public Tensor gelu() => Ops.gelu.Call(this);
        public Tensor fill_(Scalar value) => Ops.fill__Scalar.On(this, value);

        /// <summary>As in the package: the memory is zeroed, and a new object for it is returned.</summary>
        public Tensor zero_() => zeros(shape);

        public Tensor zeros(params long[] sizes) => Ops.zeros_out.Call(sizes, this);
        public Tensor ones(params long[] sizes) => Ops.ones_out.Call(sizes, this);

        public bool allclose(Tensor target, double rtol = 1e-05, double atol = 1e-08, bool equal_nan = false) =>
            target is not null && Ops.allclose.CallBool(this, target, rtol, atol, equal_nan);

        private static string Rounding(RoundingMode mode) => mode == RoundingMode.None ? null : mode.ToString();
    }
}
