using System.IO.Compression;

namespace Microsoft.ML.Diffusion.Tests;

/// <summary>Folder feeds with packages that hold the assemblies that these tests run on, for machines whose feed lacks the real ones.</summary>
internal static class PackageFeed
{
    private const string NativeHalf = "libtorchstandin.so";

    /// <summary>Adds a package. TorchSharp-cpu and its like bring the stand-in's native half.</summary>
    public static void Add(string feed, string id, string version)
    {
        using ZipArchive package = ZipFile.Open(Path.Combine(feed, $"{id}.{version}.nupkg"), ZipArchiveMode.Create);
        AddText($"{id}.nuspec", $"""
            <?xml version="1.0"?>
            <package xmlns="http://schemas.microsoft.com/packaging/2013/05/nuspec.xsd">
              <metadata><id>{id}</id><version>{version}</version><authors>a test</authors><description>a test</description></metadata>
            </package>
            """);
        foreach (string assembly in AssembliesOf(id))
        {
            package.CreateEntryFromFile(assembly, $"lib/net10.0/{Path.GetFileName(assembly)}");
        }

        string native = Path.Combine(AppContext.BaseDirectory, NativeHalf);
        if (id.StartsWith("TorchSharp-", StringComparison.Ordinal) && File.Exists(native))
        {
            package.CreateEntryFromFile(native, $"build/{NativeHalf}");
            AddText($"build/{id}.targets", $"""
                <Project>
                  <ItemGroup><None Include="$(MSBuildThisFileDirectory){NativeHalf}" Link="{NativeHalf}" CopyToOutputDirectory="PreserveNewest" Visible="false" /></ItemGroup>
                </Project>
                """);
        }

        void AddText(string path, string text)
        {
            using var writer = new StreamWriter(package.CreateEntry(path).Open());
            writer.Write(text);
        }
    }

    private static IEnumerable<string> AssembliesOf(string id) => Directory.GetFiles(AppContext.BaseDirectory, "*.dll").Where(path =>
    {
        string name = Path.GetFileNameWithoutExtension(path);
        bool images = name is "Microsoft.ML.ImageAnalytics" or "SkiaSharp";
        return id switch
        {
            "TorchSharp" => name == "TorchSharp",
            "Microsoft.ML.ImageAnalytics" => images,
            "Microsoft.ML" => name.StartsWith("Microsoft.ML.", StringComparison.Ordinal) && !images && !name.StartsWith("Microsoft.ML.Diffusion", StringComparison.Ordinal),
            _ => false,
        };
    });
}
