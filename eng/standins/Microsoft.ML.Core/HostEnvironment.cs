using System.Diagnostics;

namespace Microsoft.ML.Runtime;

internal interface IMessageSource
{
    string FullName { get; }
}

/// <summary>The environment behind an MLContext, and every host registered with it.</summary>
internal sealed class HostEnvironment : IHostEnvironmentInternal, IHost, IMessageSource
{
    private readonly Lock _lock = new();
    private readonly HostEnvironment _parent;
    private readonly Action<IMessageSource, ChannelMessage> _listener;

    public HostEnvironment(int? seed, Action<IMessageSource, ChannelMessage> listener)
    {
        Seed = seed;
        Rand = TauswortheHybrid.Create(seed);
        ComponentCatalog = new ComponentCatalog();
        _listener = listener;
    }

    private HostEnvironment(HostEnvironment parent, string name, Random rand)
    {
        _parent = parent;
        _listener = parent._listener;
        // As in the real package, a host's name hangs on its grandparent's.
        FullName = Join(parent._parent?.FullName, name);
        Seed = parent.Seed;
        Rand = rand;
        ComponentCatalog = parent.ComponentCatalog;
        TempFilePath = parent.TempFilePath;
        GpuDeviceId = parent.GpuDeviceId;
        FallbackToCpu = parent.FallbackToCpu;
    }

    public string FullName { get; }
    public Random Rand { get; }
    public int? Seed { get; }
    public ComponentCatalog ComponentCatalog { get; }
    public string TempFilePath { get; set; } = Path.GetTempPath();
    public int? GpuDeviceId { get; set; }
    public bool FallbackToCpu { get; set; }
    public string ContextDescription => _parent == null ? "HostEnvironment" : FullName;

    private static string Join(string parent, string name) => string.IsNullOrEmpty(parent) ? name : $"{parent}; {name}";

    public IHost Register(string name, int? seed = null, bool? verbose = null)
    {
        Contracts.CheckNonEmpty(name, nameof(name));
        lock (_lock)
            return new HostEnvironment(this, name, seed.HasValue ? new TauswortheHybrid(seed.Value) : new TauswortheHybrid(Rand));
    }

    public IChannel Start(string name) => new Channel(this, name);

    public IPipe<TMessage> StartPipe<TMessage>(string name) => new Pipe<TMessage>(this, name);

    public IProgressChannel StartProgressChannel(string name)
    {
        Contracts.CheckNonEmpty(name, nameof(name));
        return new ProgressChannel();
    }

    public TException Process<TException>(TException ex) where TException : Exception => ex == null ? null : Contracts.Mark(ex);

    private class Pipe<TMessage>(HostEnvironment host, string name) : IPipe<TMessage>, IMessageSource
    {
        private bool _disposed;

        protected HostEnvironment Host { get; } = host;
        public string FullName { get; } = Join(host.FullName, name);
        public string ContextDescription => FullName;

        public TException Process<TException>(TException ex) where TException : Exception => Host.Process(ex);

        public virtual void Send(TMessage msg) { }

        public void Dispose()
        {
            if (_disposed)
                return;
            Finish();
            _disposed = true;
        }

        protected virtual void Finish() { }
    }

    private sealed class Channel : Pipe<ChannelMessage>, IChannel
    {
        private readonly Stopwatch _watch = Stopwatch.StartNew();

        public Channel(HostEnvironment host, string name) : base(host, name) => Trace(MessageSensitivity.None, "Channel started");

        protected override void Finish()
        {
            Trace(MessageSensitivity.None, "Channel finished. Elapsed {0:c}.", _watch.Elapsed);
            Trace(MessageSensitivity.None, "Channel disposed");
        }

        public override void Send(ChannelMessage msg) => Host._listener?.Invoke(this, msg);

        private void Send(ChannelMessageKind kind, MessageSensitivity sensitivity, string format, object[] args = null)
            => Send(new ChannelMessage(kind, sensitivity, format, args));

        public void Trace(MessageSensitivity sensitivity, string fmt) => Send(ChannelMessageKind.Trace, sensitivity, fmt);
        public void Trace(MessageSensitivity sensitivity, string fmt, params object[] args) => Send(ChannelMessageKind.Trace, sensitivity, fmt, args);
        public void Error(MessageSensitivity sensitivity, string fmt) => Send(ChannelMessageKind.Error, sensitivity, fmt);
        public void Error(MessageSensitivity sensitivity, string fmt, params object[] args) => Send(ChannelMessageKind.Error, sensitivity, fmt, args);
        public void Warning(MessageSensitivity sensitivity, string fmt) => Send(ChannelMessageKind.Warning, sensitivity, fmt);
        public void Warning(MessageSensitivity sensitivity, string fmt, params object[] args) => Send(ChannelMessageKind.Warning, sensitivity, fmt, args);
        public void Info(MessageSensitivity sensitivity, string fmt) => Send(ChannelMessageKind.Info, sensitivity, fmt);
        public void Info(MessageSensitivity sensitivity, string fmt, params object[] args) => Send(ChannelMessageKind.Info, sensitivity, fmt, args);
    }

    /// <summary>Nothing of a progress channel reaches MLContext.Log, so all that is left are its checks.</summary>
    private sealed class ProgressChannel : IProgressChannel
    {
        private ProgressHeader _header = new(null);
        private bool _disposed;

        public void SetHeader(ProgressHeader header, Action<IProgressEntry> fillAction) => _header = header;

        public void Checkpoint(params double?[] values)
        {
            Contracts.Check(!_disposed, "Can't report checkpoints after disposing");
            Contracts.Check((values?.Length ?? 0) <= _header.MetricNames.Count + 2 * _header.UnitNames.Count, "Too many values provided in Checkpoint");
        }

        public IProgressChannel StartProgressChannel(string name) => new ProgressChannel();

        public void Dispose() => _disposed = true;
    }
}
