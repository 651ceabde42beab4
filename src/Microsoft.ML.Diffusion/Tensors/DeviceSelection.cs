using TorchSharp;

namespace Microsoft.ML.Diffusion;

/// <summary>Chooses where tensors live, and how many cores work on them.</summary>
internal static class DeviceSelection
{
    /// <summary>Chooses a device as ML.NET documents <c>MLContext.GpuDeviceId</c> and <c>FallbackToCpu</c>.</summary>
    /// <param name="gpuDeviceId">The index of a CUDA device; null for the CPU.</param>
    /// <param name="fallbackToCpu">Whether the CPU will do where that device is not there.</param>
    /// <param name="warn">Told when the CPU takes the place of a GPU.</param>
    /// <exception cref="InvalidOperationException">The device is not there and the CPU will not do.</exception>
    public static Device Choose(int? gpuDeviceId, bool fallbackToCpu, Action<string> warn)
    {
        if (gpuDeviceId is not { } index)
            return CPU;
        int devices = cuda.is_available() ? cuda.device_count() : 0;
        if (index >= 0 && index < devices)
            return new Device(DeviceType.CUDA, index);

        string found = devices == 0
            ? "no CUDA device was found (applications need the package TorchSharp-cuda-linux or TorchSharp-cuda-windows, and a driver)"
            : $"there are {devices} CUDA devices, numbered from 0";
        if (!fallbackToCpu)
            throw new InvalidOperationException($"MLContext.GpuDeviceId is {index}, but {found}. Set MLContext.FallbackToCpu to true to use the CPU instead.");
        warn($"MLContext.GpuDeviceId is {index}, but {found}; using the CPU.");
        return CPU;
    }

    /// <summary>Lets libtorch use the cores that are there: on small virtual machines it takes two virtual cores for one physical, and starts with a single thread.</summary>
    public static void UseAllCores()
    {
        if (get_num_threads() == 1 && !Cores.AreReserved && Environment.ProcessorCount > 1 && Environment.GetEnvironmentVariable("OMP_NUM_THREADS") is null)
            set_num_threads(Environment.ProcessorCount);
    }

    /// <summary>
    /// Begins work on a device: on the CPU, gives all cores to our kernels (<see cref="Cores.Reserve"/>), keeps the memory they free (<see cref="HostAllocator.Keep"/>)
    /// and has them multiply with the processor's matrix unit where the precision allows it (<see cref="MatrixUnit.Enter"/>); on a GPU, keeps float32 from being TF32 where
    /// the precision is full (<see cref="PlainFloat32.Enter"/>).
    /// </summary>
    /// <param name="device">The device.</param>
    /// <param name="precision">What networks compute in. Activations in bfloat16 go through libtorch's operators, which want the cores themselves.</param>
    /// <returns>Ends it; dispose it on the same thread.</returns>
    public static Work Enter(Device device, ComputePrecision precision)
    {
        UseAllCores();
        if (device.type != DeviceType.CPU)
            return new(default, default, default, default, precision == ComputePrecision.Full ? PlainFloat32.Enter() : default);
        MatrixUnit? wanted = PrecisionPolicy.UnitFor(precision);
        var unit = MatrixUnit.Enter(wanted);
        var integers = Int16Products.Enter(PrecisionPolicy.MultipliesInIntegers(precision));
        bool ours = wanted is not null || PrecisionPolicy.TypeFor(precision, device) == ScalarType.Float32;
        return ours ? new(HostAllocator.Keep(), Cores.Reserve(), unit, integers, default) : new(default, default, unit, integers, default);
    }

    /// <summary>Work on a device.</summary>
    /// <param name="Memory">What is kept meanwhile.</param>
    /// <param name="Cores">What is reserved meanwhile.</param>
    /// <param name="Unit">What multiplies bfloat16 meanwhile.</param>
    /// <param name="Integers">How float32 is multiplied meanwhile.</param>
    /// <param name="Plain">What keeps a GPU's float32 from being TF32 meanwhile.</param>
    internal readonly record struct Work(HostAllocator.Keeping Memory, Cores.Reservation Cores, MatrixUnit.Use Unit, Int16Products.Use Integers, PlainFloat32.Use Plain) : IDisposable
    {
        /// <inheritdoc/>
        public void Dispose()
        {
            Plain.Dispose();
            Integers.Dispose();
            Unit.Dispose();
            Cores.Dispose();
            Memory.Dispose();
        }
    }
}
