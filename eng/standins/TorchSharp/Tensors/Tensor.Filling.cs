using TorchSharp.Native;

namespace TorchSharp;

public static partial class torch
{
    /// <summary>Random fillings, and tensors like this one.</summary>
    public partial class Tensor
    {
        public Tensor bernoulli(Generator generator = null) => Ops.bernoulli.Call(this, generator);
        public Tensor multinomial(long num_samples, bool replacement = false, Generator generator = null) => Ops.multinomial.Call(this, num_samples, replacement, generator);
        public Tensor bernoulli_(double p = 0.5, Generator generator = null) => Ops.bernoulli__float.On(this, p, generator);
        public Tensor bernoulli_(Tensor p, Generator generator = null) => Ops.bernoulli__Tensor.On(this, p, generator);
        public Tensor exponential_(double lambda = 1, Generator generator = null) => Ops.exponential_.On(this, lambda, generator);
        public Tensor normal_(double mean = 0, double std = 1, Generator generator = null) => Ops.normal_.On(this, mean, std, generator);
        public Tensor random_(double from, double to, Generator generator = null) => Ops.random__from.On(this, (long)from, (long)to, generator);
        public Tensor uniform_(double from, double to, Generator generator = null) => Ops.uniform_.On(this, from, to, generator);
        public Tensor zeros_like(ScalarType? dtype = null, Device device = null, bool requires_grad = false) => Ops.zeros_like.Call(this, dtype ?? this.dtype, Arg.None, device ?? this.device).Leaf(requires_grad);
        public Tensor ones_like(ScalarType? dtype = null, Device device = null, bool requires_grad = false) => Ops.ones_like.Call(this, dtype ?? this.dtype, Arg.None, device ?? this.device).Leaf(requires_grad);
        public Tensor empty_like(ScalarType? dtype = null, Device device = null, bool requires_grad = false) => Ops.empty_like.Call(this, dtype ?? this.dtype, Arg.None, device ?? this.device).Leaf(requires_grad);
        public Tensor rand_like(ScalarType? dtype = null, Device device = null, bool requires_grad = false) => Ops.rand_like.Call(this, dtype ?? this.dtype, Arg.None, device ?? this.device).Leaf(requires_grad);
        public Tensor randn_like(ScalarType? dtype = null, Device device = null, bool requires_grad = false) => Ops.randn_like.Call(this, dtype ?? this.dtype, Arg.None, device ?? this.device).Leaf(requires_grad);
        public Tensor full_like(Scalar value, ScalarType? dtype = null, Device device = null, bool requires_grad = false) => Ops.full_like.Call(this, value, dtype ?? this.dtype, Arg.None, device ?? this.device).Leaf(requires_grad);
        public Tensor new_zeros(long[] size, ScalarType? dtype = null, Device device = null, bool requires_grad = false) => Ops.new_zeros.Call(this, size, dtype ?? this.dtype, Arg.None, device ?? this.device).Leaf(requires_grad);
        public Tensor new_empty(long[] size, ScalarType? dtype = null, Device device = null, bool requires_grad = false) => Ops.new_empty.Call(this, size, dtype ?? this.dtype, Arg.None, device ?? this.device).Leaf(requires_grad);

        private Tensor Leaf(bool requires_grad)
        {
            if (requires_grad) this.requires_grad = true;
            return this;
        }
    }
}
