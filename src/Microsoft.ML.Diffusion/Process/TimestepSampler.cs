namespace Microsoft.ML.Diffusion;

/// <summary>Timesteps drawn for a batch. Owns its tensors.</summary>
/// <param name="Timesteps">[N] int64.</param>
/// <param name="Weights">[N] float32: multiply each row's loss with it and the mean is that of uniform timesteps.</param>
public readonly record struct TimestepDraw(Tensor Timesteps, Tensor Weights) : IDisposable
{
    /// <inheritdoc/>
    public void Dispose()
    {
        Timesteps.Dispose();
        Weights.Dispose();
    }
}

/// <summary>What a timestep sampler has learned; for checkpoints.</summary>
/// <param name="Timesteps">T.</param>
/// <param name="Losses">The remembered losses, T rows of as many as are remembered at most; empty where nothing is.</param>
/// <param name="Counts">How many losses each timestep has had so far; empty where nothing is remembered.</param>
public sealed record TimestepSamplerState(int Timesteps, IReadOnlyList<double> Losses, IReadOnlyList<long> Counts);

/// <summary>Chooses the timesteps to train on. Not safe for several threads.</summary>
public abstract class TimestepSampler
{
    private protected TimestepSampler(int timesteps)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(timesteps, 1);
        TimestepCount = timesteps;
    }

    /// <summary>T.</summary>
    public int TimestepCount { get; }

    /// <summary>Every timestep alike (Ho et al. 2020, algorithm 1).</summary>
    /// <param name="timesteps">T.</param>
    public static TimestepSampler Uniform(int timesteps) => new UniformTimestepSampler(timesteps);

    /// <summary>
    /// Timesteps in proportion to the root mean square of their last losses (Nichol and Dhariwal 2021, equation 18), uniform until each has had
    /// <paramref name="history"/> of them. For <see cref="LossType.Bound"/>, whose terms differ by orders of magnitude.
    /// </summary>
    /// <param name="timesteps">T.</param>
    /// <param name="history">Losses remembered for each timestep.</param>
    /// <param name="uniformShare">The share in [0, 1] of the draws that stays uniform, so that no timestep is forgotten.</param>
    public static TimestepSampler LossSecondMoment(int timesteps, int history = 10, double uniformShare = 0.001)
        => new LossSecondMomentTimestepSampler(timesteps, history, uniformShare);

    /// <summary>Draws timesteps.</summary>
    /// <param name="count">N.</param>
    /// <param name="generator">On the CPU; the draws depend on its state and what was learned, on nothing else.</param>
    /// <param name="device">Where the tensors are wanted; null for the CPU.</param>
    public abstract TimestepDraw Sample(int count, Generator generator, Device? device = null);

    /// <summary>Learns from the losses of a batch, before any weight.</summary>
    /// <param name="timesteps">[N] int64.</param>
    /// <param name="losses">[N] float; rows that are not finite are left out. Waits for the device.</param>
    public abstract void Update(Tensor timesteps, Tensor losses);

    /// <summary>What was learned so far.</summary>
    public abstract TimestepSamplerState SaveState();

    /// <summary>Goes on from what was learned before.</summary>
    /// <param name="state">What <see cref="SaveState"/> gave.</param>
    /// <exception cref="ArgumentException">The state is of another sampler or another number of timesteps.</exception>
    public abstract void RestoreState(TimestepSamplerState state);
}

internal sealed class UniformTimestepSampler(int timesteps) : TimestepSampler(timesteps)
{
    public override TimestepDraw Sample(int count, Generator generator, Device? device = null)
    {
        using var scope = NewDisposeScope();
        var drawn = randint(0, TimestepCount, [count], ScalarType.Int64, generator: generator).to(device ?? CPU);
        var weights = ones(count, ScalarType.Float32, device);
        scope.MoveToOuter(drawn, weights);
        return new TimestepDraw(drawn, weights);
    }

    public override void Update(Tensor timesteps, Tensor losses)
    {
    }

    public override TimestepSamplerState SaveState() => new(TimestepCount, [], []);

    public override void RestoreState(TimestepSamplerState state)
    {
        ArgumentNullException.ThrowIfNull(state);
        if (state.Timesteps != TimestepCount || state.Losses.Count != 0)
            throw new ArgumentException($"The saved state is not that of a uniform timestep sampler over {TimestepCount} timesteps.", nameof(state));
    }
}
