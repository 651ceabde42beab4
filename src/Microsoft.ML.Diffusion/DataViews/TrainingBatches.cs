using System.Threading.Channels;

namespace Microsoft.ML.Diffusion;

/// <summary>A batch of training rows in managed memory.</summary>
/// <param name="Images">[N, channels, height, width] values in [−1, 1].</param>
/// <param name="Labels">[N] classes.</param>
internal sealed record TrainingBatch(float[] Images, long[] Labels)
{
    /// <summary>Epochs begun when the batch was read, from 1.</summary>
    public int Epoch { get; set; }

    /// <summary>Rows in one epoch; null before the first has ended.</summary>
    public long? RowsPerEpoch { get; set; }
}

/// <summary>Reads batches on a thread of its own, a few ahead, so that a training step never waits for decoding.</summary>
internal sealed class TrainingBatches : IDisposable
{
    private const int Ahead = 3;

    private readonly Channel<TrainingBatch> _ready = Channel.CreateBounded<TrainingBatch>(Ahead);
    private readonly Channel<TrainingBatch> _free = Channel.CreateUnbounded<TrainingBatch>();
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _reader;

    /// <summary>Starts reading.</summary>
    /// <param name="options">What to read.</param>
    /// <param name="batchSize">Rows in a batch.</param>
    /// <param name="skip">Batches to pass over first: those that a run that this one goes on from has had.</param>
    public TrainingBatches(TrainingRowsOptions options, int batchSize, int skip = 0)
    {
        for (int i = 0; i < Ahead + 1; i++)
            _free.Writer.TryWrite(new TrainingBatch(new float[batchSize * options.Format.Size], new long[batchSize]));
        _reader = Task.Factory.StartNew(() => Read(options, batchSize, skip), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
    }

    /// <summary>Waits for the next batch.</summary>
    /// <exception cref="InvalidOperationException">The data cannot be trained on.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public TrainingBatch Take(CancellationToken cancellationToken)
    {
        try
        {
            return _ready.Reader.ReadAsync(cancellationToken).AsTask().GetAwaiter().GetResult();
        }
        catch (ChannelClosedException closed) when (closed.InnerException is { } error)
        {
            System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(error);
            throw;
        }
    }

    /// <summary>Gives a batch's memory back for another one.</summary>
    public void Return(TrainingBatch batch) => _free.Writer.TryWrite(batch);

    /// <summary>Stops reading and waits until the cursor is closed.</summary>
    public void Dispose()
    {
        _stop.Cancel();
        _reader.Wait();
        _stop.Dispose();
    }

    private void Read(TrainingRowsOptions options, int batchSize, int skip)
    {
        try
        {
            using var rows = new TrainingRows(options);
            var passedOver = new float[options.Format.Size];
            for (long i = (long)skip * batchSize; i > 0 && !_stop.IsCancellationRequested; i--)
                rows.Next(passedOver);
            while (!_stop.IsCancellationRequested)
            {
                var batch = _free.Reader.ReadAsync(_stop.Token).AsTask().GetAwaiter().GetResult();
                for (int i = 0; i < batchSize && !_stop.IsCancellationRequested; i++)
                    batch.Labels[i] = rows.Next(batch.Images.AsSpan(i * options.Format.Size, options.Format.Size));
                (batch.Epoch, batch.RowsPerEpoch) = (rows.Epoch, rows.RowsPerEpoch);
                _ready.Writer.WriteAsync(batch, _stop.Token).AsTask().GetAwaiter().GetResult();
            }
        }
        catch (OperationCanceledException) when (_stop.IsCancellationRequested)
        {
        }
        catch (Exception error)
        {
            // Whatever the data throws reaches the thread that trains.
            _ready.Writer.TryComplete(error);
        }
    }
}
