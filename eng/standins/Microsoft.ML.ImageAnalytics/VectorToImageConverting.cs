using Microsoft.ML;
using ColorBits = Microsoft.ML.Transforms.Image.ImagePixelExtractingEstimator.ColorBits;
using ColorsOrder = Microsoft.ML.Transforms.Image.ImagePixelExtractingEstimator.ColorsOrder;

[assembly: LoadableClass(typeof(VectorToImageConvertingTransformer), null, typeof(SignatureLoadModel), "Vector To Image Transform", VectorToImageConvertingTransformer.LoaderSignature)]

namespace Microsoft.ML.Transforms.Image;

public sealed class VectorToImageConvertingEstimator : TrivialEstimator<VectorToImageConvertingTransformer>
{
    internal VectorToImageConvertingEstimator(IHostEnvironment env, int imageHeight, int imageWidth, string outputColumnName, string inputColumnName = null,
        ColorBits colorsPresent = ColorBits.Rgb, ColorsOrder orderOfColors = ColorsOrder.ARGB, bool interleavedColors = false,
        float scaleImage = 1f, float offsetImage = 0f, int defaultAlpha = 255, int defaultRed = 0, int defaultGreen = 0, int defaultBlue = 0)
        : base(env.Register(nameof(VectorToImageConvertingEstimator)), new VectorToImageConvertingTransformer(env, outputColumnName, imageHeight, imageWidth,
            inputColumnName, colorsPresent, orderOfColors, interleavedColors, scaleImage, offsetImage, defaultAlpha, defaultRed, defaultGreen, defaultBlue)) { }

    public override SchemaShape GetOutputSchema(SchemaShape inputSchema) => Shapes.Add(inputSchema, Transformer.ColumnPairs, (_, input) =>
    {
        if (input.Kind != SchemaShape.Column.VectorKind.Vector || !VectorToImageConvertingTransformer.IsSupported(input.ItemType))
            throw Contracts.ExceptSchemaMismatch(nameof(inputSchema), "input", input.Name, "known-size vector of type Single, Double or Byte", $"{input.Kind} of {input.ItemType}");
        return new SchemaShape.Column(input.Name, SchemaShape.Column.VectorKind.Scalar, Transformer.Type, false);
    });
}

public sealed class VectorToImageConvertingTransformer : OneToOneTransformerBase
{
    internal const string LoaderSignature = "VectorToImageConverter";

    private static readonly VersionInfo _version = new("VECTOIMG", 0x00010003, 0x00010002, 0x00010002,
        typeof(VectorToImageConvertingTransformer).Assembly.FullName, LoaderSignature);

    private readonly ColorBits _colors;
    private readonly ColorsOrder _order;
    private readonly bool _interleaved;
    private readonly float _scale;
    private readonly float _offset;
    private readonly int[] _defaults;

    internal VectorToImageConvertingTransformer(IHostEnvironment env, string outputColumnName, int imageHeight, int imageWidth, string inputColumnName = null,
        ColorBits colorsPresent = ColorBits.Rgb, ColorsOrder orderOfColors = ColorsOrder.ARGB, bool interleavedColors = false,
        float scaleImage = 1f, float offsetImage = 0f, int defaultAlpha = 255, int defaultRed = 0, int defaultGreen = 0, int defaultBlue = 0)
        : base(env.Register(nameof(VectorToImageConvertingTransformer)), (outputColumnName, inputColumnName ?? outputColumnName))
    {
        Contracts.CheckParam((colorsPresent & ColorBits.All) != 0, nameof(colorsPresent), "Need to use at least one color plane");
        Contracts.CheckParam(imageWidth > 0, nameof(imageWidth), "Image width must be greater than zero");
        Contracts.CheckParam(imageHeight > 0, nameof(imageHeight), "Image height must be greater than zero");
        Contracts.CheckParam(float.IsFinite(offsetImage), nameof(offsetImage));
        Contracts.CheckParam(float.IsFinite(scaleImage) && scaleImage != 0, nameof(scaleImage));
        (_colors, _order, _interleaved, _scale, _offset) = (colorsPresent, orderOfColors, interleavedColors, scaleImage, offsetImage);
        _defaults = [defaultBlue, defaultGreen, defaultRed, defaultAlpha];
        Type = new ImageDataViewType(imageHeight, imageWidth);
    }

    private VectorToImageConvertingTransformer(IHost host, ModelLoadContext ctx) : base(host, ctx)
    {
        _colors = (ColorBits)ctx.Reader.ReadByte();
        _order = (ColorsOrder)ctx.Reader.ReadByte();
        _interleaved = ctx.Reader.ReadBoolean();
        _scale = ctx.Reader.ReadSingle();
        _offset = ctx.Reader.ReadSingle();
        _defaults = [ctx.Reader.ReadInt32(), ctx.Reader.ReadInt32(), ctx.Reader.ReadInt32(), ctx.Reader.ReadInt32()];
        Type = new ImageDataViewType(ctx.Reader.ReadInt32(), ctx.Reader.ReadInt32());
    }

    internal ImageDataViewType Type { get; }

    internal static bool IsSupported(DataViewType type)
        => type == NumberDataViewType.Single || type == NumberDataViewType.Double || type == NumberDataViewType.Byte;

    private static VectorToImageConvertingTransformer Create(IHostEnvironment env, ModelLoadContext ctx)
    {
        ctx.CheckAtModel(_version);
        return new VectorToImageConvertingTransformer(env.Register(nameof(VectorToImageConvertingTransformer)), ctx);
    }

    private protected override void SaveModel(ModelSaveContext ctx)
    {
        ctx.CheckAtModel();
        ctx.SetVersionInfo(_version);
        SaveColumns(ctx);
        ctx.Writer.Write((byte)_colors);
        ctx.Writer.Write((byte)_order);
        ctx.Writer.Write(_interleaved);
        ctx.Writer.Write(_scale);
        ctx.Writer.Write(_offset);
        Array.ForEach(_defaults, ctx.Writer.Write);
        ctx.Writer.Write(Type.Height);
        ctx.Writer.Write(Type.Width);
    }

    private protected override void CheckInputColumn(DataViewSchema inputSchema, int col, int srcCol)
    {
        int planes = ImagePixelExtractingEstimator.Planes(_order, _colors).Length;
        string name = ColumnPairs[col].inputColumnName;
        DataViewType type = inputSchema[srcCol].Type;
        if (type is not VectorDataViewType vector)
            throw Contracts.ExceptSchemaMismatch(nameof(inputSchema), "input", name, "image", type.ToString());
        if (vector.Size != Type.Height * Type.Width * planes)
            throw Contracts.ExceptSchemaMismatch(nameof(inputSchema), "input", name,
                new VectorDataViewType(vector.ItemType, Type.Height, Type.Width, planes).ToString(), vector.ToString());
    }

    private protected override DataViewSchema.DetachedColumn OutputColumn(int col, DataViewSchema.Column input)
        => new(ColumnPairs[col].outputColumnName, Type);

    private protected override Delegate MakeGetter(DataViewRow input, int col, DataViewSchema.Column source, out Action disposer)
    {
        disposer = null;
        bool scaled = _offset != 0 || _scale != 1;
        DataViewType item = source.Type.GetItemType();
        return item == NumberDataViewType.Single ? Getter<float>(input, source, scaled)
            : item == NumberDataViewType.Double ? Getter<double>(input, source, scaled)
            : item == NumberDataViewType.Byte ? Getter<byte>(input, source, false)
            : throw Contracts.Except("We only support float, double or byte arrays");
    }

    private ValueGetter<MLImage> Getter<T>(DataViewRow input, DataViewSchema.Column source, bool scaled) where T : IConvertible
    {
        ValueGetter<VBuffer<T>> getVector = input.GetGetter<VBuffer<T>>(source);
        ColorBits[] planes = ImagePixelExtractingEstimator.Planes(_order, _colors);
        ColorBits[] stored = [ColorBits.Blue, ColorBits.Green, ColorBits.Red, ColorBits.Alpha];
        int count = Type.Height * Type.Width;
        VBuffer<T> vector = default;
        return (ref MLImage destination) =>
        {
            getVector(ref vector);
            if (vector.GetValues().Length == 0)
            {
                destination = null;
                return;
            }
            var values = new T[vector.Length];
            vector.CopyTo(values);
            var pixels = new byte[count * 4];
            for (int i = 0; i < pixels.Length; i++)
            {
                int plane = Array.IndexOf(planes, stored[i % 4]);
                float value = plane < 0 ? _defaults[i % 4] : Convert.ToSingle(values[_interleaved ? i / 4 * planes.Length + plane : plane * count + i / 4]);
                bool missingAlpha = scaled && plane < 0 && i % 4 == 3;
                // Alpha that is not among the planes becomes 0 once a scale or an offset is given: the real package's doing.
                pixels[i] = missingAlpha ? (byte)0 : (byte)(scaled ? MathF.Round(value * _scale - _offset) : value);
            }
            destination = MLImage.CreateFromPixels(Type.Width, Type.Height, MLPixelFormat.Bgra32, pixels);
            destination.Tag = nameof(VectorToImageConvertingTransformer);
        };
    }
}
