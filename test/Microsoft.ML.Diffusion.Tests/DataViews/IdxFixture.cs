using System.Buffers.Binary;
using System.IO.Compression;
using Microsoft.ML.Data;

namespace Microsoft.ML.Diffusion.Tests;

/// <summary>A folder that is gone after the test, and IDX files in it.</summary>
internal sealed class IdxFixture : IDisposable
{
    public string Folder { get; } = Directory.CreateTempSubdirectory("idx").FullName;

    public static byte[] Idx(int[] dimensions, byte[] data, byte type = 0x08)
    {
        var bytes = new byte[4 + 4 * dimensions.Length + data.Length];
        bytes[2] = type;
        bytes[3] = (byte)dimensions.Length;
        for (int i = 0; i < dimensions.Length; i++)
        {
            BinaryPrimitives.WriteInt32BigEndian(bytes.AsSpan(4 + 4 * i), dimensions[i]);
        }

        data.CopyTo(bytes, 4 + 4 * dimensions.Length);
        return bytes;
    }

    public static byte[] Gzip(byte[] bytes)
    {
        using var packed = new MemoryStream();
        using (var gzip = new GZipStream(packed, CompressionLevel.Fastest, leaveOpen: true))
        {
            gzip.Write(bytes);
        }

        return packed.ToArray();
    }

    public string Write(string name, byte[] bytes)
    {
        string path = Path.Combine(Folder, name);
        File.WriteAllBytes(path, bytes);
        return path;
    }

    /// <summary>Every value of a column, as a cursor gives them.</summary>
    public static List<T> Column<T>(IDataView view, string name, Random? random = null)
    {
        DataViewSchema.Column column = view.Schema[name];
        using DataViewRowCursor cursor = view.GetRowCursor([column], random);
        ValueGetter<T> getter = cursor.GetGetter<T>(column);
        var values = new List<T>();
        while (cursor.MoveNext())
        {
            T value = default!;
            getter(ref value);
            values.Add(value);
        }

        return values;
    }

    public static string[] KeyNames(IDataView view, string name)
    {
        VBuffer<ReadOnlyMemory<char>> names = default;
        view.Schema[name].Annotations.GetValue("KeyValues", ref names);
        return [.. names.DenseValues().Select(n => n.ToString())];
    }

    public void Dispose() => Directory.Delete(Folder, recursive: true);
}
