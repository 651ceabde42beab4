namespace Microsoft.ML.Diffusion.Tests;

/// <summary>What the first tensor throws where an application brings no libtorch or another one; PackageTests meets the real thing.</summary>
[TestClass]
public sealed class LibTorchTests
{
    public static IEnumerable<object[]> Missing =>
    [
        [new DllNotFoundException("Unable to load shared library 'torch_cpu'")],
        [new TypeInitializationException("TorchSharp.torch", new DllNotFoundException("Unable to load shared library 'torch_cpu'"))],
        [new TypeInitializationException("TorchSharp.torch", new NotSupportedException("This application uses TorchSharp but doesn't contain a reference to 'torch_cpu'"))],
    ];

    public static IEnumerable<object[]> Mismatched =>
    [
        [new MissingMethodException("Method not found: 'torch_cpu'")],
        [new EntryPointNotFoundException("Unable to find an entry point named 'torch_cpu'")],
        [new TypeInitializationException("TorchSharp.torch", new BadImageFormatException("'torch_cpu'"))],
    ];

    [TestMethod]
    [DynamicData(nameof(Missing))]
    public void AMissingLibtorchNamesThePackagesToAdd(Exception thrown) => StringAssert.Contains(Refusal(thrown), "was not found");

    [TestMethod]
    [DynamicData(nameof(Mismatched))]
    public void AnotherVersionNamesTheOneToTake(Exception thrown) => StringAssert.Contains(Refusal(thrown), "do not fit each other");

    [TestMethod]
    public void AnOutdatedSystemIsNamed()
    {
        // What glibc says of TorchSharp 0.107.0 on Debian 12, between other places that were tried.
        string? message = LibTorch.Outdated("""
            Unable to load shared library 'LibTorchSharp' or one of its dependencies.
            /app/LibTorchSharp.so: cannot open shared object file: No such file or directory
            /lib/x86_64-linux-gnu/libstdc++.so.6: version `GLIBCXX_3.4.32' not found (required by /app/libLibTorchSharp.so)
            """);
        StringAssert.Contains(message, "its libstdc++.so.6 lacks GLIBCXX_3.4.32");
        Assert.IsNull(LibTorch.Outdated("/app/LibTorchSharp.so: cannot open shared object file: No such file or directory"));
        Assert.IsNull(LibTorch.Outdated(null));
    }

    [TestMethod]
    public void OtherErrorsPassThrough()
    {
        var error = new ArithmeticException();
        Assert.AreSame(error, Assert.ThrowsExactly<ArithmeticException>(() => LibTorch.EnsureLoaded(() => throw error)));
        LibTorch.EnsureLoaded();
    }

    [TestMethod]
    public void TheVersionIsTheOneThatTheLibraryReferences() => StringAssert.Contains(
        File.ReadAllText(Repository.File("Directory.Packages.props")), $"""<PackageVersion Include="TorchSharp-cpu" Version="{LibTorch.Version}" />""");

    private static string Refusal(Exception thrown)
    {
        var error = Assert.ThrowsExactly<InvalidOperationException>(() => LibTorch.EnsureLoaded(() => throw thrown));
        Assert.AreSame(thrown, error.InnerException);
        StringAssert.Contains(error.Message, $"dotnet add package TorchSharp-cpu --version {LibTorch.Version}");
        StringAssert.Contains(error.Message, "TorchSharp-cuda-linux");
        StringAssert.Contains(error.Message, "torch_cpu");
        return error.Message;
    }
}
