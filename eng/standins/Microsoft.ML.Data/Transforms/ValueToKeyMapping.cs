using Microsoft.ML;
using Microsoft.ML.Transforms;

[assembly: LoadableClass(typeof(ValueToKeyMappingTransformer), null, typeof(SignatureLoadModel), "Term Transform", ValueToKeyMappingTransformer.LoaderSignature)]

namespace Microsoft.ML.Transforms;

public sealed class ValueToKeyMappingEstimator : IEstimator<ValueToKeyMappingTransformer>
{
    private readonly IHostEnvironment _env;
    private readonly (string outputColumnName, string inputColumnName)[] _columns;
    private readonly int _maximum;
    private readonly KeyOrdinality _ordinality;
    private readonly bool _asText;
    private readonly IDataView _keyData;

    internal ValueToKeyMappingEstimator(IHostEnvironment env, (string outputColumnName, string inputColumnName)[] columns, int maximumNumberOfKeys,
        KeyOrdinality keyOrdinality, bool addKeyValueAnnotationsAsText, IDataView keyData)
    {
        Contracts.CheckParam(maximumNumberOfKeys > 0, nameof(maximumNumberOfKeys), "Must be positive");
        Contracts.CheckParam(keyData == null || keyData.Schema.Count == 1, nameof(keyData), "Must contain only one column");
        (_env, _columns, _maximum, _ordinality, _asText, _keyData) = (env, columns, maximumNumberOfKeys, keyOrdinality, addKeyValueAnnotationsAsText, keyData);
    }

    public enum KeyOrdinality : byte
    {
        ByOccurrence = 0,
        ByValue = 1,
    }

    public ValueToKeyMappingTransformer Fit(IDataView input)
    {
        Contracts.CheckValue(input, nameof(input));
        KeyTerms[] terms = [.. _columns.Select(pair =>
        {
            DataViewSchema.Column column = input.Schema.GetColumnOrNull(pair.inputColumnName)
                ?? throw Contracts.ExceptSchemaMismatch(nameof(input), "input", pair.inputColumnName);
            return _keyData == null
                ? KeyTerms.Collect(input, column, _maximum, _ordinality, _asText)
                : KeyTerms.Collect(_keyData, _keyData.Schema[0], _maximum, _ordinality, _asText);
        })];
        var transformer = new ValueToKeyMappingTransformer(_env, _columns, terms);
        transformer.GetOutputSchema(input.Schema);
        return transformer;
    }

    public SchemaShape GetOutputSchema(SchemaShape inputSchema)
    {
        Contracts.CheckValue(inputSchema, nameof(inputSchema));
        return Shapes.Add(inputSchema, _columns, (_, input) =>
        {
            if (input.ItemType is not PrimitiveDataViewType)
                throw Contracts.ExceptSchemaMismatch(nameof(inputSchema), "input", input.Name);
            if (!input.IsKey || !input.Annotations.TryFindColumn(AnnotationUtils.Kinds.KeyValues, out SchemaShape.Column values))
                values = new SchemaShape.Column(AnnotationUtils.Kinds.KeyValues, SchemaShape.Column.VectorKind.Vector, _asText ? TextDataViewType.Instance : input.ItemType, input.IsKey);
            return new SchemaShape.Column(input.Name, input.Kind, NumberDataViewType.UInt32, true, new SchemaShape([values]));
        });
    }
}

public sealed class ValueToKeyMappingTransformer : OneToOneTransformerBase
{
    internal const string LoaderSignature = "TermTransform";

    private static readonly VersionInfo _version = new("TERMTRNF", 0x00010003, 0x00010003, 0x00010003,
        typeof(ValueToKeyMappingTransformer).Assembly.FullName, LoaderSignature);

    private readonly KeyTerms[] _terms;

    internal ValueToKeyMappingTransformer(IHostEnvironment env, (string outputColumnName, string inputColumnName)[] columns, KeyTerms[] terms)
        : base(env.Register(nameof(ValueToKeyMappingTransformer)), columns) => _terms = terms;

    private ValueToKeyMappingTransformer(IHost host, ModelLoadContext ctx) : base(host, ctx)
        => _terms = [.. ColumnPairs.Select(_ => KeyTerms.Load(ctx.Reader))];

    private static ValueToKeyMappingTransformer Create(IHostEnvironment env, ModelLoadContext ctx)
    {
        ctx.CheckAtModel(_version);
        return new ValueToKeyMappingTransformer(env.Register(nameof(ValueToKeyMappingTransformer)), ctx);
    }

    private protected override void SaveModel(ModelSaveContext ctx)
    {
        ctx.CheckAtModel();
        ctx.SetVersionInfo(_version);
        SaveColumns(ctx);
        Array.ForEach(_terms, terms => terms.Save(ctx.Writer));
    }

    private protected override void CheckInputColumn(DataViewSchema inputSchema, int col, int srcCol)
    {
        DataViewType item = inputSchema[srcCol].Type.GetItemType();
        if (item.RawType != _terms[col].ItemType.RawType)
            throw Contracts.ExceptSchemaMismatch(nameof(inputSchema), "input", ColumnPairs[col].inputColumnName, _terms[col].ItemType.ToString(), item.ToString());
    }

    private protected override DataViewSchema.DetachedColumn OutputColumn(int col, DataViewSchema.Column input)
    {
        var key = new KeyDataViewType(typeof(uint), Math.Max(1, _terms[col].Count));
        var annotations = new DataViewSchema.Annotations.Builder();
        _terms[col].AddKeyValues(annotations, input);
        annotations.Add(input.Annotations, kind => kind == AnnotationUtils.Kinds.SlotNames);
        return new(ColumnPairs[col].outputColumnName, input.Type is VectorDataViewType vector ? new VectorDataViewType(key, vector.Dimensions) : key, annotations.ToAnnotations());
    }

    private protected override Delegate MakeGetter(DataViewRow input, int col, DataViewSchema.Column source, out Action disposer)
    {
        disposer = null;
        return _terms[col].Getter(input, source);
    }
}
