using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text.RegularExpressions;
using TorchSharp;

namespace Microsoft.ML.Diffusion;

/// <summary>Says what to do where libtorch, which the application brings, is missing or is of another version.</summary>
internal static partial class LibTorch
{
    /// <summary>The version of TorchSharp's packages that the library is built for.</summary>
    internal const string Version = "0.106.0";

    private static volatile bool s_loaded;

    /// <summary>Makes a first tensor, unless one has been made; called at the doors of the library, before anything else can fail in a less readable way.</summary>
    /// <exception cref="InvalidOperationException">libtorch cannot be used; the message names the packages to add.</exception>
    public static void EnsureLoaded()
    {
        if (s_loaded)
            return;
        EnsureLoaded(FirstTensor);
        s_loaded = true;
    }

    /// <summary><see cref="EnsureLoaded()"/> with any first use of libtorch.</summary>
    internal static void EnsureLoaded(Action firstUse)
    {
        try
        {
            firstUse();
        }
        catch (Exception e) when (Diagnose(e) is { } problem)
        {
            if (Outdated(WhyNotLoaded()) is { } outdated)
                throw new InvalidOperationException(outdated, e);
            throw new InvalidOperationException(
                $"{problem} Reference one of the packages TorchSharp-cpu, TorchSharp-cuda-linux or TorchSharp-cuda-windows, version {Version}, in the application "
                + $"(dotnet add package TorchSharp-cpu --version {Version}). The reason was: {FirstLine(Innermost(e).Message)}", e);
        }
    }

    // What is missing throws when the method that names it is compiled: not inlined, so that this happens inside the try.
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void FirstTensor()
    {
        using var scope = NewDisposeScope();
        using var generator = new Generator(0, CPU);
        _ = randn([1], float32, generator: generator).add_(Held(1), Held(1)).item<float>();
    }

    private static string? Diagnose(Exception error) => Innermost(error) switch
    {
        // TorchSharp itself throws NotSupportedException where it finds no libtorch.
        DllNotFoundException or NotSupportedException or FileNotFoundException =>
            "libtorch, which TorchSharp runs on, was not found or could not be loaded.",
        MissingMemberException or EntryPointNotFoundException or TypeLoadException or BadImageFormatException or FileLoadException =>
            $"TorchSharp {Loaded()} and libtorch do not fit each other or this library, which was built for version {Version}. "
            + "Another package may bring an older one: Microsoft.ML.TorchSharp does.",
        _ => error is TypeInitializationException ? "TorchSharp could not start libtorch." : null,
    };

    /// <summary>What the system's loader says of TorchSharp's native library, which TorchSharp itself keeps back; null where it loads.</summary>
    private static string? WhyNotLoaded()
    {
        try
        {
            NativeLibrary.Load("LibTorchSharp", typeof(torch).Assembly, null);
            return null;
        }
        catch (Exception e) when (e is DllNotFoundException or BadImageFormatException or FileNotFoundException)
        {
            return e.Message;
        }
    }

    /// <summary>The message for a system whose own libraries are older than those that TorchSharp was built with: the packages are there and adding them again would not help.</summary>
    /// <param name="reason">What the loader said.</param>
    /// <returns>Null where it is something else.</returns>
    internal static string? Outdated(string? reason) => reason is not null && MissingVersion().Match(reason) is { Success: true } match
        ? $"This system is older than the native half of TorchSharp {Loaded()}: its {match.Groups["library"].Value} lacks {match.Groups["version"].Value}. "
          + "A newer release of the system has it (GLIBCXX_3.4.32 comes with Debian 13 and Ubuntu 24.04)."
        : null;

    // As glibc's loader words it.
    [GeneratedRegex(@"(?<library>[^/\s]+): version [`'](?<version>[^']+)' not found")]
    private static partial Regex MissingVersion();

    private static Exception Innermost(Exception error)
    {
        while (error is TypeInitializationException or System.Reflection.TargetInvocationException && error.InnerException is { } inner)
            error = inner;
        return error;
    }

    private static string Loaded() =>
        AppDomain.CurrentDomain.GetAssemblies().FirstOrDefault(a => a.GetName().Name == "TorchSharp")?.GetName().Version?.ToString(3) ?? "";

    private static string FirstLine(string message) => message.TrimStart().Split('\n', 2)[0].TrimEnd();
}
