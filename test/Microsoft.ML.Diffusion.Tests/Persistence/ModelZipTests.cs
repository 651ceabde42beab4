using System.Diagnostics;
using System.Globalization;
using System.IO.Compression;

namespace Microsoft.ML.Diffusion.Tests;

/// <summary>ML.NET's own model file, as it reaches someone else: another process, a damaged copy.</summary>
[TestClass]
public sealed class ModelZipTests
{
    private const string Part = "/weights.safetensors";
    private const string Manifest = "/ddpm.json";
    private static readonly MLContext s_context = new(seed: 1);
    private static readonly TemporaryFolder s_folder = new();
    private static string s_path = "";
    private static float[][] s_images = [];

    [ClassInitialize]
    public static void Train(TestContext _)
    {
        using var model = TinyData.Fit(s_context, TinyData.Options(steps: 4));
        s_path = s_folder["model.zip"];
        s_context.Model.Save(model, s_context.Data.LoadFromEnumerable(TinyData.Requests(2)).Schema, s_path);
        s_images = TinyData.Images(s_context, model, TinyData.Requests(2));
    }

    [ClassCleanup]
    public static void Clean() => s_folder.Dispose();

    [TestMethod]
    public void AFreshProcessLoadsItWithNothingRegistered()
    {
        string again = s_folder["again.zip"];
        string[] lines = RunFresh(s_path, again, "top,bottom");

        CollectionAssert.Contains(lines, "type Microsoft.ML.Diffusion.DdpmTransformer");
        float[][] images = [.. lines.Where(line => line.StartsWith("image ", StringComparison.Ordinal)).Select(line =>
            line.Split(' ')[1..].Select(v => float.Parse(v, CultureInfo.InvariantCulture)).ToArray())];
        DdpmTrainerTests.AssertEqual(s_images, images);
        CollectionAssert.AreEqual(Entry(s_path, Part), Entry(again, Part));
        CollectionAssert.AreEqual(Entry(s_path, Manifest), Entry(again, Manifest));
    }

    [TestMethod]
    public void WeightsAreStoredAsTheyAre()
    {
        using var zip = ZipFile.OpenRead(s_path);
        var weights = zip.Entries.Single(e => e.FullName.EndsWith(Part, StringComparison.Ordinal));
        Assert.AreEqual(weights.Length, weights.CompressedLength);
        Assert.IsLessThan(weights.Length + 16_384, new FileInfo(s_path).Length);

        using var stream = new MemoryStream(Entry(s_path, Part));
        using var file = SafetensorsFile.Open(stream, Part, stream.Length);
        Assert.IsNotEmpty(file.Entries);
    }

    [TestMethod]
    public void AFlippedBitInTheWeightsIsRefused()
    {
        byte[] bytes = File.ReadAllBytes(s_path);
        byte[] weights = Entry(s_path, Part);
        int start = bytes.AsSpan().IndexOf(weights);
        Assert.IsGreaterThan(0, start);
        bytes[start + weights.Length / 2] ^= 1;
        var error = LoadFailure(bytes);
        StringAssert.Contains(error.Message, "weights.safetensors");
        StringAssert.Contains(error.Message, "save it again");
    }

    [TestMethod]
    public void AModelOfALaterVersionIsRefused()
    {
        string copy = s_folder["later.zip"];
        File.Copy(s_path, copy);
        using (var zip = ZipFile.Open(copy, ZipArchiveMode.Update))
        {
            var entry = zip.Entries.Single(e => e.FullName.EndsWith(Manifest, StringComparison.Ordinal));
            string name = entry.FullName, text;
            using (var reader = new StreamReader(entry.Open()))
                text = reader.ReadToEnd();
            entry.Delete();
            using var writer = new StreamWriter(zip.CreateEntry(name).Open());
            writer.Write(text.Replace("\"version\": 1,", "\"version\": 9,", StringComparison.Ordinal));
        }
        var error = LoadFailure(File.ReadAllBytes(copy));
        StringAssert.Contains(error.Message, "version 9");
        StringAssert.Contains(error.Message, "update the package");
    }

    [TestMethod]
    public void AMissingPartIsNamed()
    {
        string copy = s_folder["missing.zip"];
        File.Copy(s_path, copy);
        using (var zip = ZipFile.Open(copy, ZipArchiveMode.Update))
            zip.Entries.Single(e => e.FullName.EndsWith(Part, StringComparison.Ordinal)).Delete();
        StringAssert.Contains(LoadFailure(File.ReadAllBytes(copy)).Message, "'weights.safetensors' cannot be read: it is missing");
    }

    // ML.NET makes transformers by reflection, so the reason is the innermost exception.
    private static InvalidDataException LoadFailure(byte[] model)
    {
        var error = Assert.Throws<Exception>(() => new MLContext().Model.Load(new MemoryStream(model), out _));
        return (InvalidDataException)error.GetBaseException();
    }

    private static byte[] Entry(string path, string end)
    {
        using var zip = ZipFile.OpenRead(path);
        using var stream = zip.Entries.Single(e => e.FullName.EndsWith(end, StringComparison.Ordinal)).Open();
        using var bytes = new MemoryStream();
        stream.CopyTo(bytes);
        return bytes.ToArray();
    }

    private static string[] RunFresh(params string[] arguments)
    {
        string program = Path.Combine(AppContext.BaseDirectory, "Microsoft.ML.Diffusion.FreshProcess.dll");
        var start = new ProcessStartInfo("dotnet", [program, .. arguments]) { RedirectStandardOutput = true, RedirectStandardError = true };
        using var process = Process.Start(start)!;
        var errors = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        Assert.AreEqual(0, process.ExitCode, errors.Result);
        return output.Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
    }
}
