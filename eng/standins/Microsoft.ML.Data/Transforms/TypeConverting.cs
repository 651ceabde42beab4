using Microsoft.ML;
using Microsoft.ML.Transforms;

[assembly: LoadableClass(typeof(TypeConvertingTransformer), null, typeof(SignatureLoadModel), "Convert Transform", TypeConvertingTransformer.LoaderSignature)]

namespace Microsoft.ML.Transforms;

public sealed class TypeConvertingEstimator : TrivialEstimator<TypeConvertingTransformer>
{
    internal TypeConvertingEstimator(IHostEnvironment env, DataKind outputKind, params (string outputColumnName, string inputColumnName)[] columns)
        : base(env.Register(nameof(TypeConvertingEstimator)), new TypeConvertingTransformer(env, outputKind, columns)) { }

    public override SchemaShape GetOutputSchema(SchemaShape inputSchema) => Shapes.Add(inputSchema, Transformer.ColumnPairs, (_, input) =>
    {
        PrimitiveDataViewType type = DataTypes.PrimitiveFor(Transformer.Kind);
        Contracts.CheckParam(ValueConversion.Exists(input.ItemType, type), nameof(inputSchema), $"Don't know how to convert {input.Name} into {type}");
        return new SchemaShape.Column(input.Name, input.Kind, type, input.IsKey && KeyDataViewType.IsValidDataType(type.RawType), input.Annotations);
    });
}

public sealed class TypeConvertingTransformer : OneToOneTransformerBase
{
    internal const string LoaderSignature = "ConvertTransform";

    private static readonly VersionInfo _version = new("CONVERTF", 0x00010006, 0x00010006, 0x00010006,
        typeof(TypeConvertingTransformer).Assembly.FullName, LoaderSignature);

    internal TypeConvertingTransformer(IHostEnvironment env, DataKind kind, params (string outputColumnName, string inputColumnName)[] columns)
        : base(env.Register(nameof(TypeConvertingTransformer)), columns) => Kind = kind;

    private TypeConvertingTransformer(IHost host, ModelLoadContext ctx) : base(host, ctx) => Kind = (DataKind)ctx.Reader.ReadByte();

    internal DataKind Kind { get; }

    private static TypeConvertingTransformer Create(IHostEnvironment env, ModelLoadContext ctx)
    {
        ctx.CheckAtModel(_version);
        return new TypeConvertingTransformer(env.Register(nameof(TypeConvertingTransformer)), ctx);
    }

    private protected override void SaveModel(ModelSaveContext ctx)
    {
        ctx.CheckAtModel();
        ctx.SetVersionInfo(_version);
        SaveColumns(ctx);
        ctx.Writer.Write((byte)Kind);
    }

    private protected override DataViewSchema.DetachedColumn OutputColumn(int col, DataViewSchema.Column input)
    {
        PrimitiveDataViewType type = DataTypes.PrimitiveFor(Kind);
        DataViewType source = input.Type.GetItemType();
        var key = source as KeyDataViewType;
        bool converts = source is PrimitiveDataViewType && ValueConversion.Exists(key == null ? source : DataTypes.PrimitiveFor(source.RawType), type)
            && (key == null || KeyDataViewType.IsValidDataType(type.RawType));
        Contracts.CheckParam(converts, "inputSchema",
            $"source column '{input.Name}' with item type '{input.Type}' is not compatible with destination type '{type}'");
        if (key != null)
            type = new KeyDataViewType(type.RawType, key.Count);
        var annotations = new DataViewSchema.Annotations.Builder();
        annotations.Add(input.Annotations, kind => kind == AnnotationUtils.Kinds.SlotNames && input.Type is VectorDataViewType { IsKnownSize: true }
            || kind == AnnotationUtils.Kinds.KeyValues && key != null
            || kind == AnnotationUtils.Kinds.IsNormalized && source is NumberDataViewType && type is NumberDataViewType);
        if (input.Type is BooleanDataViewType && type is NumberDataViewType)
            annotations.AddPrimitiveValue(AnnotationUtils.Kinds.IsNormalized, BooleanDataViewType.Instance, true);
        return new(ColumnPairs[col].outputColumnName, input.Type is VectorDataViewType vector ? new VectorDataViewType(type, vector.Dimensions) : type, annotations.ToAnnotations());
    }

    private protected override Delegate MakeGetter(DataViewRow input, int col, DataViewSchema.Column source, out Action disposer)
    {
        disposer = null;
        return Generic.Invoke<Delegate>(typeof(TypeConvertingTransformer), nameof(Getter), [source.Type.GetItemType().RawType, DataTypes.PrimitiveFor(Kind).RawType], input, source);
    }

    private static Delegate Getter<TSource, TResult>(DataViewRow input, DataViewSchema.Column source)
        => Vectors.Map(input, source, ValueConversion.Make<TSource, TResult>());
}
