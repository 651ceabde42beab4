using System.Diagnostics;
using Microsoft.ML.Data;

namespace Microsoft.ML.Diffusion.Tests;

/// <summary>The sample program, as a user runs it, for a few steps.</summary>
[TestClass]
public class SampleTests
{
    private readonly IdxFixture _files = new();

    [TestCleanup]
    public void Remove() => _files.Dispose();

    [TestMethod]
    [TestCategory("Slow")]
    public void TrainsAndGeneratesTheSamePicturesInANewProcess()
    {
        string output = Path.Combine(_files.Folder, "out");
        (int exitCode, string said) = Sample("--steps", "3", "--batch-size", "4", "--sampler-steps", "2", "--columns", "1", "--output", output);
        Assert.AreEqual(0, exitCode, said);
        StringAssert.Contains(said, "Fashion-MNIST");
        StringAssert.Contains(said, "agree in every pixel");
        string[] files = [.. Directory.GetFiles(output).Select(f => Path.GetFileName(f)!).Order()];
        CollectionAssert.AreEqual(new[] { "garments-again.png", "garments.png", "loss.png", "model.zip" }, files);
    }

    [TestMethod]
    [TestCategory("Slow")]
    [DataRow(true, DisplayName = "a sub-folder a class")]
    [DataRow(false, DisplayName = "no classes")]
    public void TrainsOnAFolderOfPictures(bool classes)
    {
        string pictures = Path.Combine(_files.Folder, "pictures");
        for (int i = 0; i < 4; i++)
        {
            string folder = classes ? Path.Combine(pictures, i % 2 == 0 ? "red" : "blue") : pictures;
            Directory.CreateDirectory(folder);
            byte[] pixels = [.. Enumerable.Repeat(new byte[] { (byte)(i * 60), 0, 200, 255 }, 12 * 9).SelectMany(p => p)];
            using MLImage image = MLImage.CreateFromPixels(12, 9, MLPixelFormat.Rgba32, pixels);
            image.Save(Path.Combine(folder, $"{i}.{(i == 3 ? "jpg" : "png")}"));
        }

        string output = Path.Combine(_files.Folder, "out");
        (int exitCode, string said) = Sample("--images", pictures, "--size", "8", "--steps", "1", "--batch-size", "2", "--sampler-steps", "1", "--columns", "1", "--output", output);
        Assert.AreEqual(0, exitCode, said);
        StringAssert.Contains(said, "4 pictures");
        StringAssert.Contains(said, "agree in every pixel");
    }

    [TestMethod]
    [DataRow("--steps", "0", "--steps has to be 1 or more")]
    [DataRow("--minutes", "-1", "--minutes has to be above 0")]
    [DataRow("--images", "nowhere-at-all", "does not exist")]
    [DataRow("--size", "20", "PadTo is 20")]
    [DataRow("--sighs", "3", "--sighs")]
    public void SaysWhatIsWrongWithAnArgument(string option, string value, string says)
    {
        (int exitCode, string said) = Sample(option, value, "--output", Path.Combine(_files.Folder, "out"));
        Assert.AreEqual(1, exitCode, said);
        StringAssert.Contains(said.ReplaceLineEndings(" "), says);
        Assert.IsFalse(Directory.Exists(Path.Combine(_files.Folder, "out")));
    }

    private static (int ExitCode, string Said) Sample(params string[] arguments)
    {
        string configuration = new DirectoryInfo(AppContext.BaseDirectory).Parent!.Name;
        string program = Repository.File($"samples/Garments/bin/{configuration}/net10.0/Garments.dll");
        var start = new ProcessStartInfo("dotnet", [program, .. arguments]) { RedirectStandardOutput = true, RedirectStandardError = true };
        using Process process = Process.Start(start)!;
        Task<string> errors = process.StandardError.ReadToEndAsync();
        string said = process.StandardOutput.ReadToEnd() + errors.Result;
        process.WaitForExit();
        return (process.ExitCode, said);
    }
}
