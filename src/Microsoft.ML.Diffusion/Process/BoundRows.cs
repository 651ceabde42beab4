namespace Microsoft.ML.Diffusion;

/// <summary>The variational bound of each row of a batch.</summary>
public sealed class BoundRows
{
    private readonly double[] _bits, _x0Mse, _epsilonMse, _prior;

    internal BoundRows(double[] bits, double[] x0Mse, double[] epsilonMse, double[] prior, int timesteps)
        => (_bits, _x0Mse, _epsilonMse, _prior, Timesteps) = (bits, x0Mse, epsilonMse, prior, timesteps);

    /// <summary>Rows in the batch.</summary>
    public int Count => _prior.Length;

    /// <summary>T.</summary>
    public int Timesteps { get; }

    /// <summary>L_T of a row: bits per dimension.</summary>
    /// <param name="row">0 … Count−1.</param>
    public double Prior(int row) => _prior[row];

    /// <summary>L_t of a row: bits per dimension.</summary>
    /// <param name="row">0 … Count−1.</param>
    /// <param name="timestep">0 … T−1.</param>
    public double Term(int row, int timestep) => _bits[Index(row, timestep)];

    /// <summary>The mean square error of the estimate of x_0.</summary>
    /// <param name="row">0 … Count−1.</param>
    /// <param name="timestep">0 … T−1.</param>
    public double X0Mse(int row, int timestep) => _x0Mse[Index(row, timestep)];

    /// <summary>The mean square error of ε as the (clipped) estimate of x_0 implies it.</summary>
    /// <param name="row">0 … Count−1.</param>
    /// <param name="timestep">0 … T−1.</param>
    public double EpsilonMse(int row, int timestep) => _epsilonMse[Index(row, timestep)];

    /// <summary>L_0 + … + L_T of a row: bits per dimension.</summary>
    /// <param name="row">0 … Count−1.</param>
    public double Total(int row)
    {
        var total = _prior[row];
        for (var t = 0; t < Timesteps; t++)
            total += Term(row, t);
        return total;
    }

    private int Index(int row, int timestep)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)row, (uint)Count, nameof(row));
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)timestep, (uint)Timesteps, nameof(timestep));
        return timestep * Count + row;
    }
}

/// <summary>The variational bound of a data set: means over its rows, bits per dimension.</summary>
/// <param name="Rows">How many rows went in.</param>
/// <param name="Total">L_0 + … + L_T.</param>
/// <param name="TotalStandardError">The standard error of <paramref name="Total"/> over the rows; NaN for a single row.</param>
/// <param name="Prior">L_T.</param>
/// <param name="Terms">L_0, L_1 … L_{T−1}.</param>
/// <param name="X0Mse">For each timestep, the mean square error of the estimate of x_0.</param>
/// <param name="EpsilonMse">For each timestep, the mean square error of ε as that estimate implies it.</param>
public sealed record VariationalBoundResult(
    long Rows,
    double Total,
    double TotalStandardError,
    double Prior,
    IReadOnlyList<double> Terms,
    IReadOnlyList<double> X0Mse,
    IReadOnlyList<double> EpsilonMse);

/// <summary>Sums the bound over batches, in float64.</summary>
/// <param name="timesteps">T.</param>
public sealed class VariationalBoundAccumulator(int timesteps)
{
    private readonly double[] _terms = new double[timesteps], _x0Mse = new double[timesteps], _epsilonMse = new double[timesteps];
    private long _rows;
    private double _prior, _mean, _squares;

    /// <summary>Adds a batch.</summary>
    /// <param name="batch">What <see cref="VariationalBound.Evaluate"/> gave.</param>
    /// <exception cref="ArgumentException">The batch is of a process with another number of timesteps.</exception>
    public void Add(BoundRows batch)
    {
        ArgumentNullException.ThrowIfNull(batch);
        if (batch.Timesteps != timesteps)
            throw new ArgumentException($"The batch's bound has {batch.Timesteps} timesteps, the others {timesteps}.", nameof(batch));
        for (var row = 0; row < batch.Count; row++)
        {
            for (var t = 0; t < timesteps; t++)
            {
                _terms[t] += batch.Term(row, t);
                _x0Mse[t] += batch.X0Mse(row, t);
                _epsilonMse[t] += batch.EpsilonMse(row, t);
            }
            _prior += batch.Prior(row);
            // Welford: the rows' totals are large and alike, so the plain sum of squares would cancel.
            var total = batch.Total(row);
            var difference = total - _mean;
            _mean += difference / ++_rows;
            _squares += difference * (total - _mean);
        }
    }

    /// <summary>The means so far.</summary>
    /// <exception cref="InvalidOperationException">Nothing was added.</exception>
    public VariationalBoundResult Result()
    {
        if (_rows == 0)
            throw new InvalidOperationException("The variational bound of no rows is undefined: the data is empty.");
        double[] Mean(double[] sums) => Array.ConvertAll(sums, sum => sum / _rows);
        var terms = Mean(_terms);
        var prior = _prior / _rows;
        return new VariationalBoundResult(_rows, prior + terms.Sum(), Math.Sqrt(_squares / (_rows - 1) / _rows), prior, terms, Mean(_x0Mse), Mean(_epsilonMse));
    }
}
