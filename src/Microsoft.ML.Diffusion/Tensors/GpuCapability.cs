using System.Collections.Concurrent;
using System.Runtime.InteropServices;

namespace Microsoft.ML.Diffusion;

/// <summary>What a CUDA device can do. TorchSharp does not tell, the driver does: it is there wherever libtorch finds a device.</summary>
internal static unsafe class GpuCapability
{
    private const int ComputeCapabilityMajor = 75;
    private const int WithBFloat16 = 8;

    private static readonly ConcurrentDictionary<int, int> s_majors = new();

    /// <summary>Whether it multiplies bfloat16 in its matrix units: compute capability 8.0 and later.</summary>
    /// <param name="index">Counted as libtorch counts them; below 0: the first.</param>
    public static bool MultipliesBFloat16(int index) => s_majors.GetOrAdd(Math.Max(index, 0), Major) >= WithBFloat16;

    /// <summary>The first figure of the compute capability; 0 where nobody tells.</summary>
    private static int Major(int index)
    {
        if (!NativeLibrary.TryLoad(OperatingSystem.IsWindows() ? "nvcuda.dll" : "libcuda.so.1", out nint driver)
            || !NativeLibrary.TryGetExport(driver, "cuInit", out nint start)
            || !NativeLibrary.TryGetExport(driver, "cuDeviceGet", out nint find)
            || !NativeLibrary.TryGetExport(driver, "cuDeviceGetAttribute", out nint ask))
        {
            return 0;
        }
        int device = 0, major = 0;
        bool told = ((delegate* unmanaged<uint, int>)start)(0) == 0
            && ((delegate* unmanaged<int*, int, int>)find)(&device, index) == 0
            && ((delegate* unmanaged<int*, int, int, int>)ask)(&major, ComputeCapabilityMajor, device) == 0;
        return told ? major : 0;
    }
}
