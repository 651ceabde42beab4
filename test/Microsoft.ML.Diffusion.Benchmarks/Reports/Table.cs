namespace Microsoft.ML.Diffusion.Benchmarks;

/// <summary>A table for people (Markdown) and for programs (CSV).</summary>
internal sealed class Table(params string[] headers)
{
    private readonly List<string[]> _rows = [];

    /// <summary>Whether nothing was measured.</summary>
    public bool IsEmpty => _rows.Count == 0;

    /// <summary>Adds a row.</summary>
    public void Add(params string[] cells)
    {
        if (cells.Length != headers.Length)
            throw new ArgumentException($"{cells.Length} cells for {headers.Length} columns.", nameof(cells));
        _rows.Add(cells);
    }

    /// <summary>As Markdown.</summary>
    public string ToMarkdown() => string.Join('\n', [Line(headers), Line(headers.Select(_ => "---")), .. _rows.Select(Line)]) + "\n";

    /// <summary>As comma-separated values (RFC 4180).</summary>
    public string ToCsv() => string.Concat(_rows.Prepend(headers).Select(row => string.Join(',', row.Select(Quote)) + "\r\n"));

    private static string Line(IEnumerable<string> cells) => $"| {string.Join(" | ", cells.Select(cell => cell.Replace("|", "\\|")))} |";

    private static string Quote(string cell) => cell.AsSpan().IndexOfAny(",\"\n") < 0 ? cell : $"\"{cell.Replace("\"", "\"\"")}\"";
}
