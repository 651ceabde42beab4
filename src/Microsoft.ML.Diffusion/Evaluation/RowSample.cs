namespace Microsoft.ML.Diffusion;

/// <summary>A uniform sample of at most so many of the rows that come by, without knowing how many will (Vitter 1985, algorithm R).</summary>
internal sealed class RowSample(int features, int maximum, Random random)
{
    private double[] _values = new double[Math.Min(maximum, 1024) * features];
    private long _seen;

    /// <summary>Rows kept.</summary>
    public int Count { get; private set; }

    /// <summary>[<see cref="Count"/>, features], row-major.</summary>
    public double[] Values => _values[..(Count * features)];

    /// <summary>Offers rows.</summary>
    /// <param name="values">[count, features], row-major.</param>
    /// <param name="count">How many.</param>
    public void Add(double[] values, int count)
    {
        for (var row = 0; row < count; row++)
        {
            _seen++;
            var place = Count < maximum ? Count++ : random.NextInt64(_seen);
            if (place >= maximum)
                continue;
            if ((place + 1) * features > _values.Length)
                Array.Resize(ref _values, (int)Math.Min(2L * _values.Length, (long)maximum * features));
            values.AsSpan(row * features, features).CopyTo(_values.AsSpan((int)place * features, features));
        }
    }
}
