using System.Collections;

namespace TorchSharp;

public static partial class torch
{
    public struct Size : IEnumerable<long>
    {
        private readonly long[] _shape;

        public Size(long[] shape) => _shape = (long[])shape.Clone();
        public Size(int[] shape) => _shape = Array.ConvertAll(shape, s => (long)s);
        public long[] Shape => _shape;

        public static bool operator ==(Size left, Size right) => left._shape.AsSpan().SequenceEqual(right._shape);
        public static bool operator !=(Size left, Size right) => !(left == right);
        public override bool Equals(object obj) => obj is Size other && this == other;
        public override int GetHashCode() => _shape.Aggregate(17, HashCode.Combine);
        public IEnumerator<long> GetEnumerator() => ((IEnumerable<long>)_shape).GetEnumerator();
        IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();
    }
}
