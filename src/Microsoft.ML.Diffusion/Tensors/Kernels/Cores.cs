namespace Microsoft.ML.Diffusion;

/// <summary>
/// Splits a kernel's work over the processor's cores. libtorch's own threads wait for their next task by spinning: while our kernels run they would take every other
/// core from them, so <see cref="Reserve"/> holds libtorch to the calling thread.
/// </summary>
internal static class Cores
{
    private static readonly Lazy<CoreTeam> s_team = new(() => new CoreTeam(Environment.ProcessorCount));

    [ThreadStatic] private static int s_reserved;

    /// <summary>How many may work: as many as libtorch was given.</summary>
    public static int Count => s_reserved > 0 ? s_reserved : Math.Max(1, get_num_threads());

    /// <summary>Whether the calling thread has reserved them.</summary>
    public static bool AreReserved => s_reserved > 0;

    /// <summary>Keeps the cores for our kernels on the calling thread: libtorch's operators run on that thread alone until the result is disposed, on the same thread.</summary>
    public static Reservation Reserve()
    {
        if (AreReserved)
            return default;
        s_reserved = Math.Max(1, get_num_threads());
        set_num_threads(1);
        return new(outermost: true);
    }

    /// <summary>Runs every part once and returns when all are done.</summary>
    /// <param name="parts">How many.</param>
    /// <param name="run">Does one.</param>
    public static void Run(int parts, Action<int> run)
    {
        var deferred = DeferredWork.Take();
        if (deferred is null && Math.Min(parts, Count) <= 1)
        {
            for (int part = 0; part < parts; part++)
                run(part);
            return;
        }
        CoreJob job = JobOf(parts, run, deferred);
        Work(job);
        job.Finish();
    }

    /// <summary>A job for as many cores as may work on it.</summary>
    /// <param name="parts">How many.</param>
    /// <param name="run">Does one.</param>
    /// <param name="deferred">What is done along with it; or null.</param>
    public static CoreJob JobOf(int parts, Action<int> run, CoreJob? deferred = null) => new(parts, Math.Clamp(Math.Min(parts, Count), 1, s_team.Value.Size), run, deferred);

    /// <summary>Works on a job until every part is done or under way.</summary>
    public static void Work(CoreJob job) => s_team.Value.Work(job);

    /// <summary>Gives the cores back.</summary>
    internal readonly struct Reservation : IDisposable
    {
        private readonly bool _outermost;

        internal Reservation(bool outermost) => _outermost = outermost;

        /// <inheritdoc/>
        public void Dispose()
        {
            if (!_outermost)
                return;
            set_num_threads(s_reserved);
            s_reserved = 0;
        }
    }
}
