using TorchSharp.Modules;

namespace TorchSharp;

public static partial class torch
{
    public static partial class nn
    {
        /// <summary>Fillings without gradient. As in the package, a generator is taken and ignored: the global one draws.</summary>
        public static class init
        {
            public enum FanInOut { FanIn = 0, FanOut = 1 }

            public enum NonlinearityType { Linear = 0, Conv1D = 1, Conv2D = 2, Conv3D = 3, ConvTranspose1D = 4, ConvTranspose2D = 5, ConvTranspose3D = 6, Sigmoid = 7, Tanh = 8, ReLU = 9, LeakyReLU = 10 }

            public static double calculate_gain(NonlinearityType nonlinearity, double param = 0) => nonlinearity switch
            {
                NonlinearityType.Tanh => 5.0 / 3.0,
                NonlinearityType.ReLU => Math.Sqrt(2),
                NonlinearityType.LeakyReLU => Math.Sqrt(2 / (1 + param * param)),
                _ => 1,
            };

            public static Tensor ones_(Tensor tensor) => constant_(tensor, 1);
            public static Tensor zeros_(Tensor tensor) => constant_(tensor, 0);

            public static Tensor constant_(Tensor tensor, Scalar val)
            {
                using var _ = no_grad();
                return tensor.fill_(val);
            }

            public static Tensor uniform_(Tensor tensor, double low = 0, double high = 1, Generator generator = null)
            {
                using var _ = no_grad();
                return tensor.uniform_(low, high);
            }

            public static Tensor kaiming_uniform_(Tensor tensor, double a = 0, FanInOut mode = FanInOut.FanIn, NonlinearityType nonlinearity = NonlinearityType.LeakyReLU)
            {
                double bound = Math.Sqrt(3) * KaimingStd(tensor, a, mode, nonlinearity);
                return uniform_(tensor, -bound, bound);
            }

            private static double KaimingStd(Tensor tensor, double a, FanInOut mode, NonlinearityType nonlinearity)
            {
                var (fanIn, fanOut) = CalculateFanInAndFanOut(tensor);
                return calculate_gain(nonlinearity, a) / Math.Sqrt(mode == FanInOut.FanIn ? fanIn : fanOut);
            }

            public static (long fanIn, long fanOut) CalculateFanInAndFanOut(Tensor tensor)
            {
                var shape = tensor.shape;
                if (shape.Length < 2) throw new ArgumentException("Fan in and fan out can not be computed for tensor with fewer than 2 dimensions");
                long field = shape.Skip(2).TotalSize();
                return (shape[1] * field, shape[0] * field);
            }
        }

        public static class utils
        {
            /// <summary>Returns the norm before clipping, which waits for the device.</summary>
            public static double clip_grad_norm_(IEnumerable<Parameter> tensors, double max_norm, double norm_type = 2)
            {
                using var _ = no_grad();
                using var scope = NewDisposeScope();
                var grads = tensors.Select(t => t.grad).Where(g => g is not null).ToArray();
                if (grads.Length == 0) return 0;
                Tensor Norm(Tensor t) => double.IsPositiveInfinity(norm_type) ? t.abs().max() : t.norm((float)norm_type);
                var total = Norm(stack(grads.Select(g => Norm(g.detach()))));
                var factor = (max_norm / (total + 1e-6)).clamp(max: 1.0.ToScalar());
                foreach (var g in grads) g.mul_(factor);
                return total.ToDouble();
            }
        }
    }
}
