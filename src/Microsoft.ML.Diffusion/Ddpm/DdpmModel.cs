using TorchSharp;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// The weights of a trained model, shared by every transformer and cursor that generates with them: freed when the last lease ends.
/// </summary>
internal sealed class DdpmModel
{
    private readonly Lock _lock = new();
    private int _leases;
    private bool _freed;

    /// <summary>Takes a network over.</summary>
    /// <param name="info">What the network is.</param>
    /// <param name="network">The trained network.</param>
    /// <param name="device">Where its weights are.</param>
    public DdpmModel(DdpmModelInfo info, DenoisingNetwork network, Device device)
    {
        Info = info;
        Network = network;
        Device = device;
        Schedule = info.Schedule.Build();
        network.eval();
    }

    /// <summary>What the model is.</summary>
    public DdpmModelInfo Info { get; }

    /// <summary>The network, in evaluation mode.</summary>
    public DenoisingNetwork Network { get; }

    /// <summary>Where the weights are.</summary>
    public Device Device { get; }

    /// <summary>The schedule that the network was trained on.</summary>
    public NoiseSchedule Schedule { get; }

    /// <summary>Leases that have not ended.</summary>
    internal int Leases
    {
        get
        {
            lock (_lock)
                return _leases;
        }
    }

    /// <summary>Keeps the weights until the lease is disposed.</summary>
    /// <exception cref="ObjectDisposedException">They are freed already.</exception>
    public Lease Acquire()
    {
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_freed, typeof(DdpmTransformer));
            _leases++;
            return new Lease(this);
        }
    }

    /// <summary>This model where its weights are on a device already, otherwise a copy there.</summary>
    public DdpmModel On(Device device)
    {
        if (device.type == Device.type && device.index == Device.index)
            return this;
        var network = Info.Network.BuildUninitialized(Info.Shape);
        try
        {
            NetworkPlacement.Move(network, device);
            using var untracked = no_grad();
            using var scope = NewDisposeScope();
            var weights = Network.state_dict();
            foreach (var (name, copy) in network.state_dict())
                copy.copy_(weights[name]);
            return new DdpmModel(Info, network, device);
        }
        catch
        {
            network.Dispose();
            throw;
        }
    }

    private void Release()
    {
        lock (_lock)
        {
            if (--_leases > 0)
                return;
            _freed = true;
        }
        Network.Dispose();
    }

    /// <summary>One user of the weights.</summary>
    public sealed class Lease(DdpmModel model) : IDisposable
    {
        private int _ended;

        /// <summary>The model.</summary>
        /// <exception cref="ObjectDisposedException">The lease has ended.</exception>
        public DdpmModel Model
        {
            get
            {
                ObjectDisposedException.ThrowIf(_ended != 0, typeof(DdpmTransformer));
                return model;
            }
        }

        /// <summary>Ends the lease; a second time does nothing.</summary>
        public void Dispose()
        {
            if (Interlocked.Exchange(ref _ended, 1) == 0)
                model.Release();
        }
    }
}
