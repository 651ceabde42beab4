namespace Microsoft.ML.Diffusion.Tests;

/// <summary>build.sh asks the feed for the real packages and takes the stand-ins only where it has none.</summary>
[TestClass]
[OSCondition(OperatingSystems.Linux)]
public class PackageSourceTests
{
    private const string StandIns = ">standins<", NuGet = ">nuget<";
    private static readonly (string, string)[] Packages = [("Microsoft.ML", "5.0.0"), ("Microsoft.ML.ImageAnalytics", "5.0.0"), ("TorchSharp", "0.106.0")];

    [TestMethod]
    public void AFeedWithoutThePackagesMeansStandIns()
    {
        using var repository = new ScratchRepository();
        StringAssert.Contains(repository.BuildScript(["source"]), "does not carry them; taking the stand-ins");
        StringAssert.Contains(repository.Choice, StandIns);
        StringAssert.Contains(repository.BuildScript(["source"]), "as found before");

        string incomplete = repository.MakeFeed(Packages[..2]);
        StringAssert.Contains(repository.BuildScript(["source", "--feed", incomplete]), "does not carry them");
        string older = repository.MakeFeed(("Microsoft.ML", "4.0.3"), ("Microsoft.ML.ImageAnalytics", "4.0.3"), ("TorchSharp", "0.105.0"));
        StringAssert.Contains(repository.BuildScript(["source", "--feed", older]), "does not carry them");
        // NuGet by itself takes the next version up, and TorchSharp's next version runs on another libtorch.
        string newer = repository.MakeFeed(("Microsoft.ML", "5.0.1"), ("Microsoft.ML.ImageAnalytics", "5.0.0"), ("TorchSharp", "0.107.0"));
        StringAssert.Contains(repository.BuildScript(["source", "--feed", newer]), "does not carry them");
    }

    [TestMethod]
    public void AnAdditionalSourceWithThePackagesIsTakenBeforeTheStandIns()
    {
        using var repository = new ScratchRepository();
        string feed = repository.MakeFeed(Packages);
        repository.BuildScript(["source"]);
        StringAssert.Contains(repository.Choice, StandIns);

        StringAssert.Contains(repository.BuildScript(["source"], ("RestoreAdditionalProjectSources", feed)), "the feed carries them");
        StringAssert.Contains(repository.Choice, NuGet);
        StringAssert.Contains(repository.Choice, feed);

        // Without the source the answer is another one, although the packages have been seen before.
        repository.BuildScript(["source"]);
        StringAssert.Contains(repository.Choice, StandIns);
        repository.BuildScript(["source", $"-p:RestoreAdditionalProjectSources={feed}"]);
        StringAssert.Contains(repository.Choice, NuGet);
    }

    [TestMethod]
    public void APropertyOverridesTheFeed()
    {
        using var repository = new ScratchRepository();
        string feed = repository.MakeFeed(Packages);
        repository.BuildScript(["source", "--feed", feed, "-p:DiffusionPackageSource=standins"]);
        StringAssert.Contains(repository.Choice, StandIns);
        repository.BuildScript(["source"], ("DiffusionPackageSource", "nuget"));
        StringAssert.Contains(repository.Choice, NuGet);
    }

    [TestMethod]
    [TestCategory("Slow")]
    public void APlainBuildThenCompilesAgainstThePackages()
    {
        using var repository = new ScratchRepository("src", "build");
        repository.BuildScript(["source", "--feed", repository.MakeFeed(Packages)]);
        repository.Run("dotnet", ["build", "src/Microsoft.ML.Diffusion", "-nologo", "-v", "quiet"]);

        string assets = File.ReadAllText(Path.Combine(repository.Root, "src/Microsoft.ML.Diffusion/obj/project.assets.json"));
        foreach ((string id, string version) in Packages)
        {
            StringAssert.Contains(assets, $"\"{id}/{version}\"");
        }

        Assert.IsFalse(assets.Contains("standins", StringComparison.Ordinal));
    }
}
