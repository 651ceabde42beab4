using Microsoft.ML;
using Microsoft.ML.Transforms;

[assembly: LoadableClass(typeof(ColumnCopyingTransformer), null, typeof(SignatureLoadModel), "Copy Columns Transform", ColumnCopyingTransformer.LoaderSignature)]

namespace Microsoft.ML.Transforms;

public sealed class ColumnCopyingEstimator : TrivialEstimator<ColumnCopyingTransformer>
{
    internal ColumnCopyingEstimator(IHostEnvironment env, string outputColumnName, string inputColumnName)
        : this(env, (outputColumnName, inputColumnName)) { }

    internal ColumnCopyingEstimator(IHostEnvironment env, params (string outputColumnName, string inputColumnName)[] columns)
        : base(env.Register(nameof(ColumnCopyingEstimator)), new ColumnCopyingTransformer(env, columns)) { }

    public override SchemaShape GetOutputSchema(SchemaShape inputSchema) => Shapes.Add(inputSchema, Transformer.ColumnPairs, (_, input) => input);
}

public sealed class ColumnCopyingTransformer : OneToOneTransformerBase
{
    internal const string LoaderSignature = "CopyTransform";

    private static readonly VersionInfo _version = new("COPYCOLT", 0x00010001, 0x00010001, 0x00010001,
        typeof(ColumnCopyingTransformer).Assembly.FullName, LoaderSignature);

    internal ColumnCopyingTransformer(IHostEnvironment env, params (string outputColumnName, string inputColumnName)[] columns)
        : base(env.Register(nameof(ColumnCopyingTransformer)), columns) { }

    private ColumnCopyingTransformer(IHost host, ModelLoadContext ctx) : base(host, ctx) { }

    private static ColumnCopyingTransformer Create(IHostEnvironment env, ModelLoadContext ctx)
    {
        ctx.CheckAtModel(_version);
        return new ColumnCopyingTransformer(env.Register(nameof(ColumnCopyingTransformer)), ctx);
    }

    private protected override void SaveModel(ModelSaveContext ctx)
    {
        ctx.CheckAtModel();
        ctx.SetVersionInfo(_version);
        SaveColumns(ctx);
    }

    private protected override DataViewSchema.DetachedColumn OutputColumn(int col, DataViewSchema.Column input)
        => new(ColumnPairs[col].outputColumnName, input.Type, input.Annotations);

    private protected override Delegate MakeGetter(DataViewRow input, int col, DataViewSchema.Column source, out Action disposer)
    {
        disposer = null;
        return Rows.Getter(input, source);
    }
}
