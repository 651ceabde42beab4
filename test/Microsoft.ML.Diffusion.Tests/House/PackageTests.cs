using System.IO.Compression;
using System.Reflection;
using System.Xml.Linq;

namespace Microsoft.ML.Diffusion.Tests;

/// <summary>The NuGet package: what is in it, and a stranger's program that installs it.</summary>
[TestClass]
public sealed class PackageTests
{
    private const string Version = "0.0.1-tested";
    private static readonly TemporaryFolder s_folder = new();
    private static string s_package = "";

    // Packed from the build that these tests run on.
    [ClassInitialize]
    public static void Pack(TestContext _)
    {
        Directory.CreateDirectory(s_folder["feed"]);
        string configuration = new DirectoryInfo(AppContext.BaseDirectory).Parent!.Name;
        (int exitCode, string output) = CleanProcess.Run(Repository.Root, "dotnet",
        [
            "pack", "src/Microsoft.ML.Diffusion", "--no-build", "-nologo", "-c", configuration, "-o", s_folder["feed"],
            "-p:VersionPrefix=0.0.1", "-p:VersionSuffix=tested", $"-p:DiffusionPackageSource={Source}", $"-p:TorchBackend={Backend}",
        ]);
        Assert.AreEqual(0, exitCode, output);
        s_package = Directory.GetFiles(s_folder["feed"], "*.nupkg").Single();
    }

    [ClassCleanup]
    public static void Clean() => s_folder.Dispose();

    [TestMethod]
    public void HoldsTheLibraryAndWhatAGalleryShows()
    {
        using var package = ZipFile.OpenRead(s_package);
        string[] files = [.. package.Entries.Select(e => e.FullName)];
        string[] libraries = [.. files.Where(f => f.StartsWith("lib/", StringComparison.Ordinal)).Order(StringComparer.Ordinal)];
        CollectionAssert.AreEqual(new[] { "lib/net10.0/Microsoft.ML.Diffusion.ModelFile.dll", "lib/net10.0/Microsoft.ML.Diffusion.dll", "lib/net10.0/Microsoft.ML.Diffusion.xml" }, libraries);
        CollectionAssert.IsSubsetOf(new[] { "README.md", "icon.png" }, files);

        using var symbols = ZipFile.OpenRead(Directory.GetFiles(s_folder["feed"], "*.snupkg").Single());
        Assert.AreEqual("lib/net10.0/Microsoft.ML.Diffusion.pdb", symbols.Entries.Single(e => e.FullName.EndsWith(".pdb", StringComparison.Ordinal)).FullName);
    }

    [TestMethod]
    public void DependsOnExactlyThreePackagesWhateverItWasBuiltOver()
    {
        using var package = ZipFile.OpenRead(s_package);
        using var stream = package.Entries.Single(e => e.FullName.EndsWith(".nuspec", StringComparison.Ordinal)).Open();
        XElement nuspec = XDocument.Load(stream).Root!;
        string[] dependencies = [.. nuspec.Descendants().Where(e => e.Name.LocalName == "dependency").Select(e => $"{e.Attribute("id")!.Value} {e.Attribute("version")!.Value}").Order(StringComparer.Ordinal)];
        CollectionAssert.AreEqual(new[] { "Microsoft.ML 5.0.0", "Microsoft.ML.ImageAnalytics 5.0.0", $"TorchSharp {LibTorch.Version}" }, dependencies);
        Assert.AreEqual("MIT", nuspec.Descendants().Single(e => e.Name.LocalName == "license").Value);
    }

    [TestMethod]
    [TestCategory("Slow")]
    public void AProgramOutsideTheRepositoryInstallsTrainsSavesLoadsAndGenerates()
    {
        string project = MakeProject();
        File.WriteAllText(Path.Combine(project, "Documentation.cs"), DocumentedCode.AsOneFile());
        Dotnet(0, "add", "package", "Microsoft.ML.Diffusion", "--version", Version);
        Dotnet(0, "add", "package", $"TorchSharp-{Backend}", "--version", LibTorch.Version);
        Dotnet(0, "build", "-nologo", "-v", "quiet", "-o", "out");

        string trained = Dotnet(0, "out/Stranger.dll", "train", "model.zip");
        string generated = Dotnet(0, "out/Stranger.dll", "generate", "model.zip");
        StringAssert.Contains(trained, "image ");
        Assert.AreEqual(trained, generated, "A second process generates what the first did.");

        // Without what TorchSharp-cpu brings, both doors name the package.
        foreach (string library in Directory.GetFiles(Path.Combine(project, "out"), "*.so*", SearchOption.AllDirectories).Where(f => Path.GetFileName(f).Contains("torch", StringComparison.OrdinalIgnoreCase)))
            File.Delete(library);
        foreach (string door in new[] { "train", "generate" })
            StringAssert.Contains(Dotnet(1, "out/Stranger.dll", door, "model.zip"), $"dotnet add package TorchSharp-cpu --version {LibTorch.Version}");

        string Dotnet(int expected, params string[] arguments)
        {
            (int exitCode, string output) = CleanProcess.Run(project, "dotnet", arguments, ("NUGET_PACKAGES", s_folder["packages"]), ("DOTNET_NOLOGO", "1"));
            Assert.AreEqual(expected, exitCode, output);
            return output;
        }
    }

    private static string Source => Built("DiffusionPackageSource");

    private static string Backend => Built("TorchBackend");

    private static string Built(string property) =>
        typeof(PackageTests).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>().Single(a => a.Key == property).Value!;

    private static string MakeProject()
    {
        string project = s_folder["stranger"];
        Directory.CreateDirectory(project);
        // Where the real packages are used they are in the cache already, and nothing is fetched twice; stand-ins never go into a cache.
        string sources = "", fallback = "";
        if (Source == "standins")
        {
            sources = "<clear />";
            foreach ((string id, string version) in new[] { ("Microsoft.ML", "5.0.0"), ("Microsoft.ML.ImageAnalytics", "5.0.0"), ("TorchSharp", LibTorch.Version), ($"TorchSharp-{Backend}", LibTorch.Version) })
                PackageFeed.Add(s_folder["feed"], id, version);
        }
        else
        {
            string cache = Environment.GetEnvironmentVariable("NUGET_PACKAGES") ?? Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".nuget", "packages");
            fallback = $"""<fallbackPackageFolders><add key="cache" value="{cache}" /></fallbackPackageFolders>""";
        }
        File.WriteAllText(Path.Combine(project, "NuGet.config"), $"""<configuration><packageSources>{sources}<add key="local" value="{s_folder["feed"]}" /></packageSources>{fallback}</configuration>""");
        File.WriteAllText(Path.Combine(project, "Stranger.csproj"), """
            <Project Sdk="Microsoft.NET.Sdk">
              <PropertyGroup>
                <OutputType>Exe</OutputType>
                <TargetFramework>net10.0</TargetFramework>
                <Nullable>enable</Nullable>
                <ImplicitUsings>enable</ImplicitUsings>
                <NuGetAudit>false</NuGetAudit>
                <InvariantGlobalization>true</InvariantGlobalization>
              </PropertyGroup>
            </Project>
            """);
        File.WriteAllText(Path.Combine(project, "Program.cs"), """
            using Microsoft.ML;
            using Microsoft.ML.Data;
            using Microsoft.ML.Diffusion;

            var mlContext = new MLContext(seed: 1);
            try
            {
                if (args[0] == "train")
                    Train();
                else
                    Show(mlContext.Model.Load(args[1], out _));
                return 0;
            }
            catch (Exception e)
            {
                Console.WriteLine(e);
                return 1;
            }

            void Train()
            {
                var data = mlContext.Data.LoadFromEnumerable(Enumerable.Range(0, 8).Select(i => new Picture { Label = i % 2 == 0 ? "dark" : "light", Image = [.. Enumerable.Repeat(i % 2 * 200f, 64)] }));
                using var model = mlContext.Transforms.Conversion.MapValueToKey("Label").Append(mlContext.Generative.Ddpm(new DdpmTrainer.Options
                {
                    LabelColumnName = "Label",
                    Network = UNetOptions.Compact with { BaseChannels = 8, ChannelMultipliers = [1, 1], BlocksPerResolution = 1, NormGroups = 4, AttentionHeads = 1 },
                    MaximumSteps = 3,
                    BatchSize = 4,
                    Sampler = DiffusionSampler.Ddim(2),
                })).Fit(data);
                mlContext.Model.Save(model, data.Schema, args[1]);
                Show(model);
            }

            void Show(ITransformer model)
            {
                var requests = mlContext.Data.LoadFromEnumerable(new[] { new Request { Label = "dark", Seed = 1 }, new Request { Label = "light", Seed = 2 } });
                foreach (var image in model.Transform(requests).GetColumn<VBuffer<float>>("Image"))
                    Console.WriteLine($"image {string.Join(' ', image.DenseValues())}");
            }

            class Picture { public string Label { get; set; } = ""; [VectorType(1, 8, 8)] public float[] Image { get; set; } = []; }

            class Request { public string Label { get; set; } = ""; public long Seed { get; set; } }
            """);
        return project;
    }
}
