using TorchSharp.Native;

namespace TorchSharp;

public static partial class torch
{
    /// <summary>Random fillings, and tensors like this one.</summary>
    public partial class Tensor
    {
        public Tensor bernoulli_(double p = 0.5, Generator generator = null) => Ops.bernoulli__float.On(this, p, generator);
        public Tensor normal_(double mean = 0, double std = 1, Generator generator = null) => Ops.normal_.On(this, mean, std, generator);
        public Tensor uniform_(double from, double to, Generator generator = null) => Ops.uniform_.On(this, from, to, generator);
        public Tensor zeros_like(ScalarType? dtype = null, Device device = null, bool requires_grad = false) => Ops.zeros_like.Call(this, dtype ?? this.dtype, Arg.None, device ?? this.device).Leaf(requires_grad);
        public Tensor full_like(Scalar value, ScalarType? dtype = null, Device device = null, bool requires_grad = false) => Ops.full_like.Call(this, value, dtype ?? this.dtype, Arg.None, device ?? this.device).Leaf(requires_grad);

        private Tensor Leaf(bool requires_grad)
        {
            if (requires_grad) this.requires_grad = true;
            return this;
        }
    }
}
