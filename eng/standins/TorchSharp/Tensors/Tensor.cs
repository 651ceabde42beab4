using System.Runtime.CompilerServices;
using TorchSharp.Native;
using TorchSharp.Utils;
using static TorchSharp.Native.Bridge;

namespace TorchSharp;

public static partial class torch
{
    /// <summary>A handle to a native tensor: lifetime, metadata and memory.</summary>
    public partial class Tensor : IDisposable
    {
        private static long s_totalCount, s_peakCount;

        internal nint handle;

        internal DisposeScope OwningDisposeScope { get; set; }

        internal Tensor(nint handle, bool register = true)
        {
            this.handle = handle;
            s_peakCount = Math.Max(Interlocked.Increment(ref s_totalCount), s_peakCount);
            if (register) OwningDisposeScope = DisposeScopeManager.ThreadSingleton.Register(this);
        }
        public bool IsInvalid => handle == 0;
        public nint Handle => handle != 0 ? handle : throw new InvalidOperationException("Tensor invalid -- empty handle.");

        public override bool Equals(object obj) => obj is Tensor other && Equals(other);
        public bool Equals(Tensor target) => target is not null && Ops.equal.CallBool(this, target);
        public override int GetHashCode() => RuntimeHelpers.GetHashCode(this);

        ~Tensor() => Dispose(false);

        public void Dispose()
        {
            Dispose(true);
            GC.SuppressFinalize(this);
        }

        protected virtual void Dispose(bool disposing)
        {
            if (handle == 0) return;
            DisposeScopeManager.ThreadSingleton.Disposing(this);
            OwningDisposeScope?.MarkAsDisposed(this);
            Interlocked.Decrement(ref s_totalCount);
            tss_release(handle);
            handle = 0;
        }

        public Tensor MoveToOuterDisposeScope()
        {
            OwningDisposeScope?.MoveToOuter(this);
            return this;
        }

        public Tensor DetachFromDisposeScope()
        {
            OwningDisposeScope?.Detach(this);
            return this;
        }

        public nint DecoupleFromNativeHandle()
        {
            GC.SuppressFinalize(this);
            var h = Handle;
            Interlocked.Decrement(ref s_totalCount);
            handle = 0;
            return h;
        }

        /// <summary>Another reference to the native tensor, for another object to own.</summary>
        internal nint Retained() => tss_retain(Handle);

        internal nint MoveHandle()
        {
            var h = handle;
            handle = 0;
            return h;
        }

        private unsafe Info Info
        {
            get
            {
                Info info;
                Check(tss_info(Handle, &info));
                GC.KeepAlive(this);
                return info;
            }
        }

        public long Dimensions => tss_ndim(Handle);
        public long ndim => Dimensions;
        public long dim() => Dimensions;
        public long NumberOfElements => Info.NumEl;
        public long numel() => NumberOfElements;
        public long ElementSize => Info.ElementSize;
        public bool is_floating_point() => torch.is_floating_point(dtype);
        public bool is_complex() => torch.is_complex(dtype);
        public bool is_cpu() => device_type == DeviceType.CPU;
        public bool is_leaf => Info.IsLeaf != 0;
        public bool is_contiguous() => Info.IsContiguous != 0;
        public ScalarType dtype => (ScalarType)Info.DType;
        public DeviceType device_type => (DeviceType)Info.DeviceType;
        public int device_index => Info.DeviceIndex;
        public Device device => Info is var i && i.DeviceType == (int)DeviceType.CPU ? new(DeviceType.CPU) : new((DeviceType)i.DeviceType, i.DeviceIndex);

        public unsafe long[] size()
        {
            var sizes = new long[Dimensions];
            fixed (long* p = sizes) Check(tss_sizes(Handle, p));
            GC.KeepAlive(this);
            return sizes;
        }

        public long[] shape => size();

        public unsafe long[] stride()
        {
            var strides = new long[Dimensions];
            fixed (long* p = strides) Check(tss_strides(Handle, p));
            GC.KeepAlive(this);
            return strides;
        }

        internal nint DataPointer => Check(tss_data(Handle));

        public unsafe Span<byte> bytes
        {
            get
            {
                long length = NumberOfElements * ElementSize;
                if (!is_contiguous()) throw new InvalidOperationException("Bytes() called on non-contiguous tensor.");
                if (length > int.MaxValue) throw new ArgumentException("Span only supports up to int.MaxValue elements.");
                if (!is_cpu()) throw new InvalidOperationException("Reading data from non-CPU memory is not supported. Move or copy the tensor to the cpu before reading.");
                return length == 0 ? default : new((void*)DataPointer, (int)length);
            }
            set
            {
                if (!is_contiguous()) throw new InvalidOperationException("SetBytes() called on non-contiguous tensor.");
                if (NumberOfElements * ElementSize != value.Length) throw new ArgumentException("Mismatched data sizes in SetBytes().");
                if (value.Length > 0) value.CopyTo(new Span<byte>((void*)DataPointer, value.Length));
            }
        }

        public TensorAccessor<T> data<T>() where T : unmanaged
        {
            ValidateType(typeof(T));
            return new(is_cpu() ? this : cpu());
        }

        public T item<T>() where T : unmanaged =>
            NumberOfElements == 1 ? data<T>()[0] : throw new ArgumentException("Number of elements in the tensor must be 1");

        internal void ValidateType(Type type)
        {
            if (dtype == ScalarType.BFloat16) throw new ArgumentException($"No support for {dtype} in TorchSharp");
            if (type != ToType(dtype)) throw new ArgumentException($"{type.Name} is not compatible with {dtype}");
        }

        public Scalar ToScalar()
        {
            var r = Ops.item.CallScalar(this);
            return r.Kind switch
            {
                Kind.Double => new Scalar(BitConverter.Int64BitsToDouble(r.Bits)),
                Kind.Bool => new Scalar(r.Bits != 0),
                _ => new Scalar(r.Bits),
            };
        }

        public bool requires_grad
        {
            get => Info.RequiresGrad != 0;
            set => Check(tss_set_requires_grad(Handle, Flag(value)));
        }

        public Tensor requires_grad_(bool requires_grad = true)
        {
            this.requires_grad = requires_grad;
            return this;
        }

        public Tensor with_requires_grad(bool requires_grad = true) => requires_grad_(requires_grad);

        public Tensor grad
        {
            get => tss_grad(Handle) is var g && g == 0 ? null : new Tensor(g);
            set
            {
                Check(tss_set_grad(Handle, value is null ? 0 : value.Handle));
                GC.KeepAlive(value);
            }
        }

        public void backward() => autograd.backward([this]);

        public override string ToString() => $"[{string.Join("x", shape)}], type = {dtype}, device = {device}";
    }

    internal static byte Flag(bool value) => value ? (byte)1 : (byte)0;

    private static Type ToType(ScalarType type) => type switch
    {
        ScalarType.Byte => typeof(byte),
        ScalarType.Int8 => typeof(sbyte),
        ScalarType.Int16 => typeof(short),
        ScalarType.Int32 => typeof(int),
        ScalarType.Int64 => typeof(long),
        ScalarType.Float16 => typeof(Half),
        ScalarType.Float32 => typeof(float),
        ScalarType.Float64 => typeof(double),
        ScalarType.Bool => typeof(bool),
        _ => throw new NotImplementedException($"{type}"),
    };

    private static ScalarType ToScalarType(Type t) =>
        t == typeof(byte) ? ScalarType.Byte : t == typeof(sbyte) ? ScalarType.Int8 : t == typeof(short) ? ScalarType.Int16 : t == typeof(int) ? ScalarType.Int32
        : t == typeof(long) ? ScalarType.Int64 : t == typeof(Half) ? ScalarType.Float16 : t == typeof(float) ? ScalarType.Float32
        : t == typeof(double) ? ScalarType.Float64 : t == typeof(bool) ? ScalarType.Bool : throw new NotSupportedException($"The type {t.FullName} is not supported.");
}
