using Microsoft.ML;

[assembly: LoadableClass(typeof(ImagePixelExtractingTransformer), null, typeof(SignatureLoadModel), "Image Pixel Extractor Transform", ImagePixelExtractingTransformer.LoaderSignature)]

namespace Microsoft.ML.Transforms.Image;

public sealed class ImagePixelExtractingEstimator : TrivialEstimator<ImagePixelExtractingTransformer>
{
    internal ImagePixelExtractingEstimator(IHostEnvironment env, string outputColumnName, string inputColumnName = null,
        ColorBits colorsToExtract = ColorBits.Rgb, ColorsOrder orderOfExtraction = ColorsOrder.ARGB, bool interleavePixelColors = false,
        float offsetImage = 0f, float scaleImage = 1f, bool outputAsFloatArray = true)
        : base(env.Register(nameof(ImagePixelExtractingEstimator)), new ImagePixelExtractingTransformer(env, outputColumnName, inputColumnName,
            colorsToExtract, orderOfExtraction, interleavePixelColors, offsetImage, scaleImage, outputAsFloatArray)) { }

    public override SchemaShape GetOutputSchema(SchemaShape inputSchema) => Shapes.Add(inputSchema, Transformer.ColumnPairs, (_, input)
        => new SchemaShape.Column(ImageColumns.Check(input).Name, SchemaShape.Column.VectorKind.Vector, Transformer.ItemType, false));

    [Flags]
    public enum ColorBits : byte
    {
        Alpha = 1,
        Red = 2,
        Green = 4,
        Blue = 8,
        Rgb = 14,
        All = 15,
    }

    public enum ColorsOrder : byte
    {
        ARGB = 1,
        ARBG = 2,
        ABRG = 3,
        ABGR = 4,
        AGRB = 5,
        AGBR = 6,
    }

    /// <summary>The colours in the order they come in, of those that are wanted.</summary>
    internal static ColorBits[] Planes(ColorsOrder order, ColorBits colors) => [.. order.ToString().Select(letter => letter switch
    {
        'A' => ColorBits.Alpha,
        'R' => ColorBits.Red,
        'G' => ColorBits.Green,
        _ => ColorBits.Blue,
    }).Where(color => colors.HasFlag(color))];
}

public sealed class ImagePixelExtractingTransformer : OneToOneTransformerBase
{
    internal const string LoaderSignature = "ImagePixelExtractor";

    private static readonly VersionInfo _version = new("IMGPXEXT", 0x00010003, 0x00010002, 0x00010002,
        typeof(ImagePixelExtractingTransformer).Assembly.FullName, LoaderSignature);

    private readonly ImagePixelExtractingEstimator.ColorBits _colors;
    private readonly ImagePixelExtractingEstimator.ColorsOrder _order;
    private readonly bool _interleave;
    private readonly float _offset;
    private readonly float _scale;
    private readonly bool _asFloat;

    internal ImagePixelExtractingTransformer(IHostEnvironment env, string outputColumnName, string inputColumnName = null,
        ImagePixelExtractingEstimator.ColorBits colorsToExtract = ImagePixelExtractingEstimator.ColorBits.Rgb,
        ImagePixelExtractingEstimator.ColorsOrder orderOfExtraction = ImagePixelExtractingEstimator.ColorsOrder.ARGB,
        bool interleavePixelColors = false, float offsetImage = 0f, float scaleImage = 1f, bool outputAsFloatArray = true)
        : base(env.Register(nameof(ImagePixelExtractingTransformer)), (outputColumnName, inputColumnName ?? outputColumnName))
    {
        Contracts.CheckParam((colorsToExtract & ImagePixelExtractingEstimator.ColorBits.All) != 0, nameof(colorsToExtract), "Need to use at least one color plane.");
        (_offset, _scale) = outputAsFloatArray ? (offsetImage, scaleImage) : (0, 1);
        Contracts.CheckParam(float.IsFinite(_offset), nameof(offsetImage));
        Contracts.CheckParam(float.IsFinite(_scale) && _scale != 0, nameof(scaleImage));
        (_colors, _order, _interleave, _asFloat) = (colorsToExtract, orderOfExtraction, interleavePixelColors, outputAsFloatArray);
    }

    private ImagePixelExtractingTransformer(IHost host, ModelLoadContext ctx) : base(host, ctx)
    {
        _colors = (ImagePixelExtractingEstimator.ColorBits)ctx.Reader.ReadByte();
        _order = (ImagePixelExtractingEstimator.ColorsOrder)ctx.Reader.ReadByte();
        _asFloat = ctx.Reader.ReadBoolean();
        _offset = ctx.Reader.ReadSingle();
        _scale = ctx.Reader.ReadSingle();
        _interleave = ctx.Reader.ReadBoolean();
    }

    internal PrimitiveDataViewType ItemType => _asFloat ? NumberDataViewType.Single : NumberDataViewType.Byte;

    private static ImagePixelExtractingTransformer Create(IHostEnvironment env, ModelLoadContext ctx)
    {
        ctx.CheckAtModel(_version);
        return new ImagePixelExtractingTransformer(env.Register(nameof(ImagePixelExtractingTransformer)), ctx);
    }

    private protected override void SaveModel(ModelSaveContext ctx)
    {
        ctx.CheckAtModel();
        ctx.SetVersionInfo(_version);
        SaveColumns(ctx);
        ctx.Writer.Write((byte)_colors);
        ctx.Writer.Write((byte)_order);
        ctx.Writer.Write(_asFloat);
        ctx.Writer.Write(_offset);
        ctx.Writer.Write(_scale);
        ctx.Writer.Write(_interleave);
    }

    private protected override void CheckInputColumn(DataViewSchema inputSchema, int col, int srcCol)
    {
        ImageDataViewType type = ImageColumns.Check(inputSchema[srcCol]);
        if (type.Height <= 0 || type.Width <= 0)
            throw Contracts.ExceptSchemaMismatch(nameof(inputSchema), "input", ColumnPairs[col].inputColumnName, "known-size image", "unknown-size image");
    }

    private protected override DataViewSchema.DetachedColumn OutputColumn(int col, DataViewSchema.Column input)
    {
        var type = (ImageDataViewType)input.Type;
        int planes = ImagePixelExtractingEstimator.Planes(_order, _colors).Length;
        return new(ColumnPairs[col].outputColumnName, _interleave
            ? new VectorDataViewType(ItemType, type.Height, type.Width, planes)
            : new VectorDataViewType(ItemType, planes, type.Height, type.Width));
    }

    private protected override Delegate MakeGetter(DataViewRow input, int col, DataViewSchema.Column source, out Action disposer)
        => _asFloat
            ? Getter(input, source, value => (value - _offset) * _scale, out disposer)
            : Getter(input, source, value => value, out disposer);

    private ValueGetter<VBuffer<T>> Getter<T>(DataViewRow input, DataViewSchema.Column source, Func<byte, T> convert, out Action disposer)
    {
        ValueGetter<MLImage> getImage = input.GetGetter<MLImage>(source);
        var type = (ImageDataViewType)source.Type;
        ImagePixelExtractingEstimator.ColorBits[] planes = ImagePixelExtractingEstimator.Planes(_order, _colors);
        MLImage image = null;
        disposer = () => image?.Dispose();
        return (ref VBuffer<T> destination) =>
        {
            getImage(ref image);
            int count = type.Height * type.Width;
            if (image == null)
            {
                destination = VBufferEditor.Create(ref destination, count * planes.Length, 0).Commit();
                return;
            }
            Contracts.Check(image.Height == type.Height && image.Width == type.Width);
            VBufferEditor<T> editor = VBufferEditor.Create(ref destination, count * planes.Length);
            ReadOnlySpan<byte> pixels = image.Pixels;
            bool bgra = image.PixelFormat == MLPixelFormat.Bgra32;
            for (int plane = 0; plane < planes.Length; plane++)
            {
                int from = planes[plane] switch
                {
                    ImagePixelExtractingEstimator.ColorBits.Alpha => 3,
                    ImagePixelExtractingEstimator.ColorBits.Green => 1,
                    ImagePixelExtractingEstimator.ColorBits.Red => bgra ? 2 : 0,
                    _ => bgra ? 0 : 2,
                };
                (int to, int step) = _interleave ? (plane, planes.Length) : (plane * count, 1);
                for (; from < pixels.Length; from += 4, to += step)
                    editor.Values[to] = convert(pixels[from]);
            }
            destination = editor.Commit();
        };
    }
}
