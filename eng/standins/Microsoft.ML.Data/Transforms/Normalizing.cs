using Microsoft.ML;
using Microsoft.ML.Transforms;

[assembly: LoadableClass(typeof(NormalizingTransformer), null, typeof(SignatureLoadModel), "Normalizer", NormalizingTransformer.LoaderSignature)]

namespace Microsoft.ML.Transforms;

public sealed class NormalizingEstimator : IEstimator<NormalizingTransformer>
{
    private readonly IHostEnvironment _env;
    private readonly (string outputColumnName, string inputColumnName) _pair;
    private readonly bool _fixZero;
    private readonly bool _byRange;

    internal NormalizingEstimator(IHostEnvironment env, string outputColumnName, string inputColumnName, bool fixZero, bool byRange)
        => (_env, _pair, _fixZero, _byRange) = (env, (outputColumnName, inputColumnName), fixZero, byRange);

    public NormalizingTransformer Fit(IDataView input)
    {
        Contracts.CheckValue(input, nameof(input));
        DataViewSchema.Column column = input.Schema.GetColumnOrNull(_pair.inputColumnName)
            ?? throw Contracts.ExceptSchemaMismatch(nameof(input), "input", _pair.inputColumnName);
        NormalizingTransformer.Check(column);
        Statistics[] slots = column.Type.GetItemType() == NumberDataViewType.Single ? Read<float>(input, column) : Read<double>(input, column);
        return new NormalizingTransformer(_env, _pair, [.. slots.Select(slot => slot.Affine(_fixZero, _byRange))]);
    }

    private static Statistics[] Read<T>(IDataView input, DataViewSchema.Column column)
    {
        Statistics[] slots = null;
        using DataViewRowCursor cursor = input.GetRowCursor([column]);
        ValueGetter<VBuffer<T>> getter = Vectors.AsVector<T>(cursor, column);
        VBuffer<T> values = default;
        while (cursor.MoveNext())
        {
            getter(ref values);
            slots ??= [.. Enumerable.Range(0, values.Length).Select(_ => new Statistics())];
            foreach ((int slot, T value) in values.Items(all: true))
                slots[slot].Add(Convert.ToDouble(value));
        }
        return slots ?? [.. Enumerable.Range(0, column.Type is VectorDataViewType vector ? vector.Size : 1).Select(_ => new Statistics())];
    }

    public SchemaShape GetOutputSchema(SchemaShape inputSchema) => Shapes.Add(inputSchema, [_pair], (_, input) =>
    {
        bool fits = !input.IsKey && input.Kind != SchemaShape.Column.VectorKind.VariableVector
            && (input.ItemType == NumberDataViewType.Single || input.ItemType == NumberDataViewType.Double);
        if (!fits)
            throw Contracts.ExceptSchemaMismatch(nameof(inputSchema), "input", input.Name, "Vector or scalar of Single or Double", $"{input.Kind} of {input.ItemType}");
        var normalized = new SchemaShape.Column(AnnotationUtils.Kinds.IsNormalized, SchemaShape.Column.VectorKind.Scalar, BooleanDataViewType.Instance, false);
        return new SchemaShape.Column(input.Name, input.Kind, input.ItemType, false, new SchemaShape([normalized]));
    });

    private sealed class Statistics
    {
        private double _min = double.PositiveInfinity, _max = double.NegativeInfinity, _mean, _squares;
        private long _count;

        public void Add(double value)
        {
            if (!double.IsFinite(value))
                return;
            _min = Math.Min(_min, value);
            _max = Math.Max(_max, value);
            double delta = value - _mean;
            _mean += delta / ++_count;
            _squares += delta * (value - _mean);
        }

        public (double Scale, double Offset) Affine(bool fixZero, bool byRange)
        {
            if (_count == 0)
                return (0, 0);
            double variance = _squares / _count;
            double spread = byRange
                ? fixZero ? Math.Max(Math.Abs(_min), Math.Abs(_max)) : _max - _min
                : Math.Sqrt(fixZero ? variance + _mean * _mean : variance);
            return (spread > 0 ? 1 / spread : byRange ? 0 : 1, fixZero ? 0 : byRange ? _min : _mean);
        }
    }
}

public sealed class NormalizingTransformer : OneToOneTransformerBase
{
    internal const string LoaderSignature = "Normalizer";

    private static readonly VersionInfo _version = new("NORMALZR", 0x00010001, 0x00010001, 0x00010001,
        typeof(NormalizingTransformer).Assembly.FullName, LoaderSignature);

    private readonly (double Scale, double Offset)[] _slots;

    internal NormalizingTransformer(IHostEnvironment env, (string outputColumnName, string inputColumnName) pair, (double Scale, double Offset)[] slots)
        : base(env.Register(nameof(NormalizingTransformer)), pair) => _slots = slots;

    private NormalizingTransformer(IHost host, ModelLoadContext ctx) : base(host, ctx)
    {
        _slots = new (double, double)[ctx.Reader.ReadInt32()];
        for (int i = 0; i < _slots.Length; i++)
            _slots[i] = (ctx.Reader.ReadDouble(), ctx.Reader.ReadDouble());
    }

    private static NormalizingTransformer Create(IHostEnvironment env, ModelLoadContext ctx)
    {
        ctx.CheckAtModel(_version);
        return new NormalizingTransformer(env.Register(nameof(NormalizingTransformer)), ctx);
    }

    private protected override void SaveModel(ModelSaveContext ctx)
    {
        ctx.CheckAtModel();
        ctx.SetVersionInfo(_version);
        SaveColumns(ctx);
        ctx.Writer.Write(_slots.Length);
        foreach ((double scale, double offset) in _slots)
        {
            ctx.Writer.Write(scale);
            ctx.Writer.Write(offset);
        }
    }

    internal static void Check(DataViewSchema.Column column)
    {
        DataViewType item = column.Type.GetItemType();
        bool fits = (item == NumberDataViewType.Single || item == NumberDataViewType.Double) && column.Type is not VectorDataViewType { IsKnownSize: false };
        if (!fits)
            throw Contracts.ExceptSchemaMismatch("inputSchema", "input", column.Name, "Vector or scalar of Single or Double", column.Type.ToString());
    }

    private protected override void CheckInputColumn(DataViewSchema inputSchema, int col, int srcCol) => Check(inputSchema[srcCol]);

    private protected override DataViewSchema.DetachedColumn OutputColumn(int col, DataViewSchema.Column input)
    {
        var annotations = new DataViewSchema.Annotations.Builder();
        annotations.AddPrimitiveValue(AnnotationUtils.Kinds.IsNormalized, BooleanDataViewType.Instance, true);
        annotations.Add(input.Annotations, kind => kind == AnnotationUtils.Kinds.SlotNames);
        return new(ColumnPairs[col].outputColumnName, input.Type, annotations.ToAnnotations());
    }

    private protected override Delegate MakeGetter(DataViewRow input, int col, DataViewSchema.Column source, out Action disposer)
    {
        disposer = null;
        return source.Type.GetItemType() == NumberDataViewType.Single
            ? Vectors.Map<float, float>(input, source, (slot, value) => (float)((value - _slots[slot].Offset) * _slots[slot].Scale))
            : Vectors.Map<double, double>(input, source, (slot, value) => (value - _slots[slot].Offset) * _slots[slot].Scale);
    }
}
