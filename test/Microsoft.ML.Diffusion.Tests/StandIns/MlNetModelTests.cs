using System.IO.Compression;
using Microsoft.ML.Data;
using Microsoft.ML.Transforms;
using Microsoft.ML.Transforms.Image;

namespace Microsoft.ML.Diffusion.Tests.StandIns;

/// <summary>ML.NET's model file: what goes in, what comes out, what is refused.</summary>
[TestClass]
public class MlNetModelTests
{
    public sealed class Input
    {
        public float A { get; set; }

        public string Name { get; set; } = "";

        [ImageType(2, 2)]
        public MLImage? Image { get; set; }
    }

    public sealed class Mapped
    {
        public float Doubled { get; set; }
    }

    public sealed class Plain
    {
        public float A { get; set; }
    }

    [CustomMappingFactoryAttribute("DoubleForTheModelTests")]
    public sealed class Doubling : CustomMappingFactory<Plain, Mapped>
    {
        public override Action<Plain, Mapped> GetMapping() => (source, destination) => destination.Doubled = 2 * source.A;
    }

    private static readonly Input[] _rows = [new() { A = 1, Name = "x" }, new() { A = 2, Name = "y" }];

    [TestMethod]
    public void AChain_LoadsWithItsSchemaAndDoesTheSame()
    {
        var ml = new MLContext();
        IDataView data = ml.Data.LoadFromEnumerable(_rows);
        var model = ml.Transforms.Conversion.MapValueToKey("Key", "Name")
            .Append(ml.Transforms.CopyColumns("Copy", "A"))
            .Append(ml.Transforms.NormalizeMinMax("Norm", "A"))
            .Append(ml.Transforms.CustomMapping(new Doubling().GetMapping(), "DoubleForTheModelTests"))
            .Append(ml.Transforms.DropColumns("Name")).Fit(data);
        using var file = new MemoryStream();
        ml.Model.Save(model, data.Schema, file);
        file.Position = 0;

        ITransformer loaded = new MLContext().Model.Load(file, out DataViewSchema schema);
        IDataView there = model.Transform(data), back = loaded.Transform(data);

        CollectionAssert.AreEqual(there.GetColumn<uint>("Key").ToArray(), back.GetColumn<uint>("Key").ToArray());
        CollectionAssert.AreEqual(there.GetColumn<float>("Norm").ToArray(), back.GetColumn<float>("Norm").ToArray());
        CollectionAssert.AreEqual(new[] { 2f, 4f }, back.GetColumn<float>("Doubled").ToArray());
        Assert.IsNull(back.Schema.GetColumnOrNull("Name"));
        Assert.IsInstanceOfType<TransformerChain<ITransformer>>(loaded);
        Assert.AreEqual(NumberDataViewType.Single, schema["A"].Type);
        Assert.IsNull(schema.GetColumnOrNull("Image"), "A schema in a model leaves out columns of types of their own.");
    }

    [TestMethod]
    public void AModelFile_IsADeflatedZipOfStreams()
    {
        var ml = new MLContext();
        IDataView data = ml.Data.LoadFromEnumerable(_rows);
        using var file = new MemoryStream();
        ml.Model.Save(ml.Transforms.CopyColumns("Copy", "A").Append(ml.Transforms.CopyColumns("Copy2", "A")).Fit(data), data.Schema, file);
        using var zip = new ZipArchive(file, ZipArchiveMode.Read);

        string[] names = [.. zip.Entries.Select(entry => entry.FullName)];
        CollectionAssert.Contains(names, Path.Combine("TransformerChain", "Model.key"));
        CollectionAssert.Contains(names, Path.Combine("TransformerChain", "Transform_001", "Model.key"));
        CollectionAssert.Contains(names, "Schema");
    }

    [TestMethod]
    public void ASchemaOfImagesAlone_CannotBeSaved()
    {
        var ml = new MLContext();
        IDataView data = ml.Data.LoadFromEnumerable(_rows);
        IDataView images = ml.Transforms.SelectColumns("Image").Fit(data).Transform(data);
        ITransformer model = ml.Transforms.CopyColumns("Copy", "Image").Fit(images);
        Assert.ThrowsExactly<InvalidOperationException>(() => ml.Model.Save(model, images.Schema, new MemoryStream()));
        ml.Model.Save(model, null, new MemoryStream());
    }

    [TestMethod]
    public void WithoutASchema_NoneComesBack()
    {
        var ml = new MLContext();
        using var file = new MemoryStream();
        ml.Model.Save(ml.Transforms.CopyColumns("Copy", "A").Fit(ml.Data.LoadFromEnumerable(_rows)), null, file);
        file.Position = 0;
        ml.Model.Load(file, out DataViewSchema schema);
        Assert.IsNull(schema);
    }

    [TestMethod]
    public void Rubbish_IsAFormatError()
        => Assert.ThrowsExactly<FormatException>(() => new MLContext().Model.Load(new MemoryStream([1, 2, 3, 4]), out _));

    [TestMethod]
    public void AMappingWithoutAContract_CannotBeSaved()
    {
        var ml = new MLContext();
        IDataView data = ml.Data.LoadFromEnumerable(_rows);
        ITransformer model = ml.Transforms.CustomMapping<Plain, Mapped>((source, destination) => destination.Doubled = 2 * source.A, null).Fit(data);
        Assert.ThrowsExactly<InvalidOperationException>(() => ml.Model.Save(model, data.Schema, new MemoryStream()));
    }
}
