using Microsoft.ML;
using Microsoft.ML.Transforms;

[assembly: LoadableClass(typeof(KeyToValueMappingTransformer), null, typeof(SignatureLoadModel), "Key To Value Transform", KeyToValueMappingTransformer.LoaderSignature)]

namespace Microsoft.ML.Transforms;

public sealed class KeyToValueMappingEstimator : TrivialEstimator<KeyToValueMappingTransformer>
{
    internal KeyToValueMappingEstimator(IHostEnvironment env, params (string outputColumnName, string inputColumnName)[] columns)
        : base(env.Register(nameof(KeyToValueMappingEstimator)), new KeyToValueMappingTransformer(env, columns)) { }

    public override SchemaShape GetOutputSchema(SchemaShape inputSchema) => Shapes.Add(inputSchema, Transformer.ColumnPairs, (_, input) =>
    {
        if (!input.IsKey)
            throw Contracts.ExceptSchemaMismatch(nameof(inputSchema), "input", input.Name, "KeyType", input.ItemType.ToString());
        Contracts.CheckParam(input.Annotations.TryFindColumn(AnnotationUtils.Kinds.KeyValues, out SchemaShape.Column values), nameof(inputSchema),
            $"Input column '{input.Name}' doesn't contain key values metadata");
        return new SchemaShape.Column(input.Name, input.Kind, values.ItemType, values.IsKey);
    });
}

public sealed class KeyToValueMappingTransformer : OneToOneTransformerBase
{
    internal const string LoaderSignature = "KeyToValueTransform";

    private static readonly VersionInfo _version = new("KEY2VALT", 0x00010001, 0x00010001, 0x00010001,
        typeof(KeyToValueMappingTransformer).Assembly.FullName, LoaderSignature);

    internal KeyToValueMappingTransformer(IHostEnvironment env, params (string outputColumnName, string inputColumnName)[] columns)
        : base(env.Register(nameof(KeyToValueMappingTransformer)), columns) { }

    private KeyToValueMappingTransformer(IHost host, ModelLoadContext ctx) : base(host, ctx) { }

    private static KeyToValueMappingTransformer Create(IHostEnvironment env, ModelLoadContext ctx)
    {
        ctx.CheckAtModel(_version);
        return new KeyToValueMappingTransformer(env.Register(nameof(KeyToValueMappingTransformer)), ctx);
    }

    private protected override void SaveModel(ModelSaveContext ctx)
    {
        ctx.CheckAtModel();
        ctx.SetVersionInfo(_version);
        SaveColumns(ctx);
    }

    private static PrimitiveDataViewType ValueType(DataViewSchema.Column column)
    {
        DataViewType type = column.Annotations.Schema.GetColumnOrNull(AnnotationUtils.Kinds.KeyValues)?.Type;
        Contracts.Check(type is VectorDataViewType, "Metadata KeyValues does not exist");
        Contracts.Check(column.Type.GetItemType() is KeyDataViewType, $"Column '{column.Name}' is of type '{column.Type}', not a key.");
        return ((VectorDataViewType)type).ItemType;
    }

    private protected override DataViewSchema.DetachedColumn OutputColumn(int col, DataViewSchema.Column input)
    {
        PrimitiveDataViewType value = ValueType(input);
        var annotations = new DataViewSchema.Annotations.Builder();
        annotations.Add(input.Annotations, kind => kind == AnnotationUtils.Kinds.SlotNames);
        return new(ColumnPairs[col].outputColumnName, input.Type is VectorDataViewType vector ? new VectorDataViewType(value, vector.Dimensions) : value, annotations.ToAnnotations());
    }

    private protected override Delegate MakeGetter(DataViewRow input, int col, DataViewSchema.Column source, out Action disposer)
    {
        disposer = null;
        return Generic.Invoke<Delegate>(typeof(KeyToValueMappingTransformer), nameof(Getter), [source.Type.GetItemType().RawType, ValueType(source).RawType], input, source);
    }

    private static Delegate Getter<TKey, TValue>(DataViewRow input, DataViewSchema.Column source)
    {
        VBuffer<TValue> values = default;
        source.Annotations.GetValue(AnnotationUtils.Kinds.KeyValues, ref values);
        TValue missing = typeof(TValue) == typeof(float) ? (TValue)(object)float.NaN : typeof(TValue) == typeof(double) ? (TValue)(object)double.NaN : default;
        return Vectors.Map<TKey, TValue>(input, source, value =>
        {
            ulong key = Convert.ToUInt64(value);
            return key > 0 && key <= (ulong)values.Length ? values.GetItemOrDefault((int)key - 1) : missing;
        });
    }
}
