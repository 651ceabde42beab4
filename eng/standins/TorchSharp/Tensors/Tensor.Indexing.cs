using System.Runtime.CompilerServices;
using TorchSharp.Native;

namespace TorchSharp;

public static partial class torch
{
    public struct TensorIndex
    {
        internal enum Kind { None, Single, Null, Ellipsis, Bool, Tensor, Slice }

        internal Kind kind;
        internal long? start, stop, step;
        internal Tensor tensor;

        public static TensorIndex Ellipsis = new() { kind = Kind.Ellipsis };
        public static TensorIndex None = new() { kind = Kind.None };
        public static TensorIndex Colon = Slice();

        public static TensorIndex Slice(long? start = null, long? stop = null, long? step = null) => new() { kind = Kind.Slice, start = start, stop = stop, step = step };
        public static TensorIndex Single(long? index) => new() { kind = Kind.Single, start = index };
        public static TensorIndex Tensor(Tensor tensor) => new() { kind = Kind.Tensor, tensor = tensor };

        public static implicit operator TensorIndex(long value) => Single(value);
    }

    /// <summary>Indexing as in Python: views where they will do, gathering where an index is a tensor.</summary>
    public partial class Tensor
    {
        [IndexerName("TensorItems")]
        public Tensor this[params TensorIndex[] indices]
        {
            get => index(indices);
            set => index_put_(value, indices);
        }

        [IndexerName("TensorItems")]
        public Tensor this[params Tensor[] indices]
        {
            get => index(indices);
            set => index_put_(value, indices);
        }

        [IndexerName("TensorItems")]
        public Tensor this[long i1]
        {
            get => select(0, i1);
            set => index_put_(value, [i1]);
        }

        [IndexerName("TensorItems")]
        public Tensor this[long i1, long i2]
        {
            get => index([i1, i2]);
            set => index_put_(value, [i1, i2]);
        }

        [IndexerName("TensorItems")]
        public Tensor this[long i1, long i2, long i3, long i4]
        {
            get => index([i1, i2, i3, i4]);
            set => index_put_(value, [i1, i2, i3, i4]);
        }

        public Tensor index(params TensorIndex[] indices)
        {
            nint result = View(indices, out var tensors);
            if (tensors is null) return new Tensor(result);
            using var view = new Tensor(result, false);
            return Ops.index_Tensor.Call(view, Arg.Optional(tensors));
        }

        public Tensor index(params Tensor[] indices) => index(Array.ConvertAll(indices, TensorIndex.Tensor));

        public Tensor index_put_(Tensor value, params TensorIndex[] indices) => index_put_(value, indices, false);

        public Tensor index_put_(Tensor value, TensorIndex[] indices, bool accumulate = false)
        {
            nint target = View(indices, out var tensors);
            using var view = new Tensor(target, false);
            if (tensors is null && accumulate)
                throw new Exception("Invalid 'indices' parameter. Must be an array of TensorIndex objects containing tensors with indices that match the shape of the tensor to update");
            if (tensors is null) view.copy_(value);
            else Ops.index_put_.On(view, Arg.Optional(tensors), value, accumulate);
            return this;
        }

        public Tensor index_put_(Tensor value, params Tensor[] indices) => index_put_(value, Array.ConvertAll(indices, TensorIndex.Tensor));

        public Tensor index_put_(Scalar value, params TensorIndex[] indices)
        {
            using var full = Ops.scalar_tensor.Call(value, dtype, Arg.None, device).DetachFromDisposeScope();
            return index_put_(full, indices);
        }

        /// <summary>The part that views can express; <paramref name="tensors"/> holds the rest, one entry a dimension of the view, or is null.</summary>
        private nint View(TensorIndex[] indices, out Tensor[] tensors)
        {
            var gathered = new List<Tensor>();
            tensors = null;
            var view = new Tensor(Ops.alias.CallRaw(this), false);
            int dim = 0, consumed = indices.Count(i => i.kind is TensorIndex.Kind.Single or TensorIndex.Kind.Slice)
                + indices.Sum(i => i.kind != TensorIndex.Kind.Tensor ? 0 : i.tensor.dtype is ScalarType.Bool or ScalarType.Byte ? (int)i.tensor.ndim : 1);
            foreach (var i in indices)
            {
                switch (i.kind)
                {
                    case TensorIndex.Kind.Single:
                        view = Next(view, Ops.select_int.CallRaw(view, (long)dim, i.start.GetValueOrDefault()));
                        break;
                    case TensorIndex.Kind.Slice:
                        view = Next(view, Ops.slice_Tensor.CallRaw(view, (long)dim++, i.start, i.stop, i.step ?? 1));
                        break;
                    case TensorIndex.Kind.Ellipsis:
                        dim += (int)ndim - consumed;
                        break;
                    case TensorIndex.Kind.None or TensorIndex.Kind.Null:
                        view = Next(view, Ops.unsqueeze.CallRaw(view, (long)dim++));
                        break;
                    case TensorIndex.Kind.Bool:
                        view = Next(view, Ops.unsqueeze.CallRaw(view, (long)dim));
                        Gather(gathered, dim++, torch.zeros([i.start == 1 ? 1 : 0], ScalarType.Int64, device));
                        break;
                    case TensorIndex.Kind.Tensor:
                        Gather(gathered, dim, i.tensor);
                        dim += i.tensor.dtype is ScalarType.Bool or ScalarType.Byte ? (int)i.tensor.ndim : 1;
                        break;
                }
            }
            if (gathered.Count > 0) tensors = [.. gathered];
            return view.DecoupleFromNativeHandle();

            static void Gather(List<Tensor> gathered, int dim, Tensor t)
            {
                // A mask of n dimensions stands for n dimensions, and takes one place in the list.
                int places = gathered.Sum(g => g?.dtype is ScalarType.Bool or ScalarType.Byte ? (int)g.ndim : 1);
                for (; places < dim; places++) gathered.Add(null);
                gathered.Add(t);
            }

            static Tensor Next(Tensor old, nint next)
            {
                old.Dispose();
                return new(next, false);
            }
        }
    }
}
