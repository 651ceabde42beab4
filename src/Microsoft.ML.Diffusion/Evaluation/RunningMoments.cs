namespace Microsoft.ML.Diffusion;

/// <summary>
/// Mean and covariance of rows that come one block at a time, in float64. Each block is centred on its own mean and merged (Chan, Golub and LeVeque 1979),
/// so that nothing cancels however far the mean lies from 0 and however many rows there are.
/// </summary>
internal sealed class RunningMoments : IDisposable
{
    private readonly Tensor _mean;
    private readonly Tensor _products;

    /// <param name="features">The length of a row.</param>
    public RunningMoments(int features)
    {
        Features = features;
        _mean = zeros(features, ScalarType.Float64).DetachFromDisposeScope();
        _products = zeros(features, features, ScalarType.Float64).DetachFromDisposeScope();
    }

    public int Features { get; }

    public long Count { get; private set; }

    /// <summary>Adds rows.</summary>
    /// <param name="rows">[n, features] float64.</param>
    public void Add(Tensor rows)
    {
        using var scope = NewDisposeScope();
        long added = rows.shape[0];
        if (added == 0)
            return;
        var mean = rows.mean([0]);
        var centred = rows.sub(mean);
        var shift = mean.sub(_mean);
        var total = Count + added;
        _products.add_(centred.t().matmul(centred), Held(1));
        _products.add_(shift.unsqueeze(1).matmul(shift.unsqueeze(0)), Held((double)Count * added / total));
        _mean.add_(shift, Held((double)added / total));
        Count = total;
    }

    /// <summary>[features] float64.</summary>
    public double[] Mean() => _mean.data<double>().ToArray();

    /// <summary>[features, features] float64, row-major, with n − 1.</summary>
    public double[] Covariance()
    {
        if (Count < 2)
            throw new InvalidOperationException($"A covariance needs two rows at least; there {(Count == 1 ? "is 1" : "are 0")}.");
        using var covariance = _products.div(Held(Count - 1.0));
        return covariance.data<double>().ToArray();
    }

    public void Dispose()
    {
        _mean.Dispose();
        _products.Dispose();
    }
}
