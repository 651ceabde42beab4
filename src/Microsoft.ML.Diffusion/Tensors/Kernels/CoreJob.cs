using System.Runtime.ExceptionServices;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// One kernel's parts. Each worker begins with a run of parts of its own, the same in every kernel of as many parts: what it wrote in the last kernel is in its cache,
/// while reading from another core's cache takes some hundred nanoseconds a line. Whoever is done first goes on with the others' parts.
/// </summary>
internal sealed class CoreJob
{
    /// <summary>Counters lie two cache lines apart, so that a worker's own stays with it.</summary>
    private const int Apart = 128 / sizeof(int);

    private readonly int _parts;
    private readonly int _workers;
    private readonly Action<int> _run;
    private readonly CoreJob? _deferred;
    private readonly int[] _taken;
    private ExceptionDispatchInfo? _failure;
    private int _done;

    /// <summary>A job that nobody works on yet.</summary>
    /// <param name="parts">How many.</param>
    /// <param name="workers">How many threads may take part.</param>
    /// <param name="run">Does one.</param>
    /// <param name="deferred">
    /// A job of long parts whose end nobody waits for yet: a worker does its own of these first and others' last, so that whoever is done with them sooner does more of this one's parts. Or null.
    /// </param>
    public CoreJob(int parts, int workers, Action<int> run, CoreJob? deferred = null)
    {
        (_parts, _workers, _run, _deferred) = (parts, workers, run, deferred);
        _taken = new int[(workers + 1) * Apart];
    }

    /// <summary>Takes parts until none is left.</summary>
    /// <param name="worker">Who.</param>
    public void Work(int worker)
    {
        _deferred?.Take(worker, 1);
        Take(worker, _workers);
        _deferred?.Take(worker, _deferred._workers);
    }

    /// <summary>Waits until every part is done.</summary>
    public void Wait()
    {
        var spinner = new SpinWait();
        while (Volatile.Read(ref _done) < _parts)
            spinner.SpinOnce(sleep1Threshold: -1);
    }

    /// <summary>The same; fails as a part did.</summary>
    public void Finish()
    {
        Wait();
        _failure?.Throw();
    }

    /// <summary>Takes a worker's own parts, then those of the workers after it.</summary>
    /// <param name="worker">Who; does nothing where the job wants fewer.</param>
    /// <param name="owners">Of how many.</param>
    private void Take(int worker, int owners)
    {
        if (worker >= _workers)
            return;
        int ran = 0;
        for (int i = 0; i < owners; i++)
            ran += WorkOff((worker + i) % _workers);
        if (ran > 0)
            Interlocked.Add(ref _done, ran);
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
                if (_failure is null)
                    _run(first + part - 1);
            }
            catch (Exception e)
            {
                _failure = ExceptionDispatchInfo.Capture(e);
            }
        }
        return ran;
    }

    private int Begin(int worker) => (int)((long)_parts * worker / _workers);
}
