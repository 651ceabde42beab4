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
    private volatile CoreJob? _job;
    private int _busy;
    private int _asleep;

    /// <summary>Makes a team.</summary>
    /// <param name="cores">Its size, the caller of <see cref="Work"/> among them.</param>
    public CoreTeam(int cores)
    {
        Size = cores;
        for (int i = 1; i < cores; i++)
        {
            int worker = i;
            new Thread(() => Help(worker)) { IsBackground = true, Name = "Microsoft.ML.Diffusion kernels" }.Start();
        }
    }

    /// <summary>Its threads, the caller of <see cref="Work"/> among them.</summary>
    public int Size { get; }

    /// <summary>Works on a job until every part is done or under way, with the others of the team where it does not work for another thread.</summary>
    public void Work(CoreJob job)
    {
        if (Interlocked.Exchange(ref _busy, 1) == 1)
        {
            job.Work(0);
            return;
        }
        _job = job;
        // Full fence: either a helper sees the job, or it is seen asleep here.
        Interlocked.MemoryBarrier();
        if (Volatile.Read(ref _asleep) > 0)
        {
            lock (_sleepers)
                Monitor.PulseAll(_sleepers);
        }
        job.Work(0);
        _job = null;
        Volatile.Write(ref _busy, 0);
    }

    private void Help(int worker)
    {
        CoreJob? last = null;
        while (true)
        {
            last = Next(last);
            last.Work(worker);
        }
    }

    private CoreJob Next(CoreJob? last)
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
            CoreJob? job;
            while ((job = _job) is null || job == last)
                Monitor.Wait(_sleepers);
            Interlocked.Decrement(ref _asleep);
            return job;
        }
    }
}
