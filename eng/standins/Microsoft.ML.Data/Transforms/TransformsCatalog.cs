using Microsoft.ML.Transforms;

namespace Microsoft.ML;

public sealed class TransformsCatalog : IInternalCatalog
{
    private readonly IHostEnvironment _env;

    internal TransformsCatalog(IHostEnvironment env)
    {
        _env = env;
        Conversion = new ConversionTransforms(this);
    }

    IHostEnvironment IInternalCatalog.Environment => _env;

    public ConversionTransforms Conversion { get; }

    public sealed class ConversionTransforms : IInternalCatalog
    {
        private readonly TransformsCatalog _owner;

        internal ConversionTransforms(TransformsCatalog owner) => _owner = owner;

        IHostEnvironment IInternalCatalog.Environment => _owner._env;
    }
}

public static class TransformExtensionsCatalog
{
    public static ColumnCopyingEstimator CopyColumns(this TransformsCatalog catalog, string outputColumnName, string inputColumnName)
        => new(catalog.GetEnvironment(), outputColumnName, inputColumnName);

    public static ColumnConcatenatingEstimator Concatenate(this TransformsCatalog catalog, string outputColumnName, params string[] inputColumnNames)
        => new(catalog.GetEnvironment(), outputColumnName, inputColumnNames);

    public static ColumnSelectingEstimator DropColumns(this TransformsCatalog catalog, params string[] columnNames)
        => new(catalog.GetEnvironment(), null, columnNames);

    public static ColumnSelectingEstimator SelectColumns(this TransformsCatalog catalog, params string[] columnNames)
        => new(catalog.GetEnvironment(), columnNames, null);
}
