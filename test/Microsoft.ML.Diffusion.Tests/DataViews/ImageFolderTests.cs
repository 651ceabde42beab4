using Microsoft.ML.Data;

namespace Microsoft.ML.Diffusion.Tests;

[TestClass]
public class ImageFolderTests
{
    // The smallest PNG: one transparent pixel.
    private static readonly byte[] Png = Convert.FromBase64String("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==");
    private static readonly byte[] Jpeg = [0xff, 0xd8, 0xff, 0xe0, 0, 4, 0, 0, 0xff, 0xd9];

    private readonly IdxFixture _files = new();

    [TestCleanup]
    public void Remove() => _files.Dispose();

    [TestMethod]
    public void SubFoldersAreClassesInOrdinalOrder()
    {
        Put("shoe/b.JPG", Jpeg);
        Put("shoe/a.jpeg", Jpeg);
        Put("bag/deep/z.png", Png);
        Put("bag/notes.txt", [1]);
        Put(".hidden/x.png", Png);
        ImageFolder view = ImageFolder.Load(_files.Folder);

        string[] paths = [.. IdxFixture.Column<ReadOnlyMemory<char>>(view, "ImagePath").Select(p => Path.GetRelativePath(_files.Folder, p.ToString()))];
        CollectionAssert.AreEqual(new[] { "bag/deep/z.png", "shoe/a.jpeg", "shoe/b.JPG" }, paths);
        CollectionAssert.AreEqual(new uint[] { 1, 2, 2 }, IdxFixture.Column<uint>(view, "Label"));
        CollectionAssert.AreEqual(new[] { "bag", "shoe" }, IdxFixture.KeyNames(view, "Label"));
    }

    [TestMethod]
    public void LoosePicturesHaveNoLabels()
    {
        Put("b.png", Png);
        Put("a.png", Png);
        ImageFolder view = ImageFolder.Load(_files.Folder);
        Assert.IsNull(view.Schema.GetColumnOrNull("Label"));
        Assert.AreEqual(2L, view.GetRowCount());
        Assert.IsTrue(IdxFixture.Column<ReadOnlyMemory<char>>(view, "ImagePath")[0].ToString().EndsWith("a.png", StringComparison.Ordinal));
    }

    [TestMethod]
    public void AFolderThatCannotBeUnderstoodIsRefused()
    {
        Assert.ThrowsExactly<DirectoryNotFoundException>(() => ImageFolder.Load(Path.Combine(_files.Folder, "nowhere")));
        Refused("holds no .png", _files.Folder);
        Directory.CreateDirectory(Path.Combine(_files.Folder, "empty"));
        Refused("holds no .png", _files.Folder);
        Put("bag/a.png", Png);
        Refused("class folder", "empty");
        Put("loose.png", Png);
        Refused("beside sub-folders", "loose.png");
    }

    [TestMethod]
    public void UnreadableAndTruncatedPicturesAreNamed()
    {
        Put("a.png", Png);
        Put("b.png", Png[..^12]);
        Refused("cut short", "b.png");
        Put("b.png", []);
        Refused("is empty", "b.png");
        Put("b.png", "GIF89a pretending"u8.ToArray());
        Refused("does not begin as PNG or JPEG", "b.png");
        Put("b.png", Jpeg[..^2]);
        Refused("cut short", "b.png");
    }

    private void Put(string name, byte[] bytes)
    {
        string path = Path.Combine(_files.Folder, name);
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        File.WriteAllBytes(path, bytes);
    }

    private void Refused(string says, string names)
    {
        var error = Assert.ThrowsExactly<InvalidDataException>(() => ImageFolder.Load(_files.Folder));
        StringAssert.Contains(error.Message, says);
        StringAssert.Contains(error.Message, names);
    }
}
