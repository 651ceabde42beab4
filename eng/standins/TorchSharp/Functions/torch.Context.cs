using System.Runtime.InteropServices;
using TorchSharp.Native;
using static TorchSharp.Native.Bridge;

namespace TorchSharp;

/// <summary>Scopes, seeds, threads, devices and switches.</summary>
public static partial class torch
{
    public static DisposeScope CurrentDisposeScope => DisposeScopeManager.ThreadSingleton.CurrentDisposeScope;

    public static DisposeScope NewDisposeScope() => DisposeScopeManager.ThreadSingleton.NewDisposeScope();

    public static Tensor WrappedTensorDisposeScope(Func<Tensor> expr)
    {
        using var scope = NewDisposeScope();
        return expr().MoveToOuterDisposeScope();
    }

    public static unsafe string __version__ => Marshal.PtrToStringUTF8((nint)tss_version());

    public static Generator manual_seed(long seed)
    {
        Check(tss_manual_seed(seed));
        return Generator.Default;
    }

    public static int get_num_threads() => tss_threads();
    public static void set_num_threads(int num) => Check(tss_set_threads(num));
    public static int get_num_interop_threads() => tss_interop_threads();
    public static void set_num_interop_threads(int num) => Check(tss_set_interop_threads(num));
    public static bool cuda_is_available() => cuda.is_available();

    public static partial class random
    {
        public static Generator manual_seed(long seed) => torch.manual_seed(seed);
    }

    public static class cuda
    {
        public static bool is_available() => tss_cuda_available() != 0;
        public static bool is_cudnn_available() => tss_cudnn_available() != 0;
        public static int device_count() => tss_cuda_device_count();
        public static void manual_seed(long seed) => manual_seed_all(seed);
        public static void manual_seed_all(long seed) => Check(tss_cuda_manual_seed(seed));
        public static void synchronize(Device device = null) => Check(tss_cuda_synchronize(device?.index ?? -1));
    }

    public static class backends
    {
        public static class cuda
        {
            public static bool flash_sdp_enabled() => tss_flag(3) != 0;
            public static void enable_flash_sdp(bool enable) => Check(tss_set_flag(3, Flag(enable)));
            public static bool math_sdp_enabled() => tss_flag(4) != 0;
            public static void enable_math_sdp(bool enable) => Check(tss_set_flag(4, Flag(enable)));

            public static class matmul
            {
                public static bool allow_tf32 { get => tss_flag(0) != 0; set => Check(tss_set_flag(0, Flag(value))); }
                public static bool allow_fp16_reduced_precision_reduction { get => tss_flag(2) != 0; set => Check(tss_set_flag(2, Flag(value))); }
            }
        }

        public static class cudnn
        {
            public static bool allow_tf32 { get => tss_flag(1) != 0; set => Check(tss_set_flag(1, Flag(value))); }
        }
    }

    /// <summary>A source of random numbers of its own. As in the package, always a CPU one.</summary>
    public class Generator : IDisposable
    {
        internal Generator(nint nativeHandle, Device device = null) => (Handle, this.device) = (nativeHandle, device ?? CPU);

        public Generator(ulong seed = 0, Device device = null) : this(tss_generator_new(seed), device) { }

        public nint Handle { get; private set; }
        public Device device { get; }
        public static Generator Default => new(tss_generator_default());

        public Tensor get_state() => new(Check(tss_generator_get_state(Handle)));

        public void set_state(Tensor value) => Check(tss_generator_set_state(Handle, value is null ? 0 : value.Handle));

        public Generator manual_seed(long seed)
        {
            tss_generator_set_seed(Handle, seed);
            return this;
        }

        public long seed()
        {
            long seed = DateTime.UtcNow.Ticks;
            manual_seed(seed);
            return seed;
        }

        public long initial_seed() => tss_generator_initial_seed(Handle);

        ~Generator() => Dispose(false);

        public void Dispose()
        {
            Dispose(true);
            GC.SuppressFinalize(this);
        }

        protected virtual void Dispose(bool disposing)
        {
            if (Handle == 0) return;
            tss_generator_free(Handle);
            Handle = 0;
        }
    }
}
