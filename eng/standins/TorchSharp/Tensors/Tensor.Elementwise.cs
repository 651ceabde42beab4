using TorchSharp.Native;

namespace TorchSharp;

public static partial class torch
{
    /// <summary>Functions of each element.</summary>
    public partial class Tensor
    {
        public Tensor abs() => Ops.abs.Call(this);
        public Tensor cos() => Ops.cos.Call(this);
        public Tensor exp() => Ops.exp.Call(this);
        public Tensor log() => Ops.log.Call(this);
        public Tensor neg() => Ops.neg.Call(this);
        public Tensor reciprocal() => Ops.reciprocal.Call(this);
        public Tensor rsqrt() => Ops.rsqrt.Call(this);
        public Tensor sigmoid() => Ops.sigmoid.Call(this);
        public Tensor sin() => Ops.sin.Call(this);
        public Tensor sqrt() => Ops.sqrt.Call(this);
        public Tensor square() => Ops.square.Call(this);
        public Tensor tanh() => Ops.tanh.Call(this);
        public Tensor exp_() => Ops.exp_.On(this);
        public Tensor logical_not() => Ops.logical_not.Call(this);
        public Tensor relu() => Ops.relu.Call(this);
        public Tensor relu_() => Ops.relu_.On(this);
        public Tensor silu() => Ops.silu.Call(this);
        public Tensor silu_() => Ops.silu_.On(this);
        public Tensor maximum(Tensor other) => Ops.maximum.Call(this, other);
        public Tensor minimum(Tensor other) => Ops.minimum.Call(this, other);
        public Tensor pow(Scalar exponent) => Ops.pow_Tensor_Scalar.Call(this, exponent);
        public Tensor remainder_(Scalar scalar) => Ops.remainder__Scalar.On(this, scalar);
    }
}
