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
            PackageFeed.Add(feed, id, version);
        }

        return feed;
    }

    /// <summary>Runs a command in the copy, with an empty package cache; the output when it succeeds.</summary>
    public string Run(string program, string[] arguments, params (string Name, string Value)[] environment)
    {
        (int exitCode, string output) = CleanProcess.Run(Root, program, arguments, [("NUGET_PACKAGES", Path.Combine(_parent, "packages")), .. environment]);
        Assert.AreEqual(0, exitCode, output);
        return output;
    }

    public string BuildScript(string[] arguments, params (string Name, string Value)[] environment) => Run("bash", ["build.sh", .. arguments], environment);

    public void Dispose() => Directory.Delete(_parent, recursive: true);

    private void Copy(string file)
    {
        string target = Path.Combine(Root, Path.GetRelativePath(Repository.Root, file));
        Directory.CreateDirectory(Path.GetDirectoryName(target)!);
        File.Copy(file, target);
    }
}
