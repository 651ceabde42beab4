using Microsoft.ML.Data;
using Microsoft.ML.Transforms.Image;

namespace Microsoft.ML.Diffusion.Tests.StandIns;

/// <summary>Images and the transforms around them.</summary>
[TestClass]
public class MlNetImageTests
{
    private sealed class Source
    {
        public string Path { get; set; } = "";
    }

    private sealed class Vector
    {
        [VectorType(3, 2, 2)]
        public float[] Pixels { get; set; } = [];
    }

    private sealed class Picture
    {
        [ImageType(2, 2)]
        public MLImage? Image { get; set; }

        public float A { get; set; }
    }

    // Blue, green, red, alpha of: red, green / blue, grey.
    private static readonly byte[] _pixels = [0, 0, 255, 255, 0, 255, 0, 255, 255, 0, 0, 255, 60, 60, 60, 255];

    private static string NewFolder() => Directory.CreateTempSubdirectory("mlnet-image-tests").FullName;

    private static MLImage Sample() => MLImage.CreateFromPixels(2, 2, MLPixelFormat.Bgra32, _pixels);

    [TestMethod]
    public void Png_KeepsEveryPixel()
    {
        string folder = NewFolder();
        string path = Path.Combine(folder, "sample.png");
        using (MLImage image = Sample())
        {
            image.Save(path);
        }

        using MLImage loaded = MLImage.CreateFromFile(path);
        Assert.AreEqual((2, 2, 32), (loaded.Width, loaded.Height, loaded.BitsPerPixel));
        byte[] bgr = [.. _pixels.Where((_, i) => i % 4 != 3)];
        CollectionAssert.AreEqual(bgr, loaded.GetBGRPixels);
        Directory.Delete(folder, true);
    }

    [TestMethod]
    public void Jpeg_ComesClose()
    {
        string folder = NewFolder();
        string path = Path.Combine(folder, "flat.jpg");
        byte[] flat = [.. Enumerable.Range(0, 16 * 16).SelectMany(_ => new byte[] { 200, 100, 50, 255 })];
        using (MLImage image = MLImage.CreateFromPixels(16, 16, MLPixelFormat.Bgra32, flat))
        {
            image.Save(path);
        }

        using MLImage loaded = MLImage.CreateFromFile(path);
        byte[] bgr = loaded.GetBGRPixels;
        Assert.AreEqual(200, bgr[0], 3);
        Assert.AreEqual(100, bgr[1], 3);
        Assert.AreEqual(50, bgr[2], 3);
        Directory.Delete(folder, true);
    }

    [TestMethod]
    public void WhatIsNoImage_IsAnArgumentError()
    {
        Assert.ThrowsExactly<ArgumentException>(() => MLImage.CreateFromFile(Path.Combine(Path.GetTempPath(), "no-such-image.png")));
        Assert.ThrowsExactly<ArgumentException>(() => MLImage.CreateFromStream(new MemoryStream([1, 2, 3])));
        Assert.ThrowsExactly<ArgumentException>(() => MLImage.CreateFromPixels(2, 2, MLPixelFormat.Bgra32, new byte[15]));
        using MLImage image = Sample();
        Assert.ThrowsExactly<ArgumentException>(() => image.Save("picture.text"));
        Assert.ThrowsExactly<ArgumentException>(() => image.Save("picture.gif"));
    }

    [TestMethod]
    public void AFileThatBreaksOff_IsReadAsFarAsItGoes()
    {
        string folder = NewFolder();
        string path = Path.Combine(folder, "noise.png");
        var noise = new byte[64 * 64 * 4];
        new Random(1).NextBytes(noise);
        for (int i = 3; i < noise.Length; i += 4)
        {
            noise[i] = 255;
        }

        using (MLImage image = MLImage.CreateFromPixels(64, 64, MLPixelFormat.Bgra32, noise))
        {
            image.Save(path);
        }

        byte[] file = File.ReadAllBytes(path);
        using MLImage half = MLImage.CreateFromStream(new MemoryStream(file[..(file.Length / 2)]));
        CollectionAssert.AreEqual(noise[..3], half.GetBGRPixels[..3]);
        Assert.AreEqual(64, half.Height);
        Assert.ThrowsExactly<ArgumentException>(() => MLImage.CreateFromStream(new MemoryStream(file[..10])));
        Directory.Delete(folder, true);
    }

    [TestMethod]
    public void ADisposedImage_RefusesItsPixels()
    {
        MLImage image = Sample();
        image.Dispose();
        image.Dispose();
        Assert.ThrowsExactly<InvalidOperationException>(() => image.Width);
    }

    [TestMethod]
    public void LoadResizeExtract_GivesPlanes()
    {
        string folder = NewFolder();
        using (MLImage image = Sample())
        {
            image.Save(Path.Combine(folder, "a.png"));
        }

        var ml = new MLContext();
        IDataView files = ml.Data.LoadFromEnumerable(new[] { new Source { Path = "a.png" } });
        IDataView planes = ml.Transforms.LoadImages("Image", folder, "Path")
            .Append(ml.Transforms.ResizeImages("Image", 4, 4, resizing: ImageResizingEstimator.ResizingKind.Fill))
            .Append(ml.Transforms.ExtractPixels("Pixels", "Image", offsetImage: 127.5f, scaleImage: 1 / 127.5f)).Fit(files).Transform(files);

        Assert.AreEqual(new VectorDataViewType(NumberDataViewType.Single, 3, 4, 4), planes.Schema["Pixels"].Type);
        float[] pixels = planes.GetColumn<float[]>("Pixels").Single();
        Assert.AreEqual(1f, pixels[0], 1e-6f, "The first plane is red, and the first pixel red.");
        Assert.AreEqual(1f, pixels[5], 1e-6f, "Fill takes the nearest pixel.");
        Assert.AreEqual(-1f, pixels[16], 1e-6f, "No green in it.");
        Assert.AreEqual(1f, pixels[16 + 2], 1e-6f, "The second pixel is green.");
        Directory.Delete(folder, true);
    }

    [TestMethod]
    public void LoadImages_WithoutTheFileOrTheFolder_Fails()
    {
        var ml = new MLContext();
        IDataView files = ml.Data.LoadFromEnumerable(new[] { new Source { Path = "not-there.png" } });
        Assert.ThrowsExactly<ArgumentException>(() => ml.Transforms.LoadImages("Image", Path.Combine(Path.GetTempPath(), "no-such-folder"), "Path"));
        IDataView images = ml.Transforms.LoadImages("Image", Path.GetTempPath(), "Path").Fit(files).Transform(files);
        Assert.ThrowsExactly<FileNotFoundException>(() => images.GetColumn<MLImage>("Image").ToArray());
    }

    [TestMethod]
    public void VectorsAndImages_ConvertThereAndBack()
    {
        var ml = new MLContext();
        float[] planes = [255, 0, 0, 60, 0, 255, 0, 60, 0, 0, 255, 60];
        IDataView data = ml.Data.LoadFromEnumerable(new[] { new Vector { Pixels = planes } });
        IDataView images = ml.Transforms.ConvertToImage(2, 2, "Image", "Pixels")
            .Append(ml.Transforms.ExtractPixels("Interleaved", "Image", interleavePixelColors: true)).Fit(data).Transform(data);

        Assert.AreEqual(new ImageDataViewType(2, 2), images.Schema["Image"].Type);
        CollectionAssert.AreEqual(_pixels, images.GetColumn<MLImage>("Image").Select(image => image.Pixels.ToArray()).Single());
        Assert.AreEqual(new VectorDataViewType(NumberDataViewType.Single, 2, 2, 3), images.Schema["Interleaved"].Type);
        CollectionAssert.AreEqual(new float[] { 255, 0, 0, 0, 255, 0 }, images.GetColumn<float[]>("Interleaved").Single()[..6]);
        Assert.ThrowsExactly<ArgumentOutOfRangeException>(() => ml.Transforms.ConvertToImage(3, 3, "Image", "Pixels").Fit(data));
    }

    [TestMethod]
    public void PaddingAndGrey_KeepFlatColours()
    {
        var ml = new MLContext();
        byte[] flat = [.. Enumerable.Range(0, 4).SelectMany(_ => new byte[] { 100, 100, 100, 255 })];
        IDataView data = ml.Data.LoadFromEnumerable(new[] { new Picture { Image = MLImage.CreateFromPixels(2, 2, MLPixelFormat.Bgra32, flat) } });
        IDataView padded = ml.Transforms.ResizeImages("Padded", 4, 2, "Image", ImageResizingEstimator.ResizingKind.IsoPad)
            .Append(ml.Transforms.ConvertToGrayscale("Padded")).Fit(data).Transform(data);
        byte[] bgr = padded.GetColumn<MLImage>("Padded").Select(image => image.GetBGRPixels).Single();

        Assert.AreEqual(0, bgr[0]);
        Assert.AreEqual(100, bgr[3], 1);
        Assert.AreEqual(100, bgr[6], 1);
        Assert.AreEqual(0, bgr[9]);
    }

    [TestMethod]
    public void CacheAndShuffle_LeaveImagesOut()
    {
        var ml = new MLContext();
        IDataView data = ml.Data.LoadFromEnumerable(new[] { new Picture { A = 1 } });
        CollectionAssert.AreEqual(new[] { "A" }, ml.Data.Cache(data).Schema.Select(column => column.Name).ToArray());
        CollectionAssert.AreEqual(new[] { "A" }, ml.Data.ShuffleRows(data).Schema.Select(column => column.Name).ToArray());
        Assert.HasCount(2, ml.Data.TakeRows(data, 1).Schema);
    }
}
