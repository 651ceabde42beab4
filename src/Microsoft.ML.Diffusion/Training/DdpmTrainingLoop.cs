using TorchSharp;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// Algorithm 1 of Ho et al. 2020: batch → q_sample → network → loss → optimizer, until the steps or the time are used up.
/// </summary>
/// <param name="settings">The training.</param>
/// <param name="device">Where it runs.</param>
/// <param name="report">Told of every step; disposed at the end.</param>
internal sealed class DdpmTrainingLoop(TrainingSettings settings, Device device, TrainingReport report)
{
    private const int SkipsInARow = 20;

    /// <summary>Trains a new network.</summary>
    /// <param name="rows">The data.</param>
    /// <param name="cancellationToken">Looked at before each step.</param>
    /// <returns>The network with the weights' moving average, which the caller disposes, and the steps taken.</returns>
    /// <exception cref="InvalidOperationException">The data cannot be trained on, or the loss stopped being a number.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled; nothing is left behind.</exception>
    public (DenoisingNetwork Network, int Steps) Run(TrainingRowsOptions rows, CancellationToken cancellationToken)
    {
        using var reporting = report;
        var seeds = new Random(settings.Seed);
        using var weights = new Generator((ulong)seeds.Next(), CPU);
        using var draws = new Generator((ulong)seeds.Next(), CPU);
        using var noise = new Generator((ulong)seeds.Next(), CPU);
        using var dropout = new Generator((ulong)seeds.Next(), CPU);

        DenoisingNetwork? network = null;
        try
        {
            network = settings.Network.Build(settings.Shape, weights);
            NetworkPlacement.Move(network, device);
            network.DropoutGenerator = dropout;
            network.train();
            int steps;
            using (var optimizer = new FlatAdam(network.parameters(), settings.Adam, PrecisionPolicy.TypeFor(settings.Precision, device)))
            using (var diffusion = new GaussianDiffusion(settings.Schedule.Build(), settings.Prediction, settings.Variance))
            {
                report.Begin(settings, optimizer.ParameterCount, device);
                var timesteps = settings.ImportanceSampling
                    ? TimestepSampler.LossSecondMoment(diffusion.Timesteps)
                    : TimestepSampler.Uniform(diffusion.Timesteps);
                var state = new TrainingState(optimizer, timesteps, [("draws", draws), ("noise", noise), ("dropout", dropout)]);
                using var parameters = new ParameterMemory(network.parameters());
                steps = Train(new Session(network, parameters, diffusion, state, draws, noise), rows, cancellationToken);
                optimizer.UseAverage();
            }
            network.eval();
            report.End();
            return (network, steps);
        }
        catch
        {
            network?.Dispose();
            throw;
        }
    }

    private int Train(Session session, TrainingRowsOptions rows, CancellationToken cancellationToken)
    {
        var loss = new DiffusionLoss(session.Diffusion, settings.Loss);
        var checkpoint = settings.CheckpointPath is { } path ? new TrainingCheckpoint(path, settings) : null;
        var (step, elapsed) = checkpoint?.Restore(session.State) ?? (0, TimeSpan.Zero);
        if (step > 0)
            report.Resumed(settings.CheckpointPath!, step);
        using var batches = new TrainingBatches(rows, settings.BatchSize, skip: step);
        var clock = new TrainingClock(settings.MaximumSteps, settings.MaximumDuration, step, elapsed);
        int skipped = 0, skippedInARow = 0;
        while (step < settings.MaximumSteps && clock.Fraction(step) < 1)
        {
            cancellationToken.ThrowIfCancellationRequested();
            var batch = batches.Take(cancellationToken);
            if (step++ == 0)
                report.FirstBatch(batch.Images, rows.Format);
            using Tensor batchLoss = Backward(session, loss, batch);
            double learningRate = settings.LearningRateAt(step, clock.Fraction(step - 1));
            double norm = session.State.Optimizer.Step(learningRate);
            // Read last: it waits for a GPU.
            double stepLoss = batchLoss.item<float>();
            if (!double.IsFinite(norm))
            {
                skipped++;
                report.Skipped(step, stepLoss);
                if (++skippedInARow == SkipsInARow)
                {
                    throw new InvalidOperationException($"The gradient was not finite in {SkipsInARow} steps in a row, up to step {step}: the training has diverged. "
                        + $"Lower Options.LearningRate, which is {settings.LearningRate}, or lengthen Options.WarmupSteps, which is {settings.WarmupSteps}.");
                }
            }
            else
            {
                skippedInARow = 0;
            }

            var (speed, total, left) = clock.Tick(step);
            report.Step(new DdpmTrainingProgress(
                step, total, batch.Epoch, stepLoss, norm, learningRate, speed * settings.BatchSize, clock.Elapsed, left, skipped));
            batches.Return(batch);
            if (step % settings.CheckpointSteps == 0)
                checkpoint?.Write(session.State, step, clock.Elapsed);
        }
        return step;
    }

    /// <summary>Computes the gradients of one batch.</summary>
    /// <returns>The batch's loss; the caller disposes it.</returns>
    private Tensor Backward(Session session, DiffusionLoss loss, TrainingBatch batch)
    {
        using var scope = NewDisposeScope();
        using var parameters = session.Parameters.Enter();
        using var typed = session.State.Optimizer.EnterTypedWeights();
        var x0 = Images(batch);
        var labels = settings.Shape.Classes > 0 ? Labels(batch, session.Draws) : null;
        using var draw = session.State.Timesteps.Sample(settings.BatchSize, session.Draws, device);
        var noise = loss.DrawNoise(x0.shape, session.Noise, device);
        using var rows = loss.Compute((x, t) => session.Network.ForwardIn(x, t, labels, PrecisionPolicy.TypeFor(settings.Precision, device)), x0, draw.Timesteps, noise);
        var mean = (rows.Loss * draw.Weights).mean();
        mean.backward();
        if (settings.ImportanceSampling)
            session.State.Timesteps.Update(draw.Timesteps, rows.Loss);
        return mean.detach().MoveToOuterDisposeScope();
    }

    private Tensor Images(TrainingBatch batch) =>
        HostMemory.ToTensor(batch.Images, [settings.BatchSize, settings.Shape.Channels, settings.Shape.Height, settings.Shape.Width], device);

    /// <summary>The batch's classes, some replaced by the null class so that one network learns both of classifier-free guidance (Ho and Salimans 2022, algorithm 1).</summary>
    private Tensor Labels(TrainingBatch batch, Generator draws)
    {
        var labels = tensor(batch.Labels, int64);
        if (settings.LabelDropout > 0)
        {
            var dropped = rand([settings.BatchSize], float32, generator: draws).lt(Held(settings.LabelDropout));
            labels = labels.masked_fill(dropped, Held(settings.Shape.Classes));
        }
        return labels.to(device);
    }

    private sealed record Session(
        DenoisingNetwork Network, ParameterMemory Parameters, GaussianDiffusion Diffusion, TrainingState State, Generator Draws, Generator Noise);
}
