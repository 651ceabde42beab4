using Microsoft.ML;

[assembly: LoadableClass(typeof(ImageLoadingTransformer), null, typeof(SignatureLoadModel), "Image Loader Transform", ImageLoadingTransformer.LoaderSignature)]

namespace Microsoft.ML.Data;

public sealed class ImageLoadingEstimator : TrivialEstimator<ImageLoadingTransformer>
{
    internal ImageLoadingEstimator(IHostEnvironment env, string imageFolder, params (string outputColumnName, string inputColumnName)[] columns)
        : base(env.Register(nameof(ImageLoadingEstimator)), new ImageLoadingTransformer(env, imageFolder, columns)) { }

    public override SchemaShape GetOutputSchema(SchemaShape inputSchema) => Shapes.Add(inputSchema, Transformer.ColumnPairs, (_, input) =>
    {
        if (input.ItemType is not TextDataViewType || input.Kind != SchemaShape.Column.VectorKind.Scalar)
            throw Contracts.ExceptSchemaMismatch(nameof(inputSchema), "input", input.Name, TextDataViewType.Instance.ToString(), input.ItemType.ToString());
        return new SchemaShape.Column(input.Name, SchemaShape.Column.VectorKind.Scalar, new ImageDataViewType(), false);
    });
}

public sealed class ImageLoadingTransformer : OneToOneTransformerBase
{
    internal const string LoaderSignature = "ImageLoaderTransform";

    private static readonly VersionInfo _version = new("IMGLOADR", 0x00010003, 0x00010003, 0x00010003,
        typeof(ImageLoadingTransformer).Assembly.FullName, LoaderSignature);

    public readonly string ImageFolder;

    internal ImageLoadingTransformer(IHostEnvironment env, string imageFolder = null, params (string outputColumnName, string inputColumnName)[] columns)
        : base(env.Register(nameof(ImageLoadingTransformer)), columns)
    {
        if (string.IsNullOrEmpty(imageFolder))
            return;
        if (!Directory.Exists(imageFolder))
            throw new ArgumentException($"Directory \"{imageFolder}\" does not exist.");
        ImageFolder = Path.GetFullPath(imageFolder);
    }

    private ImageLoadingTransformer(IHost host, ModelLoadContext ctx) : base(host, ctx) => ImageFolder = ctx.LoadStringOrNull();

    private static ImageLoadingTransformer Create(IHostEnvironment env, ModelLoadContext ctx)
    {
        ctx.CheckAtModel(_version);
        return new ImageLoadingTransformer(env.Register(nameof(ImageLoadingTransformer)), ctx);
    }

    private protected override void SaveModel(ModelSaveContext ctx)
    {
        ctx.CheckAtModel();
        ctx.SetVersionInfo(_version);
        SaveColumns(ctx);
        ctx.SaveStringOrNull(ImageFolder);
    }

    private protected override void CheckInputColumn(DataViewSchema inputSchema, int col, int srcCol)
    {
        if (inputSchema[srcCol].Type is not TextDataViewType)
            throw Contracts.ExceptSchemaMismatch(nameof(inputSchema), "input", ColumnPairs[col].inputColumnName, TextDataViewType.Instance.ToString(), inputSchema[srcCol].Type.ToString());
    }

    private protected override DataViewSchema.DetachedColumn OutputColumn(int col, DataViewSchema.Column input)
        => new(ColumnPairs[col].outputColumnName, new ImageDataViewType());

    // The getter owns its last image: it goes when the next one comes, and with the cursor.
    private protected override Delegate MakeGetter(DataViewRow input, int col, DataViewSchema.Column source, out Action disposer)
    {
        ValueGetter<ReadOnlyMemory<char>> getPath = input.GetGetter<ReadOnlyMemory<char>>(source);
        ReadOnlyMemory<char> path = default;
        MLImage last = null;
        disposer = () => last?.Dispose();
        return (ValueGetter<MLImage>)((ref MLImage destination) =>
        {
            destination?.Dispose();
            destination = null;
            getPath(ref path);
            if (path.Length > 0)
            {
                string file = string.IsNullOrWhiteSpace(ImageFolder) ? path.ToString() : Path.Combine(ImageFolder, path.ToString());
                destination = MLImage.CreateFromStream(new MemoryStream(File.ReadAllBytes(file)));
                destination.Tag = file;
            }
            last = destination;
        });
    }
}
