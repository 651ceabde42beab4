using Microsoft.ML;

[assembly: LoadableClass(typeof(ImageGrayscalingTransformer), null, typeof(SignatureLoadModel), "Image Greyscale Transform", ImageGrayscalingTransformer.LoaderSignature)]

namespace Microsoft.ML.Transforms.Image;

public sealed class ImageGrayscalingEstimator : TrivialEstimator<ImageGrayscalingTransformer>
{
    internal ImageGrayscalingEstimator(IHostEnvironment env, params (string outputColumnName, string inputColumnName)[] columns)
        : base(env.Register(nameof(ImageGrayscalingEstimator)), new ImageGrayscalingTransformer(env, columns)) { }

    public override SchemaShape GetOutputSchema(SchemaShape inputSchema)
        => Shapes.Add(inputSchema, Transformer.ColumnPairs, (_, input) => ImageColumns.Check(input));
}

public sealed class ImageGrayscalingTransformer : OneToOneTransformerBase
{
    internal const string LoaderSignature = "ImageGrayscaleTransform";

    private static readonly VersionInfo _version = new("IMGGREYT", 0x00010001, 0x00010001, 0x00010001,
        typeof(ImageGrayscalingTransformer).Assembly.FullName, LoaderSignature);

    internal ImageGrayscalingTransformer(IHostEnvironment env, params (string outputColumnName, string inputColumnName)[] columns)
        : base(env.Register(nameof(ImageGrayscalingTransformer)), columns) { }

    private ImageGrayscalingTransformer(IHost host, ModelLoadContext ctx) : base(host, ctx) { }

    private static ImageGrayscalingTransformer Create(IHostEnvironment env, ModelLoadContext ctx)
    {
        ctx.CheckAtModel(_version);
        return new ImageGrayscalingTransformer(env.Register(nameof(ImageGrayscalingTransformer)), ctx);
    }

    private protected override void SaveModel(ModelSaveContext ctx)
    {
        ctx.CheckAtModel();
        ctx.SetVersionInfo(_version);
        SaveColumns(ctx);
    }

    private protected override void CheckInputColumn(DataViewSchema inputSchema, int col, int srcCol) => ImageColumns.Check(inputSchema[srcCol]);

    private protected override DataViewSchema.DetachedColumn OutputColumn(int col, DataViewSchema.Column input)
        => new(ColumnPairs[col].outputColumnName, input.Type);

    private protected override Delegate MakeGetter(DataViewRow input, int col, DataViewSchema.Column source, out Action disposer)
        => ImageColumns.Getter(input, source, ImageScaling.Grey, out disposer);
}

/// <summary>What the transforms from image to image share.</summary>
internal static class ImageColumns
{
    public static ImageDataViewType Check(DataViewSchema.Column column)
        => column.Type as ImageDataViewType ?? throw Contracts.ExceptSchemaMismatch("inputSchema", "input", column.Name, "image", column.Type.ToString());

    public static SchemaShape.Column Check(SchemaShape.Column column)
        => column.ItemType is ImageDataViewType && column.Kind == SchemaShape.Column.VectorKind.Scalar ? column
            : throw Contracts.ExceptSchemaMismatch("inputSchema", "input", column.Name, new ImageDataViewType().ToString(), column.ItemType.ToString());

    public static ValueGetter<MLImage> Getter(DataViewRow input, DataViewSchema.Column source, Func<MLImage, MLImage> convert, out Action disposer)
    {
        ValueGetter<MLImage> getSource = input.GetGetter<MLImage>(source);
        MLImage image = null;
        disposer = () => image?.Dispose();
        return (ref MLImage destination) =>
        {
            destination?.Dispose();
            getSource(ref image);
            if (image == null)
                return;
            MLImage converted = convert(image);
            converted.Tag = image.Tag;
            destination = converted;
        };
    }
}
