using System.Collections;

namespace TorchSharp.Utils;

/// <summary>A CPU tensor's elements in row-major order, whatever its strides.</summary>
public sealed unsafe class TensorAccessor<T> : IDisposable, IEnumerable<T> where T : unmanaged
{
    private torch.Tensor _tensor;
    private readonly T* _data;
    private readonly long[] _shape, _strides;
    private readonly bool _contiguous;

    internal TensorAccessor(torch.Tensor tensor)
    {
        _tensor = tensor;
        (_shape, _strides, _contiguous, Count) = (tensor.shape, tensor.stride(), tensor.is_contiguous(), tensor.numel());
        _data = Count == 0 ? null : (T*)tensor.DataPointer;
    }

    public long Count { get; }

    public T this[params long[] indices]
    {
        get => _data[Offset(indices)];
        set => _data[Offset(indices)] = value;
    }

    private long Offset(long[] indices)
    {
        if (indices.Length == 1 && _shape.Length != 1)
        {
            if (indices[0] >= Count) throw new IndexOutOfRangeException();
            return indices[0] < 0 ? throw new ArgumentOutOfRangeException(nameof(indices)) : Offset(indices[0]);
        }
        long offset = 0;
        for (int d = 0; d < _shape.Length; d++)
        {
            if (indices[d] >= _shape[d] || indices[d] < 0) throw new IndexOutOfRangeException($"{indices[d]} >= {_shape[d]} in dimension {d}.");
            offset += indices[d] * _strides[d];
        }
        return offset;
    }

    private long Offset(long index)
    {
        if (_contiguous) return index;
        long offset = 0;
        for (int d = _shape.Length - 1; d >= 0; d--)
        {
            (index, long i) = Math.DivRem(index, _shape[d]);
            offset += i * _strides[d];
        }
        return offset;
    }

    public T[] ToArray()
    {
        var result = new T[Count];
        CopyTo(result.AsSpan());
        return result;
    }

    public void CopyTo(Span<T> array, int arrayIndex = 0, long tensorIndex = 0)
    {
        for (; arrayIndex < array.Length && tensorIndex < Count; arrayIndex++, tensorIndex++) array[arrayIndex] = _data[Offset(tensorIndex)];
        GC.KeepAlive(_tensor);
    }

    private T At(long index) => _data[Offset(index)];

    public IEnumerator<T> GetEnumerator()
    {
        for (long i = 0; i < Count; i++) yield return At(i);
    }

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    public void Dispose() => _tensor = null;
}
