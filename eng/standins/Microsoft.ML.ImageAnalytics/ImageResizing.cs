using Microsoft.ML;

[assembly: LoadableClass(typeof(ImageResizingTransformer), null, typeof(SignatureLoadModel), "Image Resizer Transform", ImageResizingTransformer.LoaderSignature)]

namespace Microsoft.ML.Transforms.Image;

public sealed class ImageResizingEstimator : TrivialEstimator<ImageResizingTransformer>
{
    internal ImageResizingEstimator(IHostEnvironment env, string outputColumnName, int imageWidth, int imageHeight, string inputColumnName = null,
        ResizingKind resizing = ResizingKind.IsoCrop, Anchor cropAnchor = Anchor.Center)
        : base(env.Register(nameof(ImageResizingEstimator)), new ImageResizingTransformer(env, outputColumnName, imageWidth, imageHeight, inputColumnName, resizing, cropAnchor)) { }

    public override SchemaShape GetOutputSchema(SchemaShape inputSchema) => Shapes.Add(inputSchema, Transformer.ColumnPairs, (_, input)
        => new SchemaShape.Column(ImageColumns.Check(input).Name, SchemaShape.Column.VectorKind.Scalar, Transformer.Type, false));

    public enum Anchor : byte
    {
        Right = 0,
        Left = 1,
        Top = 2,
        Bottom = 3,
        Center = 4,
    }

    public enum ResizingKind : byte
    {
        IsoPad = 0,
        IsoCrop = 1,
        Fill = 2,
    }
}

public sealed class ImageResizingTransformer : OneToOneTransformerBase
{
    internal const string LoaderSignature = "ImageScalerTransform";

    private static readonly VersionInfo _version = new("IMGSCALF", 0x00010002, 0x00010002, 0x00010002,
        typeof(ImageResizingTransformer).Assembly.FullName, LoaderSignature);

    private readonly int _width;
    private readonly int _height;
    private readonly ImageResizingEstimator.ResizingKind _resizing;
    private readonly ImageResizingEstimator.Anchor _anchor;

    internal ImageResizingTransformer(IHostEnvironment env, string outputColumnName, int imageWidth, int imageHeight, string inputColumnName = null,
        ImageResizingEstimator.ResizingKind resizing = ImageResizingEstimator.ResizingKind.IsoCrop,
        ImageResizingEstimator.Anchor cropAnchor = ImageResizingEstimator.Anchor.Center)
        : base(env.Register(nameof(ImageResizingTransformer)), (outputColumnName, inputColumnName ?? outputColumnName))
    {
        Contracts.CheckParam(imageWidth > 0, nameof(imageWidth));
        Contracts.CheckParam(imageHeight > 0, nameof(imageHeight));
        Contracts.CheckParam(Enum.IsDefined(resizing), nameof(resizing));
        Contracts.CheckParam(Enum.IsDefined(cropAnchor), "anchor");
        (_width, _height, _resizing, _anchor) = (imageWidth, imageHeight, resizing, cropAnchor);
        Type = new ImageDataViewType(_height, _width);
    }

    private ImageResizingTransformer(IHost host, ModelLoadContext ctx) : base(host, ctx)
    {
        _width = ctx.Reader.ReadInt32();
        _height = ctx.Reader.ReadInt32();
        _resizing = (ImageResizingEstimator.ResizingKind)ctx.Reader.ReadByte();
        _anchor = (ImageResizingEstimator.Anchor)ctx.Reader.ReadByte();
        Type = new ImageDataViewType(_height, _width);
    }

    internal ImageDataViewType Type { get; }

    private static ImageResizingTransformer Create(IHostEnvironment env, ModelLoadContext ctx)
    {
        ctx.CheckAtModel(_version);
        return new ImageResizingTransformer(env.Register(nameof(ImageResizingTransformer)), ctx);
    }

    private protected override void SaveModel(ModelSaveContext ctx)
    {
        ctx.CheckAtModel();
        ctx.SetVersionInfo(_version);
        SaveColumns(ctx);
        ctx.Writer.Write(_width);
        ctx.Writer.Write(_height);
        ctx.Writer.Write((byte)_resizing);
        ctx.Writer.Write((byte)_anchor);
    }

    private protected override void CheckInputColumn(DataViewSchema inputSchema, int col, int srcCol) => ImageColumns.Check(inputSchema[srcCol]);

    private protected override DataViewSchema.DetachedColumn OutputColumn(int col, DataViewSchema.Column input)
        => new(ColumnPairs[col].outputColumnName, Type);

    private protected override Delegate MakeGetter(DataViewRow input, int col, DataViewSchema.Column source, out Action disposer)
    {
        ValueGetter<MLImage> getter = ImageColumns.Getter(input, source, Resize, out _);
        // An image that has the size already is handed on, so it is not this getter's to dispose of.
        disposer = null;
        return getter;
    }

    private MLImage Resize(MLImage image)
    {
        if (image.Width == _width && image.Height == _height)
            return image;
        return _resizing == ImageResizingEstimator.ResizingKind.Fill
            ? ImageScaling.Fill(image, _width, _height)
            : ImageScaling.Draw(image, _width, _height, BoxFor(image));
    }

    private ImageScaling.Box BoxFor(MLImage image)
    {
        float byWidth = (float)_width / image.Width, byHeight = (float)_height / image.Height;
        bool pad = _resizing == ImageResizingEstimator.ResizingKind.IsoPad;
        bool tallFits = byHeight < byWidth;
        float aspect = tallFits == pad ? byHeight : byWidth;
        int spareX = (int)((_width - image.Width * aspect) / 2), spareY = (int)((_height - image.Height * aspect) / 2);
        int x = 0, y = 0;
        if (pad)
            (x, y) = tallFits ? (spareX, 0) : (0, spareY);
        else if (tallFits)
            y = _anchor switch
            {
                ImageResizingEstimator.Anchor.Top => 0,
                ImageResizingEstimator.Anchor.Bottom => (int)(_height - image.Height * aspect),
                _ => spareY,
            };
        else
            x = _anchor switch
            {
                ImageResizingEstimator.Anchor.Left => 0,
                ImageResizingEstimator.Anchor.Right => (int)(_width - image.Width * aspect),
                _ => spareX,
            };
        return new ImageScaling.Box(x, y, (int)(image.Width * aspect), (int)(image.Height * aspect));
    }
}
