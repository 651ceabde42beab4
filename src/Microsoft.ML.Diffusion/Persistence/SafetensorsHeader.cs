using System.Buffers.Binary;
using System.Text.Json;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// The head of a safetensors file: eight bytes of length (little-endian), then so many bytes of JSON that give each
/// tensor's element type, shape and place, then the tensors' raw little-endian bytes without gaps.
/// </summary>
internal sealed class SafetensorsHeader
{
    /// <summary>The format's own bound on the JSON part, in bytes.</summary>
    private const long MaximumJsonLength = 100_000_000;

    private const string MetadataKey = "__metadata__";

    private SafetensorsHeader(IReadOnlyList<SafetensorsEntry> entries, IReadOnlyDictionary<string, string> metadata, long dataStart)
    {
        Entries = entries;
        Metadata = metadata;
        DataStart = dataStart;
    }

    /// <summary>The tensors in the order of their bytes.</summary>
    public IReadOnlyList<SafetensorsEntry> Entries { get; }

    /// <summary>Free text that the writer left, empty where it left none.</summary>
    public IReadOnlyDictionary<string, string> Metadata { get; }

    /// <summary>Where the tensors' bytes begin in the file.</summary>
    public long DataStart { get; }

    /// <summary>The bytes of all tensors together.</summary>
    public long DataLength => Entries.Count == 0 ? 0 : Entries[^1].End;

    /// <summary>Lays tensors out for writing: wide elements first, so that each tensor is aligned to its element, then by name.</summary>
    /// <exception cref="ArgumentException">A name occurs twice or is the format's reserved one.</exception>
    /// <exception cref="NotSupportedException">The format has no such element type.</exception>
    public static SafetensorsHeader Plan(IEnumerable<(string Name, ScalarType DType, long[] Shape)> tensors, IReadOnlyDictionary<string, string>? metadata)
    {
        var names = new HashSet<string>(StringComparer.Ordinal);
        var entries = new List<SafetensorsEntry>();
        long offset = 0;
        foreach (var (name, type, shape) in tensors.OrderByDescending(t => SafetensorsEntry.SizeOf(t.DType)).ThenBy(t => t.DType).ThenBy(t => t.Name, StringComparer.Ordinal))
        {
            _ = SafetensorsEntry.NameOf(type);
            if (name == MetadataKey || !names.Add(name))
                throw new ArgumentException($"A safetensors file cannot hold the tensor name '{name}' {(name == MetadataKey ? "(it is reserved)" : "twice")}.", nameof(tensors));
            long length = shape.Aggregate(1L, (product, size) => checked(product * size)) * SafetensorsEntry.SizeOf(type);
            entries.Add(new SafetensorsEntry(name, type, shape, offset, offset + length));
            offset += length;
        }
        return new SafetensorsHeader(entries, metadata ?? new Dictionary<string, string>(), 0);
    }

    /// <summary>Writes length and JSON, padded with spaces so that the tensors begin at a multiple of eight bytes.</summary>
    public void WriteTo(Stream stream)
    {
        using var json = new MemoryStream();
        using (var writer = new Utf8JsonWriter(json))
        {
            writer.WriteStartObject();
            if (Metadata.Count > 0)
            {
                writer.WriteStartObject(MetadataKey);
                foreach (var (key, value) in Metadata.OrderBy(pair => pair.Key, StringComparer.Ordinal))
                    writer.WriteString(key, value);
                writer.WriteEndObject();
            }
            foreach (var entry in Entries)
            {
                writer.WriteStartObject(entry.Name);
                writer.WriteString("dtype", SafetensorsEntry.NameOf(entry.DType));
                writer.WriteStartArray("shape");
                foreach (long size in entry.Shape)
                    writer.WriteNumberValue(size);
                writer.WriteEndArray();
                writer.WriteStartArray("data_offsets");
                writer.WriteNumberValue(entry.Begin);
                writer.WriteNumberValue(entry.End);
                writer.WriteEndArray();
                writer.WriteEndObject();
            }
            writer.WriteEndObject();
        }
        while (json.Length % 8 != 0)
            json.WriteByte((byte)' ');

        Span<byte> length = stackalloc byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(length, json.Length);
        stream.Write(length);
        json.Position = 0;
        json.CopyTo(stream);
    }

    /// <summary>Reads and checks the head of a file; the stream is left at the first tensor.</summary>
    /// <param name="stream">The file, at its beginning.</param>
    /// <param name="fileName">What messages call the file.</param>
    /// <param name="fileLength">The length of the whole file in bytes.</param>
    /// <exception cref="InvalidDataException">The file is no safetensors file, or it is damaged or cut short.</exception>
    public static SafetensorsHeader Read(Stream stream, string fileName, long fileLength)
    {
        Span<byte> prefix = stackalloc byte[8];
        if (fileLength < prefix.Length || stream.ReadAtLeast(prefix, prefix.Length, throwOnEndOfStream: false) < prefix.Length)
            throw Damaged(fileName, "it ends within its first eight bytes");
        long jsonLength = BinaryPrimitives.ReadInt64LittleEndian(prefix);
        if (jsonLength is < 2 or > MaximumJsonLength)
            throw Damaged(fileName, $"it gives its header {(ulong)jsonLength} bytes, so it is probably no safetensors file");
        if (jsonLength > fileLength - prefix.Length)
            throw Damaged(fileName, $"it ends within its header ({fileLength} bytes, of which the header should take {jsonLength + prefix.Length})");

        byte[] json = new byte[jsonLength];
        if (stream.ReadAtLeast(json, json.Length, throwOnEndOfStream: false) < json.Length)
            throw Damaged(fileName, "it ends within its header");

        var header = Parse(json, fileName, prefix.Length + jsonLength);
        long expected = header.DataStart + header.DataLength;
        if (fileLength != expected)
            throw Damaged(fileName, $"it has {fileLength} bytes where its header announces {expected}");
        return header;
    }

    private static SafetensorsHeader Parse(byte[] json, string fileName, long dataStart)
    {
        var entries = new List<SafetensorsEntry>();
        var metadata = new Dictionary<string, string>(StringComparer.Ordinal);
        try
        {
            using var document = JsonDocument.Parse(json);
            var names = new HashSet<string>(StringComparer.Ordinal);
            foreach (var property in document.RootElement.EnumerateObject())
            {
                if (!names.Add(property.Name))
                    throw Damaged(fileName, $"its header names '{property.Name}' twice");
                if (property.Name == MetadataKey)
                {
                    foreach (var pair in property.Value.EnumerateObject())
                        metadata[pair.Name] = pair.Value.GetString() ?? "";
                }
                else
                {
                    entries.Add(ParseEntry(property, fileName));
                }
            }
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or FormatException or KeyNotFoundException or OverflowException)
        {
            throw Damaged(fileName, $"its header cannot be read ({e.Message})", e);
        }

        entries.Sort((a, b) => a.Begin != b.Begin ? a.Begin.CompareTo(b.Begin) : a.End.CompareTo(b.End));
        long offset = 0;
        foreach (var entry in entries)
        {
            if (entry.Begin != offset)
                throw Damaged(fileName, $"the bytes of '{entry.Name}' begin at {entry.Begin} instead of {offset}");
            offset = entry.End;
        }
        return new SafetensorsHeader(entries, metadata, dataStart);
    }

    private static SafetensorsEntry ParseEntry(JsonProperty property, string fileName)
    {
        string? typeName = property.Value.GetProperty("dtype").GetString();
        var type = SafetensorsEntry.TypeOf(typeName)
            ?? throw new InvalidDataException($"'{fileName}' holds '{property.Name}' as {typeName}, an element type that cannot be read here; convert the file to F32, F16 or BF16 first.");
        long[] shape = [.. property.Value.GetProperty("shape").EnumerateArray().Select(size => size.GetInt64())];
        var offsets = property.Value.GetProperty("data_offsets");
        if (offsets.GetArrayLength() != 2)
            throw Damaged(fileName, $"'{property.Name}' needs two data_offsets");
        long begin = offsets[0].GetInt64(), end = offsets[1].GetInt64();
        long expected = SafetensorsEntry.SizeOf(type);
        foreach (long size in shape)
            expected = size >= 0 ? checked(expected * size) : throw Damaged(fileName, $"'{property.Name}' has a negative size in its shape");
        if (begin < 0 || end - begin != expected)
            throw Damaged(fileName, $"'{property.Name}' takes {end - begin} bytes where {typeName} [{string.Join(", ", shape)}] needs {expected}");
        return new SafetensorsEntry(property.Name, type, shape, begin, end);
    }

    internal static InvalidDataException Damaged(string fileName, string what, Exception? inner = null) =>
        new($"'{fileName}' cannot be read: {what}. The file is damaged or was cut short; write or download it again.", inner);
}
