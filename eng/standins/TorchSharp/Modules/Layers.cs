using TorchSharp.Modules;
using TorchSharp.Utils;
using F = TorchSharp.torch.nn.functional;

namespace TorchSharp
{
    public static partial class torch
    {
        public static partial class nn
        {
            public partial class Module
            {
                /// <summary>What the setters of weight and bias do: the parameter leaves every scope and becomes a component.</summary>
                internal void Own(ref Parameter slot, string component, Parameter value)
                {
                    if (slot is not null && value is not null && slot.handle == value.Handle) return;
                    slot?.Dispose();
                    slot = (Parameter)value?.DetachFromDisposeScope();
                    ConditionallyRegisterParameter(component, slot);
                }
            }

            public static Parameter Parameter(Tensor data, bool requires_grad = true) => new(data, requires_grad);

            public static Linear Linear(long inputSize, long outputSize, bool hasBias = true, Device device = null, ScalarType? dtype = null) => new(inputSize, outputSize, hasBias, device, dtype);

            public static GroupNorm GroupNorm(long num_groups, long num_channels, double eps = 1e-05, bool affine = true, Device device = null, ScalarType? dtype = null) => new(num_groups, num_channels, eps, affine, device, dtype);

            public static Embedding Embedding(long num_embeddings, long embedding_dims, long? padding_idx = null, double? max_norm = null, double norm_type = 2, bool scale_grad_by_freq = false, bool sparse = false, Device device = null, ScalarType? dtype = null) =>
                max_norm is null ? new Embedding(num_embeddings, embedding_dims, padding_idx, scale_grad_by_freq, sparse).MoveModule<Embedding>(device, dtype) : throw new NotImplementedException("max_norm");
        }
    }
}

namespace TorchSharp.Modules
{
    public sealed class Linear : torch.nn.Module<torch.Tensor, torch.Tensor>
    {
        [ComponentName(Name = nameof(bias))] private Parameter _bias;
        [ComponentName(Name = nameof(weight))] private Parameter _weight;

        internal Linear(long inputSize, long outputSize, bool hasBias, torch.Device device, torch.ScalarType? dtype) : base(nameof(Linear))
        {
            (in_features, out_features) = (inputSize, outputSize);
            weight = torch.empty(outputSize, inputSize, dtype, device).AsParameter();
            torch.nn.init.kaiming_uniform_(weight, Math.Sqrt(5));
            if (!hasBias) return;
            bias = torch.empty(outputSize, dtype, device).AsParameter();
            torch.nn.init.uniform_(bias, -1 / Math.Sqrt(inputSize), 1 / Math.Sqrt(inputSize));
        }

        public Parameter bias { get => _bias; set => Own(ref _bias, nameof(bias), value); }
        public Parameter weight { get => _weight; set => Own(ref _weight, nameof(weight), value ?? throw new ArgumentNullException(nameof(weight))); }
        public long in_features { get; set; }
        public long out_features { get; set; }

        public override torch.Tensor forward(torch.Tensor tensor) => F.linear(tensor, _weight, _bias);
    }

    /// <summary>As in the package, weight and bias are left uninitialised.</summary>
    public sealed class GroupNorm : torch.nn.Module<torch.Tensor, torch.Tensor>
    {
        [ComponentName(Name = nameof(bias))] private Parameter _bias;
        [ComponentName(Name = nameof(weight))] private Parameter _weight;

        internal GroupNorm(long num_groups, long num_channels, double eps, bool affine, torch.Device device, torch.ScalarType? dtype) : base(nameof(GroupNorm))
        {
            (this.num_groups, this.eps, this.affine) = (num_groups, eps, affine);
            if (!affine) return;
            weight = torch.empty(num_channels, dtype, device).AsParameter();
            bias = torch.empty(num_channels, dtype, device).AsParameter();
            // Fresh memory is often zero; NaN makes a forgotten initialisation show every time.
            using var _ = torch.no_grad();
            weight.fill_(double.NaN);
            bias.fill_(double.NaN);
        }

        public Parameter bias { get => _bias; set => Own(ref _bias, nameof(bias), value); }
        public Parameter weight { get => _weight; set => Own(ref _weight, nameof(weight), value ?? throw new ArgumentNullException(nameof(weight))); }
        public long num_groups { get; set; }
        public double eps { get; set; }
        public bool affine { get; set; }

        public override torch.Tensor forward(torch.Tensor tensor) => tensor.Dimensions >= 3
            ? F.group_norm(tensor, num_groups, _weight, _bias, eps)
            : throw new ArgumentException($"Invalid number of dimensions for GroupNorm argument: {tensor.Dimensions}");
    }

    /// <summary>
    /// As in the package: the table lives in the module, and every reading of <see cref="weight"/>, the registered one included,
    /// is an object of its own that a dispose scope can take away.
    /// </summary>
    public sealed class Embedding : torch.nn.Module<torch.Tensor, torch.Tensor>
    {
        private readonly long? _padding;
        private readonly bool _byFrequency, _sparse;
        private readonly Table _table = new();

        internal Embedding(long num_embeddings, long embedding_dims, long? padding_idx, bool scale_grad_by_freq, bool sparse) : base(nameof(Embedding))
        {
            (_padding, _byFrequency, _sparse) = (padding_idx, scale_grad_by_freq, sparse);
            using (torch.no_grad())
            using (torch.NewDisposeScope())
            {
                var start = torch.empty(num_embeddings, embedding_dims).normal_();
                if (padding_idx.HasValue) start[padding_idx.Value].fill_(0);
                _table.Value = new Parameter(start);
                _table.Value.DetachFromDisposeScope();
            }
            register_parameter(nameof(weight), weight);
        }

        public Parameter weight
        {
            get => new(_table.Value.Retained());
            set
            {
                ArgumentNullException.ThrowIfNull(value);
                _table.Value = new Parameter(value.Retained(), register: false);
                ConditionallyRegisterParameter(nameof(weight), value);
            }
        }

        public override torch.Tensor forward(torch.Tensor input) => Native.Ops.embedding.Call(_table.Value, input, _padding ?? -1, _byFrequency, _sparse);

        /// <summary>Hides the parameter from the search for components.</summary>
        private sealed class Table
        {
            public Parameter Value;
        }
    }
}
