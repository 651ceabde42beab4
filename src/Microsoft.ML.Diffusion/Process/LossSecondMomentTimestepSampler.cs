namespace Microsoft.ML.Diffusion;

/// <summary>Importance sampling of timesteps (Nichol and Dhariwal 2021, section 3.3).</summary>
internal sealed class LossSecondMomentTimestepSampler : TimestepSampler
{
    private readonly int _history;
    private readonly double _uniformShare;
    private readonly double[] _losses;
    private readonly long[] _counts;

    public LossSecondMomentTimestepSampler(int timesteps, int history, double uniformShare)
        : base(timesteps)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(history, 1);
        if (uniformShare is not (>= 0 and <= 1))
            throw new ArgumentOutOfRangeException(nameof(uniformShare), uniformShare, "The uniform share of timestep draws lies between 0 and 1.");
        (_history, _uniformShare) = (history, uniformShare);
        _losses = new double[timesteps * history];
        _counts = new long[timesteps];
    }

    /// <summary>The probability of each timestep; they sum to 1.</summary>
    public double[] Probabilities()
    {
        var probabilities = new double[TimestepCount];
        var sum = 0.0;
        for (var t = 0; t < TimestepCount; t++)
        {
            var squares = 0.0;
            foreach (var loss in _losses.AsSpan(t * _history, _history))
                squares += loss * loss;
            sum += probabilities[t] = Math.Sqrt(squares / _history);
        }
        // Until every timestep has a full history its second moment says more of chance than of the loss.
        var uniform = _counts.Any(count => count < _history) || !(sum > 0);
        for (var t = 0; t < TimestepCount; t++)
            probabilities[t] = uniform ? 1.0 / TimestepCount : (1 - _uniformShare) * probabilities[t] / sum + _uniformShare / TimestepCount;
        return probabilities;
    }

    public override TimestepDraw Sample(int count, Generator generator, Device? device = null)
    {
        var probabilities = Probabilities();
        var cumulative = new double[TimestepCount];
        var sum = 0.0;
        for (var t = 0; t < TimestepCount; t++)
            cumulative[t] = sum += probabilities[t];
        using var scope = NewDisposeScope();
        var uniform = rand(count, ScalarType.Float64, generator: generator).data<double>().ToArray();
        var timesteps = new long[count];
        var weights = new float[count];
        for (var row = 0; row < count; row++)
        {
            // The sum may end an ulp below the largest draw.
            var found = Array.BinarySearch(cumulative, uniform[row] * sum);
            var t = Math.Min(found >= 0 ? found + 1 : ~found, TimestepCount - 1);
            timesteps[row] = t;
            weights[row] = (float)(1 / (TimestepCount * probabilities[t]));
        }
        Tensor drawn = tensor(timesteps, device: device), weighted = tensor(weights, device: device);
        scope.MoveToOuter(drawn, weighted);
        return new TimestepDraw(drawn, weighted);
    }

    public override void Update(Tensor timesteps, Tensor losses)
    {
        using var scope = NewDisposeScope();
        var steps = timesteps.cpu().data<long>().ToArray();
        var values = losses.detach().to(ScalarType.Float64).cpu().data<double>().ToArray();
        if (steps.Length != values.Length)
            throw new ArgumentException($"{values.Length} losses do not go with {steps.Length} timesteps.", nameof(losses));
        for (var row = 0; row < steps.Length; row++)
        {
            var (t, loss) = (steps[row], values[row]);
            if (double.IsFinite(loss))
                _losses[t * _history + _counts[t]++ % _history] = loss;
        }
    }

    public override TimestepSamplerState SaveState() => new(TimestepCount, [.. _losses], [.. _counts]);

    public override void RestoreState(TimestepSamplerState state)
    {
        ArgumentNullException.ThrowIfNull(state);
        if (state.Timesteps != TimestepCount || state.Losses.Count != _losses.Length || state.Counts.Count != _counts.Length)
            throw new ArgumentException($"The saved state is not that of a loss-second-moment sampler over {TimestepCount} timesteps with {_history} losses each.", nameof(state));
        for (var i = 0; i < _losses.Length; i++)
            _losses[i] = state.Losses[i];
        for (var t = 0; t < _counts.Length; t++)
            _counts[t] = state.Counts[t];
    }
}
