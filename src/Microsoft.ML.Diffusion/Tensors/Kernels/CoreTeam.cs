using System.Runtime.ExceptionServices;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// Threads that run the parts of one kernel after another. A step has hundreds of kernels of a fraction of a millisecond: between two of them the threads look out for the next
/// for some microseconds before they sleep, which the thread pool's do not.
/// </summary>
internal sealed class CoreTeam
{
    private const int Looks = 1000;
    private const int Spins = 20;

    private readonly object _sleepers = new();
    private readonly int _helpers;
    private volatile Job? _job;
    private int _busy;
    private int _asleep;

    /// <summary>Makes a team.</summary>
    /// <param name="cores">Its size, the caller of <see cref="TryRun"/> among them.</param>
    public CoreTeam(int cores)
    {
        _helpers = cores - 1;
        for (int i = 0; i < _helpers; i++)
            new Thread(Help) { IsBackground = true, Name = "Microsoft.ML.Diffusion kernels" }.Start();
    }

    /// <summary>Runs every part once; returns when all are done.</summary>
    /// <param name="parts">How many.</param>
    /// <param name="cores">How many threads may take part, the caller among them.</param>
    /// <param name="run">Does one.</param>
    /// <returns>False, and nothing done, where the team works for another thread.</returns>
    public bool TryRun(int parts, int cores, Action<int> run)
    {
        if (Interlocked.Exchange(ref _busy, 1) == 1)
            return false;
        var job = new Job(parts, Math.Min(cores - 1, _helpers), run);
        _job = job;
        // Full fence: either a helper sees the job, or it is seen asleep here.
        Interlocked.MemoryBarrier();
        if (Volatile.Read(ref _asleep) > 0)
        {
            lock (_sleepers)
                Monitor.PulseAll(_sleepers);
        }
        job.Work();
        job.Wait();
        _job = null;
        Volatile.Write(ref _busy, 0);
        job.Failure?.Throw();
        return true;
    }

    private void Help()
    {
        Job? last = null;
        while (true)
        {
            last = Next(last);
            if (last.Join())
                last.Work();
        }
    }

    private Job Next(Job? last)
    {
        for (int look = 0; look < Looks; look++)
        {
            if (_job is { } job && job != last)
                return job;
            Thread.SpinWait(Spins);
        }
        lock (_sleepers)
        {
            Interlocked.Increment(ref _asleep);
            Job? job;
            while ((job = _job) is null || job == last)
                Monitor.Wait(_sleepers);
            Interlocked.Decrement(ref _asleep);
            return job;
        }
    }

    private sealed class Job(int parts, int helpers, Action<int> run)
    {
        private int _next = -1;
        private int _done;
        private int _joined;

        public int Helpers { get; } = helpers;

        public ExceptionDispatchInfo? Failure { get; private set; }

        /// <summary>Whether one more helper is wanted.</summary>
        public bool Join() => Interlocked.Increment(ref _joined) <= Helpers;

        /// <summary>Takes parts until none is left.</summary>
        public void Work()
        {
            for (int part = Interlocked.Increment(ref _next); part < parts; part = Interlocked.Increment(ref _next))
            {
                try
                {
                    if (Failure is null)
                        run(part);
                }
                catch (Exception e)
                {
                    Failure = ExceptionDispatchInfo.Capture(e);
                }
                finally
                {
                    Interlocked.Increment(ref _done);
                }
            }
        }

        /// <summary>Waits until every part is done.</summary>
        public void Wait()
        {
            var spinner = new SpinWait();
            while (Volatile.Read(ref _done) < parts)
                spinner.SpinOnce(sleep1Threshold: -1);
        }
    }
}
