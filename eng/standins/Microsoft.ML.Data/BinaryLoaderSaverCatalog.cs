namespace Microsoft.ML
{
    public static class BinaryLoaderSaverCatalog
    {
        public static IDataView LoadFromBinary(this DataOperationsCatalog catalog, string path)
        {
            Contracts.CheckNonEmpty(path, nameof(path));
            Contracts.CheckParam(File.Exists(path), nameof(path), $"File does not exist at path: {path}");
            return BinaryFormat.Load(() => File.OpenRead(path));
        }

        public static void SaveAsBinary(this DataOperationsCatalog catalog, IDataView data, Stream stream, bool keepHidden = false)
        {
            Contracts.CheckValue(data, nameof(data));
            Contracts.CheckValue(stream, nameof(stream));
            using IChannel channel = catalog.GetEnvironment().Start("Saving data");
            BinaryFormat.Save(channel, data, stream, keepHidden);
        }
    }
}

namespace Microsoft.ML.Data
{
}
