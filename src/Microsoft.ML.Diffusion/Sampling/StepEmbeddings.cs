namespace Microsoft.ML.Diffusion;

/// <summary>
/// A network with the classes of a batch: what its blocks are told of timestep and class is computed for many steps of a sampler in one go, not again at every step.
/// </summary>
internal sealed class StepEmbeddings : IDisposable
{
    /// <summary>Rows that are embedded together: enough for a product to be quick, few enough to be small beside the network.</summary>
    private const int RowsTogether = 512;

    private readonly DenoisingNetwork _network;
    private readonly ScalarType _type;
    private readonly Tensor? _labels;
    private double[] _expected = [];
    private NetworkEmbedding? _embedded;
    private int _first;
    private int _count;

    /// <summary>Binds.</summary>
    /// <param name="network">In evaluation mode; not disposed.</param>
    /// <param name="labels">[N] int64 on the network's device, or null where the network has no classes; not disposed.</param>
    /// <param name="nullLabel">The class that means "no class".</param>
    /// <param name="guided">Whether the network is called with the batch twice, the second time without its classes.</param>
    /// <param name="type">What the network computes in.</param>
    /// <exception cref="ArgumentException">Guidance without classes.</exception>
    /// <exception cref="InvalidOperationException">The network is in training mode.</exception>
    public StepEmbeddings(DenoisingNetwork network, Tensor? labels, long nullLabel, bool guided, ScalarType type)
    {
        Check(network, labels, guided, nameof(guided));
        _network = network;
        _type = type;
        if (labels is null)
            return;
        using Tensor without = full_like(labels, Held(nullLabel));
        _labels = (guided ? cat([labels, without]) : labels.alias()).DetachFromDisposeScope();
    }

    private int Rows => _labels is null ? 1 : (int)_labels.shape[0];

    /// <summary>Refuses a network that is not ready to draw, and guidance without classes.</summary>
    /// <param name="network">The network.</param>
    /// <param name="labels">Its classes, or null.</param>
    /// <param name="guided">Whether it is guided.</param>
    /// <param name="parameter">The caller's parameter that asks for guidance.</param>
    public static void Check(DenoisingNetwork network, Tensor? labels, bool guided, string parameter)
    {
        if (network.training)
            throw new InvalidOperationException("The network is in training mode, so dropout would spoil its images: call eval() on it first.");
        if (guided && labels is null)
            throw new ArgumentException("Guidance steers towards a class, but this model has none: set GuidanceScale to 1, or train with a label column.", parameter);
    }

    /// <summary>Tells the timesteps that are to come, in order.</summary>
    public void Expect(double[] timesteps)
    {
        _expected = timesteps;
        Forget();
    }

    /// <summary>Runs the network.</summary>
    /// <param name="x">[N or 2N, C, H, W].</param>
    /// <param name="timestep">Of the whole batch.</param>
    /// <returns>The network's output; the caller disposes it.</returns>
    public Tensor Run(Tensor x, double timestep)
    {
        int step = Array.IndexOf(_expected, timestep);
        if (step < 0)
        {
            using NetworkEmbedding single = Embed([timestep], x.device);
            return _network.RunIn(x, single, _type);
        }
        if (_embedded is null || step < _first || step >= _first + _count)
        {
            Forget();
            (_first, _count) = (step, Math.Min(Math.Max(1, RowsTogether / Rows), _expected.Length - step));
            _embedded = Embed(_expected.AsSpan(_first, _count), x.device);
        }
        using NetworkEmbedding rows = _embedded.Slice((long)(step - _first) * Rows, Rows);
        return _network.RunIn(x, rows, _type);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Forget();
        _labels?.Dispose();
    }

    private NetworkEmbedding Embed(ReadOnlySpan<double> timesteps, Device device)
    {
        var each = new float[timesteps.Length * Rows];
        for (int i = 0; i < timesteps.Length; i++)
            each.AsSpan(i * Rows, Rows).Fill((float)timesteps[i]);
        using Tensor all = HostMemory.ToTensor(each, [each.Length], device);
        using Tensor? labels = _labels is null ? null : cat(Enumerable.Repeat(_labels, timesteps.Length).ToArray());
        NetworkEmbedding embedding = _network.Embed(all, labels);
        embedding.DetachFromDisposeScope();
        return embedding;
    }

    private void Forget()
    {
        _embedded?.Dispose();
        _embedded = null;
    }
}
