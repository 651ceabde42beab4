namespace Microsoft.ML
{
    public static class BinaryLoaderSaverCatalog
    {
        public static IDataView LoadFromBinary(this DataOperationsCatalog catalog, IMultiStreamSource fileSource)
        {
            Contracts.CheckValue(fileSource, nameof(fileSource));
            return BinaryFormat.Load(() => fileSource.Open(0));
        }

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
    public interface IMultiStreamSource
    {
        int Count { get; }
        string GetPathOrNull(int index);
        Stream Open(int index);
        TextReader OpenTextReader(int index);
    }

    public sealed class MultiFileSource : IMultiStreamSource
    {
        private readonly string[] _paths;

        public MultiFileSource(params string[] paths) => _paths = paths ?? [];

        public int Count => _paths.Length;

        public string GetPathOrNull(int index)
        {
            Contracts.CheckParam(index >= 0 && index < Count, nameof(index));
            return _paths[index];
        }

        public Stream Open(int index)
        {
            string path = GetPathOrNull(index);
            try
            {
                return File.OpenRead(path);
            }
            catch (Exception exception)
            {
                throw Contracts.Mark(new IOException($"Could not open file '{path}'. Error is: {exception.Message}", exception));
            }
        }

        public TextReader OpenTextReader(int index) => new StreamReader(Open(index));
    }
}
