namespace Microsoft.ML.Diffusion.Tests;

[TestClass]
public sealed class AtomicFileTests
{
    [TestMethod]
    public void ReplacesTheWholeFile()
    {
        using var folder = new TemporaryFolder();
        string path = folder["weights.bin"];
        File.WriteAllText(path, "a much longer old content");
        AtomicFile.Write(path, stream => stream.Write("new"u8));
        Assert.AreEqual("new", File.ReadAllText(path));
        Assert.HasCount(1, Directory.GetFileSystemEntries(folder.Path));
    }

    [TestMethod]
    public void AFailureLeavesTheOldFileAndNothingElse()
    {
        using var folder = new TemporaryFolder();
        string path = folder["weights.bin"];
        File.WriteAllText(path, "old");
        Assert.ThrowsExactly<TimeoutException>(() => AtomicFile.Write(path, stream =>
        {
            stream.Write("half of the ne"u8);
            throw new TimeoutException();
        }));
        Assert.AreEqual("old", File.ReadAllText(path));
        Assert.HasCount(1, Directory.GetFileSystemEntries(folder.Path));
    }

    [TestMethod]
    public void TheOldContentIsThereUntilTheEnd()
    {
        using var folder = new TemporaryFolder();
        string path = folder["weights.bin"];
        File.WriteAllText(path, "old");
        AtomicFile.Write(path, stream =>
        {
            stream.Write("new"u8);
            stream.Flush();
            Assert.AreEqual("old", File.ReadAllText(path));
        });
        Assert.AreEqual("new", File.ReadAllText(path));
    }

    [TestMethod]
    public void AMissingFolderIsNamed()
    {
        using var folder = new TemporaryFolder();
        string path = Path.Combine(folder.Path, "nowhere", "weights.bin");
        var error = Assert.ThrowsExactly<DirectoryNotFoundException>(() => AtomicFile.Write(path, _ => { }));
        StringAssert.Contains(error.Message, "nowhere");
    }
}
