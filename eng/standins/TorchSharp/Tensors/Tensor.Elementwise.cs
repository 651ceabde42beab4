using TorchSharp.Native;

namespace TorchSharp;

public static partial class torch
{
    /// <summary>Functions of each element.</summary>
    public partial class Tensor
    {
        public Tensor abs() => Ops.abs.Call(this);
        public Tensor ceil() => Ops.ceil.Call(this);
        public Tensor cos() => Ops.cos.Call(this);
        public Tensor cosh() => Ops.cosh.Call(this);
        public Tensor erf() => Ops.erf.Call(this);
        public Tensor erfinv() => Ops.erfinv.Call(this);
        public Tensor exp() => Ops.exp.Call(this);
        public Tensor expm1() => Ops.expm1.Call(this);
        public Tensor floor() => Ops.floor.Call(this);
        public Tensor frac() => Ops.frac.Call(this);
        public Tensor log() => Ops.log.Call(this);
        public Tensor log10() => Ops.log10.Call(this);
        public Tensor log1p() => Ops.log1p.Call(this);
        public Tensor log2() => Ops.log2.Call(this);
        public Tensor neg() => Ops.neg.Call(this);
        public Tensor reciprocal() => Ops.reciprocal.Call(this);
        public Tensor rsqrt() => Ops.rsqrt.Call(this);
        public Tensor sigmoid() => Ops.sigmoid.Call(this);
        public Tensor sign() => Ops.sign.Call(this);
        public Tensor sin() => Ops.sin.Call(this);
        public Tensor sinh() => Ops.sinh.Call(this);
        public Tensor sqrt() => Ops.sqrt.Call(this);
        public Tensor square() => Ops.square.Call(this);
        public Tensor tan() => Ops.tan.Call(this);
        public Tensor tanh() => Ops.tanh.Call(this);
        public Tensor trunc() => Ops.trunc.Call(this);
        public Tensor abs_() => Ops.abs_.On(this);
        public Tensor ceil_() => Ops.ceil_.On(this);
        public Tensor cos_() => Ops.cos_.On(this);
        public Tensor cosh_() => Ops.cosh_.On(this);
        public Tensor erf_() => Ops.erf_.On(this);
        public Tensor erfinv_() => Ops.erfinv_.On(this);
        public Tensor exp_() => Ops.exp_.On(this);
        public Tensor expm1_() => Ops.expm1_.On(this);
        public Tensor floor_() => Ops.floor_.On(this);
        public Tensor frac_() => Ops.frac_.On(this);
        public Tensor log_() => Ops.log_.On(this);
        public Tensor log10_() => Ops.log10_.On(this);
        public Tensor log1p_() => Ops.log1p_.On(this);
        public Tensor log2_() => Ops.log2_.On(this);
        public Tensor neg_() => Ops.neg_.On(this);
        public Tensor reciprocal_() => Ops.reciprocal_.On(this);
        public Tensor rsqrt_() => Ops.rsqrt_.On(this);
        public Tensor sigmoid_() => Ops.sigmoid_.On(this);
        public Tensor sign_() => Ops.sign_.On(this);
        public Tensor sin_() => Ops.sin_.On(this);
        public Tensor sinh_() => Ops.sinh_.On(this);
        public Tensor sqrt_() => Ops.sqrt_.On(this);
        public Tensor tan_() => Ops.tan_.On(this);
        public Tensor tanh_() => Ops.tanh_.On(this);
        public Tensor trunc_() => Ops.trunc_.On(this);
        public Tensor exp2() => Ops.exp2.Call(this);
        public Tensor logical_not() => Ops.logical_not.Call(this);
        public Tensor bitwise_not() => Ops.bitwise_not.Call(this);
        public Tensor acos() => Ops.acos.Call(this);
        public Tensor asin() => Ops.asin.Call(this);
        public Tensor atan() => Ops.atan.Call(this);
        public Tensor relu() => Ops.relu.Call(this);
        public Tensor relu_() => Ops.relu_.On(this);
        public Tensor silu() => Ops.silu.Call(this);
        public Tensor silu_() => Ops.silu_.On(this);

        public Tensor atan2(Tensor other) => Ops.atan2.Call(this, other);
        public Tensor remainder(Tensor target) => Ops.remainder_Tensor.Call(this, target);
        public Tensor remainder(Scalar scalar) => Ops.remainder_Scalar.Call(this, scalar);
        public Tensor fmod(Tensor target) => Ops.fmod_Tensor.Call(this, target);
        public Tensor fmod(Scalar scalar) => Ops.fmod_Scalar.Call(this, scalar);
        public Tensor maximum(Tensor other) => Ops.maximum.Call(this, other);
        public Tensor minimum(Tensor other) => Ops.minimum.Call(this, other);
        public Tensor logical_and(Tensor other) => Ops.logical_and.Call(this, other);
        public Tensor logical_or(Tensor other) => Ops.logical_or.Call(this, other);
        public Tensor logical_xor(Tensor other) => Ops.logical_xor.Call(this, other);
        public Tensor bitwise_and(Tensor other) => Ops.bitwise_and_Tensor.Call(this, other);
        public Tensor bitwise_or(Tensor other) => Ops.bitwise_or_Tensor.Call(this, other);
        public Tensor bitwise_xor(Tensor other) => Ops.bitwise_xor_Tensor.Call(this, other);
        public Tensor pow(Tensor exponent) => Ops.pow_Tensor_Tensor.Call(this, exponent);
        public Tensor pow(Scalar exponent) => Ops.pow_Tensor_Scalar.Call(this, exponent);
        public Tensor pow_(Tensor exponent) => Ops.pow__Tensor.On(this, exponent);
        public Tensor pow_(Scalar exponent) => Ops.pow__Scalar.On(this, exponent);
        public Tensor remainder_(Tensor target) => Ops.remainder__Tensor.On(this, target);
        public Tensor remainder_(Scalar scalar) => Ops.remainder__Scalar.On(this, scalar);
        public Tensor copysign(Tensor other) => Ops.copysign_Tensor.Call(this, other);
        public Tensor hypot(Tensor other) => Ops.hypot.Call(this, other);
        public Tensor logaddexp(Tensor other) => Ops.logaddexp.Call(this, other);
        public Tensor logical_and_(Tensor other) => Ops.logical_and_.On(this, other);
        public Tensor logical_or_(Tensor other) => Ops.logical_or_.On(this, other);
        public Tensor logical_xor_(Tensor other) => Ops.logical_xor_.On(this, other);
        public Tensor bitwise_and_(Tensor other) => Ops.bitwise_and__Tensor.On(this, other);
        public Tensor bitwise_or_(Tensor other) => Ops.bitwise_or__Tensor.On(this, other);
        public Tensor logical_not_() => Ops.logical_not_.On(this);
    }
}
