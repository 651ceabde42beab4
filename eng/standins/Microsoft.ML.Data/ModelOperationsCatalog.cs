namespace Microsoft.ML;

public sealed class ModelOperationsCatalog : IInternalCatalog
{
    private const string SchemaEntry = "Schema";
    private const string TransformerFolder = "TransformerChain";

    private readonly IHostEnvironment _env;

    internal ModelOperationsCatalog(IHostEnvironment env) => _env = env;

    IHostEnvironment IInternalCatalog.Environment => _env;

    public void Save(ITransformer model, DataViewSchema inputSchema, Stream stream)
    {
        Contracts.CheckValue(stream, nameof(stream));
        using RepositoryWriter repository = RepositoryWriter.CreateNew(stream, _env);
        ModelSaveContext.SaveModel(repository, model, TransformerFolder);
        if (inputSchema == null)
            return;
        using IChannel channel = _env.Start("Saving Schema");
        repository.Save(null, SchemaEntry, entry => BinaryFormat.Save(channel, new EmptyDataView(inputSchema), entry, keepHidden: true));
    }

    public void Save(ITransformer model, DataViewSchema inputSchema, string filePath)
    {
        Contracts.CheckNonEmpty(filePath, nameof(filePath));
        using FileStream stream = File.Create(filePath);
        Save(model, inputSchema, stream);
    }

    public ITransformer Load(Stream stream, out DataViewSchema inputSchema)
    {
        Contracts.CheckValue(stream, nameof(stream));
        using RepositoryReader repository = RepositoryReader.Open(stream, _env);
        using Stream schema = repository.OpenOrNull(null, SchemaEntry);
        inputSchema = schema == null ? null : BinaryFormat.ReadSchema(schema);
        ModelLoadContext.LoadModel<ITransformer, SignatureLoadModel>(_env, out ITransformer model, repository, TransformerFolder);
        return model;
    }

    public ITransformer Load(string filePath, out DataViewSchema inputSchema)
    {
        Contracts.CheckNonEmpty(filePath, nameof(filePath));
        using FileStream stream = File.OpenRead(filePath);
        return Load(stream, out inputSchema);
    }

    public PredictionEngine<TSrc, TDst> CreatePredictionEngine<TSrc, TDst>(ITransformer transformer, bool ignoreMissingColumns = true,
        SchemaDefinition inputSchemaDefinition = null, SchemaDefinition outputSchemaDefinition = null)
        where TSrc : class
        where TDst : class, new()
        => new(_env, transformer, ignoreMissingColumns, inputSchemaDefinition, outputSchemaDefinition);

    public PredictionEngine<TSrc, TDst> CreatePredictionEngine<TSrc, TDst>(ITransformer transformer, PredictionEngineOptions options)
        where TSrc : class
        where TDst : class, new()
        => new(_env, transformer, options.IgnoreMissingColumns, options.InputSchemaDefinition, options.OutputSchemaDefinition, options.OwnsTransformer);
}
