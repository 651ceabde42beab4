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
        for (int i = 1; i < cores; i++)
        {
            int worker = i;
            new Thread(() => Help(worker)) { IsBackground = true, Name = "Microsoft.ML.Diffusion kernels" }.Start();
        }
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
        var job = new Job(parts, 1 + Math.Min(cores - 1, _helpers), run);
        _job = job;
        // Full fence: either a helper sees the job, or it is seen asleep here.
        Interlocked.MemoryBarrier();
        if (Volatile.Read(ref _asleep) > 0)
        {
            lock (_sleepers)
                Monitor.PulseAll(_sleepers);
        }
        job.Work(0);
        job.Wait();
        _job = null;
        Volatile.Write(ref _busy, 0);
        job.Failure?.Throw();
        return true;
    }

    private void Help(int worker)
    {
        Job? last = null;
        while (true)
        {
            last = Next(last);
            last.Work(worker);
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

    /// <summary>
    /// One kernel. Each worker begins with a run of parts of its own, the same in every kernel of as many parts: what it wrote in the last kernel is in its cache,
    /// while reading from another core's cache takes some hundred nanoseconds a line. Whoever is done first goes on with the others' parts.
    /// </summary>
    private sealed class Job
    {
        /// <summary>Counters lie two cache lines apart, so that a worker's own stays with it.</summary>
        private const int Apart = 128 / sizeof(int);

        private readonly int _parts;
        private readonly int _workers;
        private readonly Action<int> _run;
        private readonly int[] _taken;
        private int _done;

        public Job(int parts, int workers, Action<int> run)
        {
            (_parts, _workers, _run) = (parts, workers, run);
            _taken = new int[(workers + 1) * Apart];
        }

        public ExceptionDispatchInfo? Failure { get; private set; }

        /// <summary>Takes parts until none is left.</summary>
        /// <param name="worker">Who; does nothing where the job wants fewer.</param>
        public void Work(int worker)
        {
            if (worker >= _workers)
                return;
            int ran = 0;
            for (int i = 0; i < _workers; i++)
                ran += WorkOff((worker + i) % _workers);
            if (ran > 0)
                Interlocked.Add(ref _done, ran);
        }

        /// <summary>Waits until every part is done.</summary>
        public void Wait()
        {
            var spinner = new SpinWait();
            while (Volatile.Read(ref _done) < _parts)
                spinner.SpinOnce(sleep1Threshold: -1);
        }

        private int WorkOff(int owner)
        {
            int first = Begin(owner), count = Begin(owner + 1) - first, ran = 0;
            ref int taken = ref _taken[(owner + 1) * Apart - 1];
            // Looked at before it is taken: nobody calls a counter to his core that is used up.
            while (Volatile.Read(ref taken) < count && Interlocked.Increment(ref taken) is var part && part <= count)
            {
                ran++;
                try
                {
                    if (Failure is null)
                        _run(first + part - 1);
                }
                catch (Exception e)
                {
                    Failure = ExceptionDispatchInfo.Capture(e);
                }
            }
            return ran;
        }

        private int Begin(int worker) => (int)((long)_parts * worker / _workers);
    }
}
