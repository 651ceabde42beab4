namespace Microsoft.ML
{
    public interface ICanSaveModel
    {
        void Save(ModelSaveContext ctx);
    }

    public interface ITransformer : ICanSaveModel
    {
        bool IsRowToRowMapper { get; }
        DataViewSchema GetOutputSchema(DataViewSchema inputSchema);
        IDataView Transform(IDataView input);
        IRowToRowMapper GetRowToRowMapper(DataViewSchema inputSchema);
    }

    public interface IEstimator<out TTransformer>
        where TTransformer : ITransformer
    {
        TTransformer Fit(IDataView input);
        SchemaShape GetOutputSchema(SchemaShape inputSchema);
    }

    public abstract class ExtensionBaseAttribute : Attribute
    {
        private protected ExtensionBaseAttribute(string contractName)
        {
            Contracts.CheckNonEmpty(contractName, nameof(contractName));
            ContractName = contractName;
        }

        public string ContractName { get; }
    }
}

namespace Microsoft.ML.Data
{
    public interface IRowToRowMapper
    {
        DataViewSchema InputSchema { get; }
        DataViewSchema OutputSchema { get; }
        IEnumerable<DataViewSchema.Column> GetDependencies(IEnumerable<DataViewSchema.Column> dependingColumns);
        DataViewRow GetRow(DataViewRow input, IEnumerable<DataViewSchema.Column> activeColumns);
    }

    public enum DataKind : byte
    {
        SByte = 1,
        Byte = 2,
        Int16 = 3,
        UInt16 = 4,
        Int32 = 5,
        UInt32 = 6,
        Int64 = 7,
        UInt64 = 8,
        Single = 9,
        Double = 10,
        String = 11,
        Boolean = 12,
        TimeSpan = 13,
        DateTime = 14,
        DateTimeOffset = 15,
    }
}
