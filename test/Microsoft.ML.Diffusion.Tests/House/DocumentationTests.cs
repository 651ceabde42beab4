using System.Reflection;
using System.Text.RegularExpressions;

namespace Microsoft.ML.Diffusion.Tests;

/// <summary>What the documentation says is there, and what is there is documented.</summary>
[TestClass]
public partial class DocumentationTests
{
    private static readonly string[] Pages = ["README.md", .. Directory.GetFiles(Repository.File("docs"), "*.md").Select(page => Path.GetRelativePath(Repository.Root, page))];

    [TestMethod]
    public void TheOptionsTableNamesEveryOption()
    {
        string page = File.ReadAllText(Repository.File("docs/options.md"));
        string[] options =
        [
            .. typeof(DdpmTrainer.Options).GetFields(BindingFlags.Public | BindingFlags.Instance).Select(f => f.Name),
            .. typeof(IdxOptions).GetProperties(BindingFlags.Public | BindingFlags.Instance).Select(p => p.Name),
            .. typeof(FidelityOptions).GetProperties(BindingFlags.Public | BindingFlags.Instance).Select(p => p.Name),
            .. typeof(LikelihoodOptions).GetProperties(BindingFlags.Public | BindingFlags.Instance).Select(p => p.Name),
            .. typeof(DdpmTransformer).GetMethods().Select(m => m.Name).Where(name => name.StartsWith("With", StringComparison.Ordinal)),
        ];
        Assert.AreEqual("", string.Join(", ", options.Distinct().Where(name => !Regex.IsMatch(page, $"`{name}\\b"))));
    }

    [TestMethod]
    public void LinksLeadSomewhere()
    {
        IEnumerable<string> broken =
            from page in Pages
            from Match link in Link().Matches(Comment().Replace(File.ReadAllText(Repository.File(page)), ""))
            let target = Path.Combine(Path.GetDirectoryName(Repository.File(page))!, link.Groups[1].Value)
            where !File.Exists(target) && !Directory.Exists(target)
            select $"{page}: {link.Groups[1].Value}";
        Assert.AreEqual("", string.Join(", ", broken));
    }

    [GeneratedRegex("<!--.*?-->", RegexOptions.Singleline)]
    private static partial Regex Comment();

    [GeneratedRegex(@"\]\((?!https?:)([^)#]+)[^)]*\)")]
    private static partial Regex Link();
}
