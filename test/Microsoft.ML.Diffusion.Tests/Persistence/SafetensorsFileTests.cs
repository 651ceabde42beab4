using System.Buffers.Binary;
using System.Text;

namespace Microsoft.ML.Diffusion.Tests;

[TestClass]
public sealed class SafetensorsFileTests
{
    private const string Header = """{"b":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},"a":{"dtype":"I64","shape":[1],"data_offsets":[16,24]}}""";

    [TestMethod]
    public void ReadsAFileMadeByteByByte()
    {
        byte[] bytes = [.. Prefix(Header), .. Floats(1, 2, 3, 4.5f), 7, 0, 0, 0, 0, 0, 0, 0];
        using var file = SafetensorsFile.Open(new MemoryStream(bytes), "hand.safetensors", bytes.Length);

        CollectionAssert.AreEqual(new[] { "b", "a" }, file.Entries.Select(e => e.Name).ToArray());
        using var a = file.Read("a");
        using var b = file.Read("b");
        Assert.AreEqual(7L, a.data<long>()[0]);
        CollectionAssert.AreEqual(new long[] { 2, 2 }, b.shape);
        CollectionAssert.AreEqual(new[] { 1, 2, 3, 4.5f }, b.data<float>().ToArray());
    }

    [TestMethod]
    public void WritesTheBytesThatTheFormatAsksFor()
    {
        using var weight = tensor(new[] { 1f, 2f, 3f, 4.5f }).reshape(2, 2);
        using var steps = tensor(new[] { 7L });
        using var stream = new MemoryStream();
        SafetensorsFile.Write(stream, [("weight", weight), ("steps", steps)], new Dictionary<string, string> { ["made"] = "here" });

        string header = """{"__metadata__":{"made":"here"},"steps":{"dtype":"I64","shape":[1],"data_offsets":[0,8]},"weight":{"dtype":"F32","shape":[2,2],"data_offsets":[8,24]}}""";
        header = header.PadRight((header.Length + 7) / 8 * 8);
        byte[] expected = [.. Prefix(header), 7, 0, 0, 0, 0, 0, 0, 0, .. Floats(1, 2, 3, 4.5f)];
        CollectionAssert.AreEqual(expected, stream.ToArray());
    }

    [TestMethod]
    public void EveryElementTypeComesBackAsItWas()
    {
        using var scope = NewDisposeScope();
        var values = tensor(new[] { -3f, 0f, 1.5f, 100f, 1f / 3 });
        ScalarType[] types = [ScalarType.Float64, ScalarType.Float32, ScalarType.Float16, ScalarType.BFloat16, ScalarType.Int64, ScalarType.Int32, ScalarType.Int16, ScalarType.Int8, ScalarType.Bool];
        var tensors = types.Select(t => ($"t.{t}", values.to_type(t))).Append(("t.Byte", values.abs().to_type(ScalarType.Byte))).Append(("scalar", tensor(2.5f))).Append(("none", empty(0, 3))).ToArray();

        using var stream = new MemoryStream();
        SafetensorsFile.Write(stream, tensors);
        stream.Position = 0;
        using var file = SafetensorsFile.Open(stream, "types", stream.Length);
        foreach (var (name, expected) in tensors)
        {
            var read = file.Read(name);
            Assert.AreEqual(expected.dtype, read.dtype, name);
            CollectionAssert.AreEqual(expected.shape, read.shape, name);
            Assert.IsTrue(read.bytes.SequenceEqual(expected.contiguous().bytes), name);
        }
    }

    [TestMethod]
    public void FillsTensorsOfAnotherTypeLayoutAndGradient()
    {
        using var scope = NewDisposeScope();
        var values = arange(24, dtype: ScalarType.Float32).reshape(2, 3, 4);
        using var stream = new MemoryStream();
        SafetensorsFile.Write(stream, [("plain", values), ("turned", values.permute(2, 0, 1)), ("half", values.to_type(ScalarType.Float16))]);
        stream.Position = 0;

        var plain = zeros(2, 3, 4, requires_grad: true);
        var turned = zeros(2, 3, 4).permute(2, 0, 1);
        var half = zeros(2, 3, 4);
        using (var file = SafetensorsFile.Open(stream, "layouts", stream.Length))
            file.ReadInto([("half", half), ("plain", plain), ("turned", turned)]);

        Assert.IsTrue(plain.detach().Equals(values));
        Assert.IsTrue(plain.requires_grad);
        Assert.IsTrue(turned.Equals(values.permute(2, 0, 1)));
        Assert.IsTrue(half.Equals(values));
    }

    [TestMethod]
    public void SaysWhichNamesAndShapesDiffer()
    {
        using var scope = NewDisposeScope();
        byte[] bytes = [.. Prefix(Header), .. new byte[24]];
        using var file = SafetensorsFile.Open(new MemoryStream(bytes), "net.safetensors", bytes.Length);

        var names = Assert.ThrowsExactly<InvalidDataException>(() => file.ReadInto([("b", zeros(2, 2)), ("c", zeros(1))]));
        StringAssert.Contains(names.Message, "lacks 'c'");
        StringAssert.Contains(names.Message, "no 'a'");
        var shapes = Assert.ThrowsExactly<InvalidDataException>(() => file.ReadInto([("b", zeros(4)), ("a", zeros(1))]));
        StringAssert.Contains(shapes.Message, "'b' as [2, 2]");
        StringAssert.Contains(shapes.Message, "[4]");
    }

    [TestMethod]
    [DataRow("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}""", 4, "takes 4 bytes")]
    [DataRow("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}""", 8, "begin at 4")]
    [DataRow("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}}""", 6, "begin at 2")]
    [DataRow("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}""", 8, "twice")]
    [DataRow("""{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}""", 4, "negative")]
    [DataRow("""{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,4]}}""", 4, "header cannot be read")]
    [DataRow("""{"a":{"dtype":"F8_E4M3","shape":[4],"data_offsets":[0,4]}}""", 4, "F8_E4M3")]
    [DataRow("""{"a":{"dtype":"F32","data_offsets":[0,4]}}""", 4, "header cannot be read")]
    [DataRow("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}""", 4, "header cannot be read")]
    [DataRow("""[1, 2]""", 0, "header cannot be read")]
    [DataRow("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}""", 3, "has 65 bytes where")]
    [DataRow("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}""", 5, "has 67 bytes where")]
    public void RefusesADamagedHeader(string header, int dataBytes, string expected)
    {
        byte[] bytes = [.. Prefix(header), .. new byte[dataBytes]];
        var error = Assert.ThrowsExactly<InvalidDataException>(() => SafetensorsFile.Open(new MemoryStream(bytes), "broken.safetensors", bytes.Length));
        StringAssert.Contains(error.Message, "broken.safetensors");
        StringAssert.Contains(error.Message, expected);
    }

    [TestMethod]
    public void RefusesEveryTruncation()
    {
        byte[] whole = [.. Prefix(Header), .. new byte[24]];
        for (int length = 0; length < whole.Length; length++)
        {
            byte[] cut = whole[..length];
            Assert.ThrowsExactly<InvalidDataException>(() => SafetensorsFile.Open(new MemoryStream(cut), "cut", cut.Length), $"{length} bytes");
        }
    }

    [TestMethod]
    public void RefusesAStreamThatEndsEarlierThanItSaid()
    {
        byte[] whole = [.. Prefix(Header), .. new byte[24]];
        using var file = SafetensorsFile.Open(new MemoryStream(whole[..^1]), "early", whole.Length);
        var error = Assert.ThrowsExactly<InvalidDataException>(file.ReadAll);
        StringAssert.Contains(error.Message, "ends within 'a'");
    }

    [TestMethod]
    public void AForeignFileIsNotTakenForOne()
    {
        byte[] zip = [0x50, 0x4B, 3, 4, 20, 0, 0, 0, 8, 0, 1, 2, 3, 4, 5, 6];
        var error = Assert.ThrowsExactly<InvalidDataException>(() => SafetensorsFile.Open(new MemoryStream(zip), "model.zip", zip.Length));
        StringAssert.Contains(error.Message, "model.zip");
    }

    [TestMethod]
    public void NamesMustBeDistinctAndNotReserved()
    {
        using var one = ones(1);
        Assert.ThrowsExactly<ArgumentException>(() => SafetensorsFile.Write(new MemoryStream(), [("w", one), ("w", one)]));
        Assert.ThrowsExactly<ArgumentException>(() => SafetensorsFile.Write(new MemoryStream(), [("__metadata__", one)]));
    }

    private static byte[] Prefix(string json)
    {
        byte[] text = Encoding.UTF8.GetBytes(json);
        byte[] prefix = new byte[8 + text.Length];
        BinaryPrimitives.WriteInt64LittleEndian(prefix, text.Length);
        text.CopyTo(prefix, 8);
        return prefix;
    }

    private static byte[] Floats(params float[] values)
    {
        byte[] bytes = new byte[4 * values.Length];
        for (int i = 0; i < values.Length; i++)
            BinaryPrimitives.WriteSingleLittleEndian(bytes.AsSpan(4 * i), values[i]);
        return bytes;
    }
}
