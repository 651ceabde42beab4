using System.Runtime.InteropServices;
using static TorchSharp.Native.Bridge;

namespace TorchSharp;

/// <summary>Scopes, seeds, threads, devices and switches.</summary>
public static partial class torch
{
    public static DisposeScope NewDisposeScope() => DisposeScopeManager.ThreadSingleton.NewDisposeScope();

    public static unsafe string __version__ => Marshal.PtrToStringUTF8((nint)tss_version());

    public static int get_num_threads() => tss_threads();
    public static void set_num_threads(int num) => Check(tss_set_threads(num));

    public static class cuda
    {
        public static bool is_available() => tss_cuda_available() != 0;
        public static int device_count() => tss_cuda_device_count();

        public static void manual_seed_all(long seed)
        {
            TryInitializeDeviceType(DeviceType.CUDA);
            Check(tss_cuda_manual_seed(seed));
        }
    }

    public static class backends
    {
        public static class cuda
        {
            public static class matmul
            {
                public static bool allow_tf32
                {
                    get => tss_flag(Switch.CublasTf32) != 0;
                    set => Check(tss_set_flag(Switch.CublasTf32, value ? (byte)1 : (byte)0));
                }
            }
        }

        public static class cudnn
        {
            public static bool allow_tf32
            {
                get => tss_flag(Switch.CudnnTf32) != 0;
                set => Check(tss_set_flag(Switch.CudnnTf32, value ? (byte)1 : (byte)0));
            }
        }
    }

    /// <summary>A source of random numbers of its own. As in the package, always a CPU one.</summary>
    public class Generator : IDisposable
    {
        internal Generator(nint nativeHandle, Device device = null) => (Handle, this.device) = (nativeHandle, device ?? CPU);

        public Generator(ulong seed = 0, Device device = null) : this(tss_generator_new(seed), device) { }

        public nint Handle { get; private set; }
        public Device device { get; }

        public Tensor get_state() => new(Check(tss_generator_get_state(Handle)));

        public void set_state(Tensor value) => Check(tss_generator_set_state(Handle, value is null ? 0 : value.Handle));

        public Generator manual_seed(long seed)
        {
            tss_generator_set_seed(Handle, seed);
            return this;
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
