using TorchSharp;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// Coefficient tables as tensors, made once a device and type: training then pays one index_select a coefficient and no transfer. Safe for several threads.
/// </summary>
internal sealed class CoefficientTables(Func<Coefficient, double[]> compute) : IDisposable
{
    private readonly Dictionary<(Coefficient, DeviceType, int, ScalarType), Tensor> _tables = [];
    private bool _disposed;

    /// <summary>One number a row, shaped to spread over <paramref name="like"/>: [N, 1, …, 1], float64 where that is float64, else float32.</summary>
    /// <param name="coefficient">Which.</param>
    /// <param name="t">[N] int64, on the device of <paramref name="like"/>.</param>
    /// <param name="like">[N, …].</param>
    public Tensor Gather(Coefficient coefficient, Tensor t, Tensor like)
    {
        var table = Table(coefficient, t, like.dtype == ScalarType.Float64 ? ScalarType.Float64 : ScalarType.Float32);
        using var rows = table.index_select(0, t);
        return rows.view(Rows.Column(like));
    }

    /// <summary>One number a row: [N] float32.</summary>
    public Tensor Gather(Coefficient coefficient, Tensor t) => Table(coefficient, t, ScalarType.Float32).index_select(0, t);

    public void Dispose()
    {
        lock (_tables)
        {
            _disposed = true;
            foreach (var table in _tables.Values)
                table.Dispose();
            _tables.Clear();
        }
    }

    private Tensor Table(Coefficient coefficient, Tensor t, ScalarType type)
    {
        var key = (coefficient, t.device_type, t.device_index, type);
        lock (_tables)
        {
            ObjectDisposedException.ThrowIf(_disposed, typeof(GaussianDiffusion));
            if (!_tables.TryGetValue(key, out var table))
            {
                using var scope = NewDisposeScope();
                _tables[key] = table = tensor(compute(coefficient), type, t.device).DetachFromDisposeScope();
            }
            return table;
        }
    }
}
