using Microsoft.ML.Data;

namespace Microsoft.ML.Diffusion.Tests;

[TestClass]
public class IdxLoaderTests
{
    private const int Count = 5, Height = 2, Width = 3;
    private static readonly byte[] Pixels = [.. Enumerable.Range(0, Count * Height * Width).Select(i => (byte)(i * 8))];
    private static readonly byte[] Labels = [3, 0, 2, 0, 1];

    private readonly IdxFixture _files = new();

    public TestContext TestContext { get; set; } = null!;

    [TestCleanup]
    public void Remove() => _files.Dispose();

    [TestMethod]
    [DataRow(false, DisplayName = "plain")]
    [DataRow(true, DisplayName = "gzipped")]
    public void ReadsWhatWasWritten(bool gzipped)
    {
        IdxLoader view = Load(gzipped, new IdxOptions());

        Assert.AreEqual((long)Count, view.GetRowCount());
        CollectionAssert.AreEqual(new[] { 1, Height, Width }, ((VectorDataViewType)view.Schema["Image"].Type).Dimensions.ToArray());
        CollectionAssert.AreEqual(Pixels, IdxFixture.Column<VBuffer<byte>>(view, "Image").SelectMany(v => v.DenseValues()).ToArray());
        CollectionAssert.AreEqual(Labels.Select(l => l + 1u).ToArray(), IdxFixture.Column<uint>(view, "Label"));
        Assert.AreEqual(4ul, ((KeyDataViewType)view.Schema["Label"].Type).Count);
        CollectionAssert.AreEqual(new[] { "0", "1", "2", "3" }, IdxFixture.KeyNames(view, "Label"));
    }

    [TestMethod]
    public void ScalesBytesToMinusOneToOne()
    {
        string images = _files.Write("images", IdxFixture.Idx([1, 1, 4], [0, 51, 204, 255]));
        float[] image = [.. IdxFixture.Column<VBuffer<float>>(IdxLoader.Load(images, null, new IdxOptions { Scale = true }), "Image")[0].DenseValues()];
        Assert.AreEqual(-1f, image[0]);
        Assert.AreEqual(-0.6f, image[1], 1e-7f);
        Assert.AreEqual(0.6f, image[2], 1e-7f);
        Assert.AreEqual(1f, image[3]);
    }

    [TestMethod]
    public void PadsEvenlyWithBlack()
    {
        string images = _files.Write("images", IdxFixture.Idx([1, 2, 2], [255, 255, 255, 255]));
        VBuffer<float> image = IdxFixture.Column<VBuffer<float>>(IdxLoader.Load(images, null, new IdxOptions { PadTo = 4, Scale = true }), "Image")[0];
        CollectionAssert.AreEqual(new float[] { -1, -1, -1, -1, -1, 1, 1, -1, -1, 1, 1, -1, -1, -1, -1, -1 }, image.DenseValues().ToArray());
    }

    [TestMethod]
    [DataRow(false, DisplayName = "plain")]
    [DataRow(true, DisplayName = "gzipped")]
    public void ShufflesRowsAndKeepsThemTogether(bool gzipped)
    {
        IdxLoader view = Load(gzipped, new IdxOptions());
        Assert.IsTrue(view.CanShuffle);
        var seen = new HashSet<string>();
        using DataViewRowCursor cursor = view.GetRowCursor(view.Schema, new Random(1));
        ValueGetter<VBuffer<byte>> image = cursor.GetGetter<VBuffer<byte>>(view.Schema["Image"]);
        ValueGetter<uint> label = cursor.GetGetter<uint>(view.Schema["Label"]);
        ValueGetter<DataViewRowId> id = cursor.GetIdGetter();
        bool moved = false;
        while (cursor.MoveNext())
        {
            VBuffer<byte> pixels = default;
            uint key = 0;
            DataViewRowId row = default;
            image(ref pixels);
            label(ref key);
            id(ref row);
            CollectionAssert.AreEqual(Pixels.Skip((int)row.Low * 6).Take(6).ToArray(), pixels.DenseValues().ToArray());
            Assert.AreEqual(Labels[row.Low] + 1u, key);
            moved |= (long)row.Low != cursor.Position;
            seen.Add(row.ToString());
        }

        Assert.AreEqual(Count, seen.Count);
        Assert.IsTrue(moved);
        CollectionAssert.AreEqual(IdxFixture.Column<uint>(view, "Label", new Random(1)), IdxFixture.Column<uint>(view, "Label", new Random(1)));
    }

    [TestMethod]
    public void PassesOverImagesThatNobodyAsksFor()
    {
        IdxLoader view = Load(gzipped: true, new IdxOptions());
        using DataViewRowCursor cursor = view.GetRowCursor(view.Schema);
        ValueGetter<VBuffer<byte>> getter = cursor.GetGetter<VBuffer<byte>>(view.Schema["Image"]);
        VBuffer<byte> image = default;
        cursor.MoveNext();
        cursor.MoveNext();
        cursor.MoveNext();
        getter(ref image);
        getter(ref image);
        CollectionAssert.AreEqual(Pixels[12..18], image.DenseValues().ToArray());
        Assert.ThrowsExactly<InvalidOperationException>(() => cursor.GetGetter<float>(view.Schema["Image"]));
    }

    [TestMethod]
    public void TheSubsetInTheRepositoryIsBalanced()
    {
        IdxLoader view = IdxLoader.Load(Repository.File("samples/Garments/data/images-idx3-ubyte.gz"), Repository.File("samples/Garments/data/labels-idx1-ubyte.gz"),
            new IdxOptions { PadTo = 32, Scale = true, ClassNames = IdxOptions.FashionMnistClasses });
        CollectionAssert.AreEqual(Enumerable.Repeat(200, 10).ToArray(), IdxFixture.Column<uint>(view, "Label").CountBy(l => l).OrderBy(p => p.Key).Select(p => p.Value).ToArray());
        Assert.AreEqual("Ankle boot", IdxFixture.KeyNames(view, "Label")[9]);
        Assert.AreEqual(1024, IdxFixture.Column<VBuffer<float>>(view, "Image")[^1].Length);
    }

    public static IEnumerable<(string Name, byte[] Images, byte[]? Labels, string Says)> BadFiles()
    {
        byte[] good = IdxFixture.Idx([Count, Height, Width], Pixels), labels = IdxFixture.Idx([Count], Labels);
        yield return ("garbage", "not an idx file"u8.ToArray(), null, "not an IDX file");
        yield return ("empty", [], null, "not an IDX file");
        yield return ("float elements", IdxFixture.Idx([1, 1, 1], [0, 0, 0, 0], type: 0x0d), null, "unsigned bytes");
        yield return ("labels as images", labels, null, "exchanged");
        yield return ("header cut", good[..10], null, "within its header");
        yield return ("no rows", IdxFixture.Idx([0, 2, 2], []), null, "no images");
        yield return ("negative size", IdxFixture.Idx([1, -2, 2], []), null, "impossible dimensions");
        yield return ("huge size", IdxFixture.Idx([int.MaxValue, 60000, 60000], []), null, "impossible dimensions");
        yield return ("plain cut", good[..^1], null, "cut short");
        yield return ("plain too long", [.. good, 0], null, "damaged");
        yield return ("gzip cut", IdxFixture.Gzip(good)[..^20], null, "cut short");
        yield return ("gzip of a cut file", IdxFixture.Gzip(good[..^1]), null, "cut short");
        yield return ("gzip of garbage", [0x1f, 0x8b, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19], null, "damaged");
        yield return ("counts differ", good, IdxFixture.Idx([4], Labels[..4]), "5 images");
        yield return ("label without a class", good, labels, "label 3");
    }

    [TestMethod]
    [DynamicData(nameof(BadFiles))]
    public void BadFilesAreNamedAndExplained(string name, byte[] images, byte[]? labels, string says)
    {
        string imagesPath = _files.Write("images.idx", images);
        string? labelsPath = labels is null ? null : _files.Write("labels.idx", labels);
        TestContext.WriteLine(name);
        var error = Assert.ThrowsExactly<InvalidDataException>(() => IdxLoader.Load(imagesPath, labelsPath, new IdxOptions { ClassNames = ["a", "b", "c"] }));
        StringAssert.Contains(error.Message, says);
        StringAssert.Contains(error.Message, labels is null ? imagesPath : labelsPath!);
    }

    [TestMethod]
    public void ADamagedBodyIsFoundWhenRead()
    {
        byte[] noise = new byte[100 * 100];
        new Random(3).NextBytes(noise);
        byte[] packed = IdxFixture.Gzip(IdxFixture.Idx([100, 10, 10], noise));
        packed[packed.Length / 2] ^= 0x55;
        IdxLoader view = IdxLoader.Load(_files.Write("bad.gz", packed), null, new IdxOptions { Scale = true });
        var error = Assert.ThrowsExactly<InvalidDataException>(() => IdxFixture.Column<VBuffer<float>>(view, "Image", new Random(1)));
        StringAssert.Contains(error.Message, "bad.gz");
    }

    [TestMethod]
    public void AMissingFileAndNonsensicalOptionsAreNamed()
    {
        var missing = Assert.ThrowsExactly<FileNotFoundException>(() => IdxLoader.Load(Path.Combine(_files.Folder, "nowhere"), null));
        StringAssert.Contains(missing.Message, "nowhere");
        var small = Assert.ThrowsExactly<ArgumentException>(() => Load(false, new IdxOptions { PadTo = 2 }));
        StringAssert.Contains(small.Message, "PadTo");
        var same = Assert.ThrowsExactly<ArgumentException>(() => Load(false, new IdxOptions { LabelColumnName = "Image" }));
        StringAssert.Contains(same.Message, "'Image'");
    }

    private IdxLoader Load(bool gzipped, IdxOptions options)
    {
        byte[] images = IdxFixture.Idx([Count, Height, Width], Pixels), labels = IdxFixture.Idx([Count], Labels);
        return IdxLoader.Load(_files.Write("images.idx", gzipped ? IdxFixture.Gzip(images) : images), _files.Write("labels.idx", gzipped ? IdxFixture.Gzip(labels) : labels), options);
    }
}
