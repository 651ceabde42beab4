using System.Reflection;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;

namespace TorchSharp.Native;

/// <summary>
/// Prepares Debian's BLAS before libtorch is loaded. OpenBLAS 0.3.21 does not know processors that are newer than itself and takes the
/// slowest kernels for them; and its variant with threads of its own fights with libtorch's OpenMP threads over the cores.
/// The packages of the mission bring a BLAS that needs none of this.
/// </summary>
internal static partial class Blas
{
    private const string OpenMPVariant = "openblas-openmp";

    public static void Prepare()
    {
        if (!OperatingSystem.IsLinux())
            return;
        string kernels = Avx512BW.IsSupported ? "SKYLAKEX" : Avx2.IsSupported ? "HASWELL" : null;
        if (kernels is not null)
            setenv("OPENBLAS_CORETYPE", kernels, 0);
        foreach (string folder in Directory.Exists("/usr/lib") ? Directory.GetDirectories("/usr/lib", "*-linux-gnu*") : [])
        {
            // The loader takes a library that is there already under the name that libtorch asks for.
            foreach (string name in new[] { "libblas.so.3", "liblapack.so.3" })
                NativeLibrary.TryLoad(Path.Combine(folder, OpenMPVariant, name), Assembly.GetExecutingAssembly(), null, out _);
        }
    }

    [LibraryImport("libc", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int setenv(string name, string value, int overwrite);
}
