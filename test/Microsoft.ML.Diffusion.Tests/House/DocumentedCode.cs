using System.Text;
using System.Text.RegularExpressions;

namespace Microsoft.ML.Diffusion.Tests;

/// <summary>The documentation's C#, each block a method of a class of its own, so that a compiler can say whether it is true.</summary>
internal static partial class DocumentedCode
{
    private static readonly string[] Pages = ["README.md", "build/package-readme.md", "docs/getting-started.md", "docs/recipes.md", "docs/concepts.md", "docs/options.md"];

    /// <summary>One source file with all the blocks.</summary>
    public static string AsOneFile()
    {
        var source = new StringBuilder("""
            using Microsoft.ML;
            using Microsoft.ML.Data;
            using Microsoft.ML.Diffusion;
            using Microsoft.ML.Transforms.Image;

            // What the blocks take as given; a block may declare its own of the same name.
            class Given
            {
                protected static MLContext mlContext = null!;
                protected static IDataView images = null!, features = null!, generatedFeatures = null!;
                protected static DdpmTransformer model = null!;
            }

            """);
        int number = 0;
        foreach (string page in Pages)
        {
            foreach (Match block in Block().Matches(File.ReadAllText(Repository.File(page))))
            {
                string[] lines = [.. block.Groups[1].Value.Split('\n').Where(line => !line.StartsWith("using Microsoft", StringComparison.Ordinal))];
                ILookup<bool, string> parts = lines.ToLookup(line => line.StartsWith("class ", StringComparison.Ordinal));
                source.AppendLine($"// {page}").AppendLine($"class Block{number++} : Given").AppendLine("{").AppendJoin('\n', parts[true]).AppendLine()
                    .AppendLine("static void Run()").AppendLine("{").AppendJoin('\n', parts[false]).AppendLine("}").AppendLine("}");
            }
        }
        Assert.IsGreaterThan(10, number);
        return source.ToString();
    }

    [GeneratedRegex("^```csharp\n(.*?)^```", RegexOptions.Singleline | RegexOptions.Multiline)]
    private static partial Regex Block();
}
