namespace Microsoft.ML.Diffusion.Tests;

/// <summary>The working tree that these tests were built from.</summary>
internal static class Repository
{
    public static string Root { get; } = Find();

    /// <summary>A file of the repository by its path from the root.</summary>
    public static string File(string path) => Path.Combine(Root, path);

    private static string Find()
    {
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (System.IO.File.Exists(Path.Combine(folder.FullName, "Directory.Packages.props")))
            {
                return folder.FullName;
            }
        }

        throw new InvalidOperationException($"No repository above '{AppContext.BaseDirectory}': run the tests from where they were built.");
    }
}
