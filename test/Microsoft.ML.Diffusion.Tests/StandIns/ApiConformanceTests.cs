using System.Reflection;

namespace Microsoft.ML.Diffusion.Tests.StandIns;

/// <summary>Nothing that a stand-in shows differs from what the real package shows: name, place, signature, parameter names, defaults.</summary>
[TestClass]
public class ApiConformanceTests
{
    private static readonly string _folder = Environment.GetEnvironmentVariable("DIFFUSION_API")
        ?? Path.GetFullPath(Path.Combine(Repository.Root, "..", "shared", "api"));

    [TestMethod]
    [DataRow("Microsoft.ML.DataView", "Microsoft.ML-5.0.0.txt")]
    [DataRow("Microsoft.ML.Core", "Microsoft.ML-5.0.0.txt")]
    [DataRow("Microsoft.ML.Data", "Microsoft.ML-5.0.0.txt")]
    [DataRow("Microsoft.ML.Transforms", "Microsoft.ML-5.0.0.txt")]
    [DataRow("Microsoft.ML.ImageAnalytics", "Microsoft.ML-5.0.0.txt")]
    [DataRow("TorchSharp", "TorchSharp-0.106.0.txt")]
    public void EveryPublicMember_IsOneOfTheRealPackage(string assemblyName, string file)
    {
        Assembly assembly = Assembly.Load(assemblyName);
        if (assembly.GetName().GetPublicKeyToken() is { Length: > 0 })
        {
            Assert.Inconclusive($"{assemblyName} is the real package here.");
        }

        string path = Path.Combine(_folder, file);
        if (!File.Exists(path))
        {
            Assert.Inconclusive($"The record of the real package's surface is not at '{path}'; DIFFUSION_API can name its folder.");
        }

        ApiText? real = ApiText.Read(path, assemblyName);
        Assert.IsNotNull(real, $"'{path}' does not speak of {assemblyName}.");
        Assert.AreEqual(real.Version, assembly.GetName().Version, "Models name their loader's assembly with its version.");
        string[] strangers = [.. ApiRenderer.VisibleTypes(assembly).SelectMany(type => Strangers(type, real))];
        Assert.IsEmpty(strangers, $"{assemblyName} shows what the real one does not:\n{string.Join('\n', strangers)}\n");
    }

    private static IEnumerable<string> Strangers(Type type, ApiText real)
    {
        string path = ApiRenderer.PathOf(type);
        if (!real.Types.TryGetValue(path, out ApiText.ApiType? wanted))
        {
            yield return $"{path}: no such type";
            yield break;
        }

        string header = ApiRenderer.Header(type);
        string plain = wanted.Header.Replace("<in ", "<", StringComparison.Ordinal).Replace("<out ", "<", StringComparison.Ordinal)
            .Replace(", in ", ", ", StringComparison.Ordinal).Replace(", out ", ", ", StringComparison.Ordinal);
        bool isDelegate = type.BaseType == typeof(MulticastDelegate);
        bool begins = (isDelegate ? wanted.Header : plain).StartsWith(header, StringComparison.Ordinal);
        if (!begins || (plain.Length > header.Length && plain[header.Length] is not (' ' or ';')))
        {
            yield return $"{path}: '{header}', but really '{wanted.Header}'";
        }

        // A list is a sequence, so a stand-in may be only that where the real type is a list.
        string bases = begins ? plain[header.Length..] : plain;
        foreach (string parent in ApiRenderer.Bases(type).Where(parent => !bases.Contains(parent, StringComparison.Ordinal)
            && !bases.Contains(parent.Replace("IEnumerable<", "IList<", StringComparison.Ordinal), StringComparison.Ordinal)))
        {
            yield return $"{path}: derives from {parent}, but really '{wanted.Header}'";
        }

        string constraints = isDelegate || type.IsEnum ? "" : ApiRenderer.Constraints(type.GetGenericArguments());
        if (!wanted.Header.EndsWith(constraints, StringComparison.Ordinal))
        {
            yield return $"{path}: constrained by '{constraints}', but really '{wanted.Header}'";
        }

        if (type.IsEnum)
        {
            string list = wanted.Header[wanted.Header.IndexOf('{', StringComparison.Ordinal)..].Replace('}', ',').Replace(" ,", ",", StringComparison.Ordinal);
            foreach (string member in ApiRenderer.EnumMembers(type).Where(member => !list.Contains($" {member},", StringComparison.Ordinal)))
            {
                yield return $"{path}: {member}, but really '{wanted.Header}'";
            }
        }
        else if (!isDelegate)
        {
            foreach (string member in ApiRenderer.Members(type).Where(member => !wanted.Members.Contains(member)))
            {
                yield return $"{path}: {member}";
            }
        }
    }
}
