using Microsoft.ML.Data;
using Microsoft.ML.Transforms.Image;

namespace Microsoft.ML.Diffusion.Tests;

/// <summary>Every kind of image column through training and out of the generator again.</summary>
[TestClass]
public sealed class DdpmColumnTests
{
    private const int Height = 8, Width = 6;
    private static readonly MLContext s_context = new(seed: 1);

    private sealed class Planar
    {
        [VectorType(3, Height, Width)]
        public float[] Image { get; set; } = Values(v => v / 255f, planar: true);
    }

    private sealed class Interleaved
    {
        [VectorType(Height, Width, 3)]
        public double[] Image { get; set; } = Values(v => 2 * v / 255.0 - 1, planar: false);
    }

    private sealed class Bytes
    {
        [VectorType(Height, Width)]
        public byte[] Image { get; set; } = new byte[Height * Width];
    }

    private sealed class Picture
    {
        [ImageType(Height, Width)]
        public MLImage Image { get; set; } = null!;
    }

    private sealed class Request
    {
        public long Seed { get; set; }
    }

    [TestMethod]
    public void SingleVectorsInAStatedRange() => AssertRange(
        Generate<VBuffer<float>>(Rows<Planar>(), 0, 1, new VectorDataViewType(NumberDataViewType.Single, 3, Height, Width)).Select(v => v.DenseValues().Select(x => (double)x)), 0, 1);

    [TestMethod]
    public void InterleavedDoubleVectors() => AssertRange(
        Generate<VBuffer<double>>(Rows<Interleaved>(), -1, 1, new VectorDataViewType(NumberDataViewType.Double, Height, Width, 3)).Select(v => v.DenseValues()), -1, 1);

    [TestMethod]
    public void ByteVectorsWithoutADimensionForTheChannel() => AssertRange(
        Generate<VBuffer<byte>>(Rows<Bytes>(), 0, 255, new VectorDataViewType(NumberDataViewType.Byte, Height, Width)).Select(v => v.DenseValues().Select(x => (double)x)), 0, 255);

    // Planar and interleaved training data of the same pictures make the same model: the first differs from the second by the order of its values alone.
    [TestMethod]
    public void TheOrderOfTheValuesChangesNoPixel()
    {
        float[] planar = Generate<VBuffer<float>>(Rows<Planar>(), 0, 1, null)[0].DenseValues().ToArray();
        double[] interleaved = Generate<VBuffer<double>>(Rows<Interleaved>(), -1, 1, null)[0].DenseValues().ToArray();
        for (int i = 0; i < planar.Length; i++)
        {
            int channel = i / (Height * Width), pixel = i % (Height * Width);
            Assert.AreEqual(2 * planar[i] - 1, interleaved[pixel * 3 + channel], 1e-3, $"channel {channel}, pixel {pixel}");
        }
    }

    [TestMethod]
    [DataRow(1)]
    [DataRow(3)]
    [DataRow(4)]
    public void PicturesInPicturesOut(int channels)
    {
        var options = Options();
        options.ImageChannels = channels;
        using var model = s_context.Generative.Ddpm(options).Fit(Pictures());
        var view = model.Transform(Requests());
        Assert.AreEqual(new ImageDataViewType(Height, Width), view.Schema["Image"].Type);

        // All of them are alive after the last one has been read.
        var pictures = s_context.Data.CreateEnumerable<Picture>(view, reuseRowObject: false).ToList();
        Assert.HasCount(3, pictures);
        foreach (var picture in pictures.Select(p => p.Image))
        {
            Assert.AreEqual((Height, Width), (picture.Height, picture.Width));
            var pixels = picture.Pixels.ToArray();
            Assert.AreNotEqual(1, pixels.Where((_, i) => i % 4 == 0).Distinct().Count(), "an image, not a plain colour");
            for (int i = 0; i < pixels.Length && channels < 4; i += 4)
            {
                Assert.AreEqual(255, pixels[i + 3]);
                Assert.IsTrue(channels == 3 || (pixels[i] == pixels[i + 1] && pixels[i] == pixels[i + 2]), "grey");
            }
        }
        foreach (var picture in pictures)
            picture.Image.Dispose();
    }

    // ML.NET leaves image columns out of the schemas that it saves, and refuses one of nothing else.
    [TestMethod]
    public void AnUnconditionalModelOfPicturesIsSavedWithoutASchema()
    {
        using var model = s_context.Generative.Ddpm(Options()).Fit(Pictures());
        using var file = new MemoryStream();
        s_context.Model.Save(model, null, file);
        file.Position = 0;
        var loaded = new MLContext().Model.Load(file, out var schema);
        using var owned = loaded as IDisposable;
        Assert.IsNull(schema);
        using var expected = model.Transform(Requests()).GetColumn<MLImage>("Image").First();
        using var actual = loaded.Transform(Requests()).GetColumn<MLImage>("Image").First();
        CollectionAssert.AreEqual(expected.Pixels.ToArray(), actual.Pixels.ToArray());
    }

    [TestMethod]
    public void APredictionEnginesPicturesStayAlive()
    {
        using var model = s_context.Generative.Ddpm(Options()).Fit(Pictures());
        using var engine = s_context.Model.CreatePredictionEngine<Request, Picture>(model, new PredictionEngineOptions { OwnsTransformer = false });
        using var first = engine.Predict(new Request { Seed = 1 }).Image;
        using var second = engine.Predict(new Request { Seed = 2 }).Image;
        CollectionAssert.AreNotEqual(first.Pixels.ToArray(), second.Pixels.ToArray());
    }

    [TestMethod]
    public void ConvertToImageAcceptsTheGeneratedVector()
    {
        using var model = s_context.Generative.Ddpm(Options(0, 1)).Fit(Rows<Planar>());
        var generated = model.Transform(Requests());
        var converted = s_context.Transforms.ConvertToImage(Height, Width, "Picture", "Image", scaleImage: 255).Fit(generated).Transform(generated);
        float[] values = generated.GetColumn<VBuffer<float>>("Image").First().DenseValues().ToArray();
        using var picture = converted.GetColumn<MLImage>("Picture").First();
        int red = picture.PixelFormat == MLPixelFormat.Bgra32 ? 2 : 0;
        for (int i = 0; i < Height * Width; i++)
            Assert.AreEqual(values[i] * 255, picture.Pixels[4 * i + red], 1.0);
    }

    [TestMethod]
    public void PicturesOfNoFixedSizeAreSentToResizeImages()
    {
        var builder = new DataViewSchema.Builder();
        builder.AddColumn("Image", new ImageDataViewType());
        var error = Assert.ThrowsExactly<ArgumentOutOfRangeException>(() => TrainingPlan.Create(Options(), builder.ToSchema(), 1));
        StringAssert.Contains(error.Message, "ResizeImages");
        var resized = s_context.Transforms.ResizeImages("Small", 8, 4, "Image").Append(s_context.Generative.Ddpm(Options("Small")));
        using var model = resized.Fit(Pictures());
        Assert.AreEqual((4, 8), (model.LastTransformer.Shape.Height, model.LastTransformer.Shape.Width));
    }

    private static DdpmTrainer.Options Options(string image)
    {
        var options = Options();
        options.ImageColumnName = image;
        return options;
    }

    private static DdpmTrainer.Options Options(double minimum = 0, double maximum = 255)
    {
        var options = TinyData.Options(steps: 1);
        options.LabelColumnName = null;
        options.BatchSize = 2;
        options.Sampler = DiffusionSampler.Ddim(2);
        (options.PixelMinimum, options.PixelMaximum) = (minimum, maximum);
        return options;
    }

    private static T[] Generate<T>(IDataView data, double minimum, double maximum, DataViewType? expected)
    {
        using var model = s_context.Generative.Ddpm(Options(minimum, maximum)).Fit(data);
        var view = model.Transform(Requests());
        Assert.AreEqual(expected ?? data.Schema["Image"].Type, view.Schema["Image"].Type);
        return [.. view.GetColumn<T>("Image")];
    }

    private static IDataView Rows<T>() where T : class, new() => s_context.Data.LoadFromEnumerable(Enumerable.Range(0, 4).Select(_ => new T()).ToList());

    private static IDataView Requests() => s_context.Data.LoadFromEnumerable(Enumerable.Range(0, 3).Select(i => new Request { Seed = i }).ToList());

    private static IDataView Pictures() => s_context.Data.LoadFromEnumerable(Enumerable.Range(0, 4).Select(_ => new Picture
    {
        Image = MLImage.CreateFromPixels(Width, Height, MLPixelFormat.Bgra32, [.. Enumerable.Range(0, 4 * Height * Width).Select(i => (byte)(i % 4 == 3 ? 255 : i))]),
    }).ToList());

    private static void AssertRange(IEnumerable<IEnumerable<double>> images, double minimum, double maximum)
    {
        double[] all = [.. images.SelectMany(v => v)];
        Assert.IsTrue(all.Min() >= minimum && all.Max() <= maximum);
        Assert.IsGreaterThan((maximum - minimum) / 4, all.Max() - all.Min(), "noise this little trained fills the range");
    }

    private static T[] Values<T>(Func<int, T> convert, bool planar) => [.. Enumerable.Range(0, 3 * Height * Width).Select(i =>
    {
        (int channel, int pixel) = planar ? (i / (Height * Width), i % (Height * Width)) : (i % 3, i / 3);
        return convert((channel * 80 + pixel * 3) % 256);
    })];
}
