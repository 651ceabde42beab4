namespace TorchSharp;

/// <summary>Disposes what was made while it was the innermost scope of its thread, unless moved or detached.</summary>
public sealed class DisposeScope : IDisposable
{
    private DisposeScopeManager _manager;

    internal DisposeScope(DisposeScopeManager disposeScopeManager)
    {
        _manager = disposeScopeManager;
        OuterScope = disposeScopeManager.CurrentDisposeScope;
    }

    internal DisposeScope OuterScope { get; set; }

    internal HashSet<IDisposable> Disposables { get; private set; } = new(ReferenceEqualityComparer.Instance);

    private DisposeScopeManager Manager => _manager ?? throw new ObjectDisposedException(GetType().FullName);

    public int DisposablesCount
    {
        get
        {
            _ = Manager;
            return Disposables.Count;
        }
    }

    public T MoveToOuter<T>(T disposable) where T : IDisposable => MoveToOther(OuterScope, disposable);

    public (T1 first, T2 second) MoveToOuter<T1, T2>(T1 first, T2 second) where T1 : IDisposable where T2 : IDisposable => MoveToOther(OuterScope, first, second);

    public (T1 first, T2 second, T3 third) MoveToOuter<T1, T2, T3>(T1 first, T2 second, T3 third) where T1 : IDisposable where T2 : IDisposable where T3 : IDisposable =>
        MoveToOther(OuterScope, first, second, third);

    public T MoveToOther<T>(DisposeScope scope, T disposable) where T : IDisposable
    {
        MoveToOther(scope, (IEnumerable<IDisposable>)[disposable]);
        return disposable;
    }

    public (T1 first, T2 second) MoveToOther<T1, T2>(DisposeScope scope, T1 first, T2 second) where T1 : IDisposable where T2 : IDisposable
    {
        MoveToOther(scope, (IEnumerable<IDisposable>)[first, second]);
        return (first, second);
    }

    public (T1 first, T2 second, T3 third) MoveToOther<T1, T2, T3>(DisposeScope scope, T1 first, T2 second, T3 third) where T1 : IDisposable where T2 : IDisposable where T3 : IDisposable
    {
        MoveToOther(scope, (IEnumerable<IDisposable>)[first, second, third]);
        return (first, second, third);
    }

    public void MoveToOther(DisposeScope scope, IEnumerable<IDisposable> disposables)
    {
        _ = Manager;
        if (scope is null)
        {
            Detach(disposables);
            return;
        }
        foreach (var d in disposables)
            if (Disposables.Remove(d)) Adopt(scope, d);
    }

    public T Detach<T>(T disposable) where T : IDisposable
    {
        Detach((IEnumerable<IDisposable>)[disposable]);
        return disposable;
    }

    public void Detach(IEnumerable<IDisposable> disposables)
    {
        var statistics = Manager.Tensors;
        foreach (var d in disposables)
        {
            if (!Disposables.Remove(d) || d is not torch.Tensor t) continue;
            statistics.DetachedFromScopeCount++;
            t.OwningDisposeScope = null;
        }
    }

    public void Attach(IDisposable disposable) => Attach((IEnumerable<IDisposable>)[disposable]);

    public IReadOnlyList<IDisposable> Attach(IEnumerable<IDisposable> disposables)
    {
        var statistics = Manager.Tensors;
        var list = disposables.ToList();
        foreach (var d in list)
            if (Adopt(this, d)) statistics.AttachedToScopeCount++;
        return list;
    }

    public void DisposeEverything() => DisposeEverythingBut([]);

    public void DisposeEverythingBut(IEnumerable<IDisposable> inKeep)
    {
        _ = Manager;
        var old = Disposables;
        Disposables = new(inKeep, ReferenceEqualityComparer.Instance);
        foreach (var d in old)
            if (!Disposables.Contains(d)) d.Dispose();
    }

    public void DisposeEverythingBut(params IDisposable[] keep) => DisposeEverythingBut(keep.AsEnumerable());

    public void Dispose()
    {
        if (_manager is null) return;
        DisposeEverything();
        _manager.Remove(this);
        _manager = null;
    }

    public void MarkAsDisposed(IDisposable disposable)
    {
        _ = Manager;
        Disposables.Remove(disposable);
        if (disposable is torch.Tensor t) t.OwningDisposeScope = null;
    }

    internal void Replace(torch.Tensor original, torch.Tensor replacement)
    {
        if (!Disposables.Remove(original)) return;
        original.OwningDisposeScope = null;
        Adopt(this, replacement);
    }

    private static bool Adopt(DisposeScope scope, IDisposable disposable)
    {
        if (disposable is not torch.Tensor t) throw new InvalidOperationException("DisposeScope can only manage Tensor or PackedSequence");
        var old = t.OwningDisposeScope;
        if (scope == old) return false;
        scope.Disposables.Add(t);
        old?.Disposables.Remove(t);
        t.OwningDisposeScope = scope;
        return true;
    }
}

/// <summary>The scopes of one thread.</summary>
public class DisposeScopeManager
{
    [ThreadStatic] private static DisposeScopeManager t_instance;

    internal static DisposeScopeManager ThreadSingleton => t_instance ??= new();

    internal ThreadDisposeScopeStatistics StatisticsInstance { get; } = new();

    internal LifetimeStatistics Tensors => StatisticsInstance.TensorStatistics;

    internal DisposeScope CurrentDisposeScope { get; private set; }

    public static ThreadDisposeScopeStatistics Statistics => ThreadSingleton.StatisticsInstance;

    internal DisposeScope Register(torch.Tensor t)
    {
        if (CurrentDisposeScope is null) Tensors.CreatedOutsideScopeCount++;
        else
        {
            Tensors.CreatedInScopeCount++;
            CurrentDisposeScope.Disposables.Add(t);
        }
        return CurrentDisposeScope;
    }

    internal void Disposing(torch.Tensor t)
    {
        if (t.OwningDisposeScope is null) Tensors.DisposedOutsideScopeCount++;
        else Tensors.DisposedInScopeCount++;
    }

    internal DisposeScope NewDisposeScope() => CurrentDisposeScope = new(this);

    /// <summary>Scopes need not end in order: one that is not the innermost is cut out of the chain.</summary>
    internal void Remove(DisposeScope scope)
    {
        if (CurrentDisposeScope == scope)
        {
            CurrentDisposeScope = scope.OuterScope;
            return;
        }
        for (var inner = CurrentDisposeScope; inner is not null; inner = inner.OuterScope)
        {
            if (inner.OuterScope != scope) continue;
            inner.OuterScope = scope.OuterScope;
            return;
        }
    }
}

public class ThreadDisposeScopeStatistics
{
    public long ThreadTotalLiveCount => TensorStatistics.ThreadTotalLiveCount;
    public LifetimeStatistics TensorStatistics { get; } = new();

    public override string ToString() => TensorStatistics.ToString();
}

public class LifetimeStatistics
{
    public long CreatedOutsideScopeCount { get; internal set; }
    public long DisposedOutsideScopeCount { get; internal set; }
    public long CreatedInScopeCount { get; internal set; }
    public long DisposedInScopeCount { get; internal set; }
    public long AttachedToScopeCount { get; internal set; }
    public long DetachedFromScopeCount { get; internal set; }
    public long ThreadTotalLiveCount => CreatedInScopeCount - DisposedInScopeCount + (CreatedOutsideScopeCount - DisposedOutsideScopeCount);

    public void Reset() =>
        CreatedOutsideScopeCount = DisposedOutsideScopeCount = CreatedInScopeCount = DisposedInScopeCount = AttachedToScopeCount = DetachedFromScopeCount = 0;

    public override string ToString() =>
        $"ThreadTotalLiveCount: {ThreadTotalLiveCount}; CreatedOutsideScopeCount: {CreatedOutsideScopeCount}; DisposedOutsideScopeCount: {DisposedOutsideScopeCount}; " +
        $"CreatedInScopeCount: {CreatedInScopeCount}; DisposedInScopeCount: {DisposedInScopeCount}; AttachedToScopeCount: {AttachedToScopeCount}; DetachedFromScopeCount: {DetachedFromScopeCount}";
}
