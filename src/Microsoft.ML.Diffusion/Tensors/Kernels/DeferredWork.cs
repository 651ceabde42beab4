namespace Microsoft.ML.Diffusion;

/// <summary>
/// Work on all cores whose result nobody needs yet: a kernel's few long parts, which no core is done with at the same time. They are done along with the thread's next kernel, so that
/// whoever is done sooner does more of that one, and nobody waits for them until the end.
/// </summary>
internal sealed class DeferredWork : IDisposable
{
    [ThreadStatic] private static DeferredWork? s_current;

    private CoreJob? _job;
    private bool _hasBegun;
    private Action? _then;

    private DeferredWork()
    {
    }

    /// <summary>Lets the calling thread's kernels defer work until the result is finished or disposed, on the same thread.</summary>
    public static DeferredWork Begin() => s_current = new();

    /// <summary>Runs every part once, now or later: for a kernel whose result nobody else reads or writes until then.</summary>
    /// <param name="parts">How many.</param>
    /// <param name="run">Does one.</param>
    /// <param name="then">Done when all are, by the calling thread; or null.</param>
    public static void Run(int parts, Action<int> run, Action? then = null)
    {
        if (s_current is not { } deferred)
        {
            Cores.Run(parts, run);
            then?.Invoke();
            return;
        }
        deferred.Complete();
        deferred._job = Cores.JobOf(parts, run);
        deferred._then = then;
        deferred._hasBegun = false;
    }

    /// <summary>What the thread's next kernel takes along; null: nothing.</summary>
    public static CoreJob? Take()
    {
        if (s_current is not { _job: not null, _hasBegun: false } deferred)
            return null;
        deferred._hasBegun = true;
        return deferred._job;
    }

    /// <summary>Waits for what was deferred, and ends it; fails as a part did.</summary>
    public void Finish()
    {
        Complete();
        Dispose();
    }

    /// <inheritdoc/>
    /// <remarks>Without <see cref="Finish"/> what has begun is waited for and the rest is not done: something else has failed.</remarks>
    public void Dispose()
    {
        s_current = null;
        if (_hasBegun)
            _job?.Wait();
        _job = null;
    }

    private void Complete()
    {
        if (_job is not { } job)
            return;
        if (!_hasBegun)
            Cores.Work(job);
        _hasBegun = true;
        job.Finish();
        _job = null;
        _then?.Invoke();
    }
}
