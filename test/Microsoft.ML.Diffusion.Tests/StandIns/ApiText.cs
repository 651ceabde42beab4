using System.Reflection;

namespace Microsoft.ML.Diffusion.Tests.StandIns;

/// <summary>The recorded public surface of one assembly: for each type its header, and the lines of its members.</summary>
/// <remarks>
/// The text names a namespace, then its types, each two spaces deeper than what it is in. Lines that begin with
/// <c>//</c> tell of members out of reach.
/// </remarks>
internal sealed class ApiText
{
    private readonly Dictionary<string, ApiType> _types = [];

    private ApiText(Version version) => Version = version;

    public Version Version { get; }

    public IReadOnlyDictionary<string, ApiType> Types => _types;

    public sealed record ApiType(string Header)
    {
        public HashSet<string> Members { get; } = [];
    }

    /// <summary>The surface of one assembly, or null where the file does not speak of it.</summary>
    public static ApiText? Read(string file, string assembly)
    {
        const string Heading = "######## ";
        string[] lines = [.. File.ReadLines(file).SkipWhile(line => !line.StartsWith($"{Heading}{assembly},", StringComparison.Ordinal))];
        if (lines.Length == 0)
        {
            return null;
        }

        var text = new ApiText(new AssemblyName(lines[0][Heading.Length..]).Version!);
        var path = new Stack<(int Indent, string Path)>();
        foreach (string line in lines.Skip(1).TakeWhile(line => !line.StartsWith(Heading, StringComparison.Ordinal)))
        {
            text.Add(path, line);
        }

        return text;
    }

    private void Add(Stack<(int Indent, string Path)> path, string line)
    {
        string content = line.Trim();
        if (content.Length == 0 || content.StartsWith("//", StringComparison.Ordinal))
        {
            return;
        }

        int indent = line.Length - line.TrimStart().Length;
        while (path.Count > 0 && path.Peek().Indent >= indent)
        {
            path.Pop();
        }

        if (content.StartsWith("namespace ", StringComparison.Ordinal))
        {
            path.Push((indent, content["namespace ".Length..]));
            return;
        }

        content = content.Replace("[Obsolete] ", "", StringComparison.Ordinal);
        if (TypeNameIn(content) is { } name)
        {
            string full = $"{path.Peek().Path}.{name}";
            _types[full] = new ApiType(content);
            path.Push((indent, full));
        }
        else
        {
            _types[path.Peek().Path].Members.Add(content);
        }
    }

    private static string? TypeNameIn(string line)
    {
        string[] words = line.Split(' ');
        int kind = Array.FindIndex(words, word => word is not ("public" or "protected" or "static" or "abstract" or "sealed"));
        if (kind <= 0 || words[kind] is not ("class" or "struct" or "interface" or "enum" or "delegate"))
        {
            return null;
        }

        string rest = line[(line.IndexOf($" {words[kind]} ", StringComparison.Ordinal) + words[kind].Length + 2)..];
        if (words[kind] == "delegate")
        {
            string signature = rest[..rest.IndexOf('(', StringComparison.Ordinal)];
            return signature[(ApiRenderer.TopLevel(signature, ' ').Last() + 1)..];
        }

        int end = ApiRenderer.TopLevel(rest, ' ').FirstOrDefault(rest.Length);
        return rest[..end].Replace("in ", "", StringComparison.Ordinal).Replace("out ", "", StringComparison.Ordinal);
    }
}
