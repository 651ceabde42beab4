using System.Reflection;
using System.Runtime.InteropServices;

namespace TorchSharp.Native;

/// <summary>The entries of eng/standins/native, one to one.</summary>
internal static unsafe partial class Bridge
{
    private const string Library = "torchstandin";

    static Bridge() => NativeLibrary.SetDllImportResolver(Assembly.GetExecutingAssembly(), (name, _, _) =>
    {
        if (name != Library) return 0;
        string path = Path.Combine(AppContext.BaseDirectory, "libtorchstandin.so");
        if (!File.Exists(path))
            throw new DllNotFoundException($"The TorchSharp stand-in's native half is missing: {path}. Run eng/standins/native/build.sh and build again.");
        Blas.Prepare();
        return NativeLibrary.Load(path);
    });

    [LibraryImport(Library)] public static partial byte* tss_last_error();
    [LibraryImport(Library, StringMarshalling = StringMarshalling.Utf8)] public static partial nint tss_find_op(string name, string overload);
    [LibraryImport(Library)] public static partial int tss_call(nint op, NativeArg* args, int n, NativeArg** results);

    [LibraryImport(Library)] public static partial void tss_release(nint t);
    [LibraryImport(Library)] public static partial nint tss_retain(nint t);
    [LibraryImport(Library)] public static partial byte tss_info(nint t, Info* info);
    [LibraryImport(Library)] public static partial int tss_ndim(nint t);
    [LibraryImport(Library)] public static partial byte tss_sizes(nint t, long* sizes);
    [LibraryImport(Library)] public static partial byte tss_strides(nint t, long* strides);
    [LibraryImport(Library)] public static partial nint tss_data(nint t);
    [LibraryImport(Library)] public static partial nint tss_from_blob(void* data, long* sizes, int n, int dtype, delegate* unmanaged<nint, void> release, nint context);

    [LibraryImport(Library)] public static partial byte tss_set_requires_grad(nint t, byte on);
    [LibraryImport(Library)] public static partial nint tss_grad(nint t);
    [LibraryImport(Library)] public static partial byte tss_set_grad(nint t, nint grad);
    [LibraryImport(Library)] public static partial byte tss_backward(nint* tensors, int n, nint* grads, int g, byte retain, byte create, nint* inputs, int i);
    [LibraryImport(Library)] public static partial byte tss_autograd_grad(nint* outputs, int n, nint* inputs, int i, nint* grads, int g, byte retain, byte create, byte allowUnused, nint* results);
    [LibraryImport(Library)] public static partial byte tss_grad_enabled();
    [LibraryImport(Library)] public static partial void tss_set_grad_enabled(byte on);
    [LibraryImport(Library)] public static partial byte tss_inference_enabled();
    [LibraryImport(Library)] public static partial nint tss_inference_enter(byte on);
    [LibraryImport(Library)] public static partial void tss_inference_leave(nint guard);
    [LibraryImport(Library)] public static partial nint tss_node_new(ManagedHalf managed, nint* inputs, int n);
    [LibraryImport(Library)] public static partial void tss_node_drop(nint node);
    [LibraryImport(Library)] public static partial byte tss_node_wrap(nint node, nint* inputs, int n, nint* dirty, int d, nint* fixedOutputs, int f, nint* outputs, int o, nint* results);
    [LibraryImport(Library)] public static partial byte tss_node_save(nint node, nint* tensors, int n);
    [LibraryImport(Library)] public static partial int tss_node_saved_count(nint node);
    [LibraryImport(Library)] public static partial byte tss_node_saved(nint node, nint* results);

    [LibraryImport(Library)] public static partial nint tss_generator_new(ulong seed);
    [LibraryImport(Library)] public static partial void tss_generator_free(nint g);
    [LibraryImport(Library)] public static partial void tss_generator_set_seed(nint g, long seed);
    [LibraryImport(Library)] public static partial long tss_generator_initial_seed(nint g);
    [LibraryImport(Library)] public static partial nint tss_generator_get_state(nint g);
    [LibraryImport(Library)] public static partial byte tss_generator_set_state(nint g, nint state);
    [LibraryImport(Library)] public static partial byte tss_cuda_available();
    [LibraryImport(Library)] public static partial int tss_cuda_device_count();
    [LibraryImport(Library)] public static partial byte tss_cuda_manual_seed(long seed);
    [LibraryImport(Library)] public static partial byte tss_flag(Switch flag);
    [LibraryImport(Library)] public static partial byte tss_set_flag(Switch flag, byte on);
    [LibraryImport(Library)] public static partial int tss_threads();
    [LibraryImport(Library)] public static partial byte tss_set_threads(int n);
    [LibraryImport(Library)] public static partial byte* tss_version();

    /// <summary>Turns a native failure into the exception that the package throws.</summary>
    public static void Check(byte ok)
    {
        if (ok == 0) throw Failure();
    }

    public static nint Check(nint handle) => handle != 0 ? handle : throw Failure();

    public static ExternalException Failure() => new(Marshal.PtrToStringUTF8((nint)tss_last_error()));

    [StructLayout(LayoutKind.Sequential)]
    internal struct Info
    {
        public long NumEl, StorageOffset;
        public int NDim, DType, ElementSize, DeviceType, DeviceIndex;
        public byte RequiresGrad, IsLeaf, IsContiguous, IsSparse;
    }

    [StructLayout(LayoutKind.Sequential)]
    internal struct ManagedHalf
    {
        public nint Context;
        public delegate* unmanaged<nint, nint*, int, nint*, int, byte*> Apply;
        public delegate* unmanaged<nint, void> Release;
    }

    [StructLayout(LayoutKind.Sequential)]
    internal struct NativeArg
    {
        public Kind Kind;
        public int Count;
        public long Bits;
    }

    /// <summary>A switch of libtorch's; the numbers are those of native/context.cpp.</summary>
    internal enum Switch
    {
        CublasTf32, CudnnTf32,
    }

    /// <summary>What an argument is; the numbers are those of native/bridge.h.</summary>
    internal enum Kind
    {
        None, Tensor, Int, Double, Bool, IntList, DoubleList, TensorList, OptionalTensorList, String, Device, Generator, Default,
    }
}
