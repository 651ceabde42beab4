using System.Diagnostics;
using System.IO.Compression;

namespace Microsoft.ML.Diffusion.Tests;

/// <summary>
/// A copy of what build.sh and the library's build need, in a folder of its own with package sources of its own,
/// so that a test can switch sources without touching the tree that it was built from.
/// </summary>
internal sealed class ScratchRepository : IDisposable
{
    private readonly string _parent = Directory.CreateTempSubdirectory("house").FullName;

    public ScratchRepository(params string[] folders)
    {
        Root = Path.Combine(_parent, "repository");
        string[] files = [.. Directory.GetFiles(Repository.Root, "Directory.*"), .. Directory.GetFiles(Repository.Root, "*.sh"), Repository.File("global.json"), Repository.File(".editorconfig")];
        foreach (string file in files.Concat(Directory.GetFiles(Repository.File("eng"), "*.sh")).Append(Repository.File("eng/StandIns.targets")))
        {
            Copy(file);
        }

        foreach (string file in folders.Append("eng/PackageProbe").SelectMany(folder => Directory.GetFiles(Repository.File(folder), "*", SearchOption.AllDirectories)))
        {
            string[] parts = Path.GetRelativePath(Repository.Root, file).Split(Path.DirectorySeparatorChar);
            if (!parts.Contains("bin") && !parts.Contains("obj"))
            {
                Copy(file);
            }
        }

        string empty = Path.Combine(_parent, "empty");
        Directory.CreateDirectory(empty);
        File.WriteAllText(Path.Combine(Root, "NuGet.config"), $"""<configuration><packageSources><clear /><add key="empty" value="{empty}" /></packageSources></configuration>""");
    }

    public string Root { get; }

    /// <summary>What build.sh wrote down.</summary>
    public string Choice => File.ReadAllText(Path.Combine(Root, "eng/PackageSource.props"));

    /// <summary>A folder feed with packages of these ids and versions, holding the assemblies that these tests run on.</summary>
    public string MakeFeed(params (string Id, string Version)[] packages)
    {
        string feed = Path.Combine(_parent, Path.GetRandomFileName());
        Directory.CreateDirectory(feed);
        foreach ((string id, string version) in packages)
        {
            using ZipArchive package = ZipFile.Open(Path.Combine(feed, $"{id}.{version}.nupkg"), ZipArchiveMode.Create);
            using (var nuspec = new StreamWriter(package.CreateEntry($"{id}.nuspec").Open()))
            {
                nuspec.Write($"""
                    <?xml version="1.0"?>
                    <package xmlns="http://schemas.microsoft.com/packaging/2013/05/nuspec.xsd">
                      <metadata><id>{id}</id><version>{version}</version><authors>a test</authors><description>a test</description></metadata>
                    </package>
                    """);
            }

            foreach (string assembly in AssembliesOf(id))
            {
                package.CreateEntryFromFile(assembly, $"lib/net10.0/{Path.GetFileName(assembly)}");
            }
        }

        return feed;
    }

    /// <summary>Runs a command in the copy, with an empty package cache; the output when it succeeds.</summary>
    public string Run(string program, string[] arguments, params (string Name, string Value)[] environment)
    {
        var start = new ProcessStartInfo(program, arguments) { WorkingDirectory = Root, RedirectStandardOutput = true, RedirectStandardError = true };
        // What the running test host was told about its own build would reach into this one.
        foreach (string name in start.Environment.Keys.Where(n => n.StartsWith("MSBUILD", StringComparison.OrdinalIgnoreCase) || n is "RestoreAdditionalProjectSources" or "DiffusionPackageSource").ToArray())
        {
            start.Environment.Remove(name);
        }

        start.Environment["NUGET_PACKAGES"] = Path.Combine(_parent, "packages");
        start.Environment["MSBUILDDISABLENODEREUSE"] = "1";
        foreach ((string name, string value) in environment)
        {
            start.Environment[name] = value;
        }

        using Process process = Process.Start(start)!;
        Task<string> errors = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd() + errors.Result;
        process.WaitForExit();
        Assert.AreEqual(0, process.ExitCode, output);
        return output;
    }

    public string BuildScript(string[] arguments, params (string Name, string Value)[] environment) => Run("bash", ["build.sh", .. arguments], environment);

    public void Dispose() => Directory.Delete(_parent, recursive: true);

    private static IEnumerable<string> AssembliesOf(string id) => Directory.GetFiles(AppContext.BaseDirectory, "*.dll").Where(path =>
    {
        string name = Path.GetFileNameWithoutExtension(path);
        bool images = name is "Microsoft.ML.ImageAnalytics" or "SkiaSharp";
        return id switch
        {
            "TorchSharp" => name == "TorchSharp",
            "Microsoft.ML.ImageAnalytics" => images,
            _ => name.StartsWith("Microsoft.ML.", StringComparison.Ordinal) && !images && !name.StartsWith("Microsoft.ML.Diffusion", StringComparison.Ordinal),
        };
    });

    private void Copy(string file)
    {
        string target = Path.Combine(Root, Path.GetRelativePath(Repository.Root, file));
        Directory.CreateDirectory(Path.GetDirectoryName(target)!);
        File.Copy(file, target);
    }
}
