using TorchSharp.Modules;
using TorchSharp.Utils;
using F = TorchSharp.torch.nn.functional;

namespace TorchSharp
{
    public static partial class torch
    {
        public static partial class nn
        {
            public static Conv2d Conv2d(long in_channels, long out_channels, long kernel_size, long stride = 1, long padding = 0, long dilation = 1, PaddingModes padding_mode = PaddingModes.Zeros, long groups = 1, bool bias = true, Device device = null, ScalarType? dtype = null) =>
                new(in_channels, out_channels, (kernel_size, kernel_size), (stride, stride), (padding, padding), null, (dilation, dilation), groups, bias, padding_mode, device, dtype);
        }
    }
}

namespace TorchSharp.Modules
{
    /// <summary>Weights, their initialisation and the padding of a convolution.</summary>
    public abstract class Convolution : torch.nn.Module<torch.Tensor, torch.Tensor>
    {
        [ComponentName(Name = nameof(bias))] protected Parameter _bias;
        [ComponentName(Name = nameof(weight))] protected Parameter _weight;

        /// <summary>What <see cref="F.pad(torch.Tensor, long[], PaddingModes, double)"/> takes: last dimension first, both its ends.</summary>
        protected long[] _reversed_padding_repeated_twice;

        protected Convolution(string name, long in_channels, long out_channels, long[] kernel_size, long[] stride, long[] padding, Padding? padding_type, long[] dilation, bool transposed, long[] output_padding, long groups, bool bias, PaddingModes padding_mode, torch.Device device = null, torch.ScalarType? dtype = null) : base(name)
        {
            if (transposed && padding_mode != PaddingModes.Zeros) throw new ArgumentException("Only PaddingModes.Zeros is supported for ConvTransposeND", nameof(padding_mode));
            (this.in_channels, this.out_channels, this.kernel_size, this.stride, this.dilation) = (in_channels, out_channels, kernel_size, stride, dilation);
            (this.transposed, this.output_padding, this.groups, this.padding_mode) = (transposed, output_padding, groups, padding_mode);
            if (padding_type.HasValue) SetPadding(padding_type.Value);
            else SetPadding(padding ?? new long[kernel_size.Length]);

            long[] channels = transposed ? [in_channels, out_channels / groups] : [out_channels, in_channels / groups];
            weight = torch.empty([.. channels, .. kernel_size], dtype, device).AsParameter();
            if (bias) this.bias = torch.empty(out_channels, dtype, device).AsParameter();
            reset_parameters();
        }

        public Parameter bias { get => _bias; set => Own(ref _bias, nameof(bias), value); }
        public Parameter weight { get => _weight; set => Own(ref _weight, nameof(weight), value ?? throw new ArgumentNullException(nameof(weight))); }
        public long in_channels { get; }
        public long out_channels { get; }
        public bool transposed { get; }
        public Padding? padding_type { get; private set; }
        public long[] padding { get; private set; }
        public PaddingModes padding_mode { get; set; }
        public long groups { get; set; }
        public long[] kernel_size { get; set; }
        public long[] stride { get; set; }
        public long[] dilation { get; set; }
        public long[] output_padding { get; set; }

        public void reset_parameters()
        {
            torch.nn.init.kaiming_uniform_(weight, Math.Sqrt(5));
            if (bias is null) return;
            var (fanIn, _) = torch.nn.init.CalculateFanInAndFanOut(weight);
            if (fanIn != 0) torch.nn.init.uniform_(bias, -1 / Math.Sqrt(fanIn), 1 / Math.Sqrt(fanIn));
        }

        public void SetPadding(long[] padding)
        {
            (padding_type, this.padding) = (null, padding);
            _reversed_padding_repeated_twice = [.. padding.AsEnumerable().Reverse().SelectMany(p => new[] { p, p })];
        }

        public void SetPadding(Padding padding)
        {
            if (transposed) throw new ArgumentException("Cannot set padding type on ConvTransposeND");
            (padding_type, this.padding) = (padding, null);
            _reversed_padding_repeated_twice = new long[kernel_size.Length * 2];
            if (padding != Padding.Same) return;
            if (stride.Any(s => s != 1)) throw new ArgumentException("padding='same' is not supported for strided convolutions");
            for (int d = 0; d < kernel_size.Length; d++)
            {
                long total = dilation[d] * (kernel_size[d] - 1);
                (_reversed_padding_repeated_twice[2 * d], _reversed_padding_repeated_twice[2 * d + 1]) = (total / 2, total - total / 2);
            }
        }

        protected bool ValidateShape(torch.Tensor input, long dimensions)
        {
            var shape = input.shape;
            return shape.Length == dimensions + 2 && shape[1] == in_channels || shape.Length == dimensions + 1 && shape[0] == in_channels;
        }
    }

    public sealed class Conv2d : Convolution
    {
        internal Conv2d(long in_channels, long out_channels, (long, long) kernel_size, (long, long) stride, (long, long)? padding, Padding? padding_type, (long, long) dilation, long groups, bool bias, PaddingModes padding_mode, torch.Device device, torch.ScalarType? dtype)
            : base(nameof(Conv2d), in_channels, out_channels, F.Pair(kernel_size), F.Pair(stride), padding.HasValue ? F.Pair(padding.Value) : null, padding_type, F.Pair(dilation), false, [0, 0], groups, bias, padding_mode, device, dtype) { }

        public override torch.Tensor forward(torch.Tensor input)
        {
            if (!ValidateShape(input, 2)) throw new ArgumentException($"Expected 3D (unbatched) or 4D (batched) input with {in_channels} channels to Conv2d.");
            if (padding_mode == PaddingModes.Zeros)
                return padding_type.HasValue
                    ? F.conv2d_padding(input, weight, bias, stride, padding_type.Value, dilation, groups)
                    : F.conv2d(input, weight, bias, stride, padding, dilation, groups);
            using var padded = F.pad(input, _reversed_padding_repeated_twice, padding_mode);
            return F.conv2d(padded, weight, bias, stride, [0, 0], dilation, groups);
        }
    }
}
