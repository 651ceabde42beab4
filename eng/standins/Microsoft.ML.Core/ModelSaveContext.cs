using System.Text;

namespace Microsoft.ML;

public sealed class ModelSaveContext : IDisposable
{
    private readonly FileStream _scratch;
    private readonly string _path;
    private readonly ModelHeader _header = new();
    private readonly List<string> _strings = [];
    private bool _disposed;

    internal readonly RepositoryWriter Repository;
    internal readonly string Directory;
    internal readonly BinaryWriter Writer;

    internal ModelSaveContext(RepositoryWriter rep, string dir, string name)
    {
        Repository = rep;
        Directory = dir;
        _scratch = rep.Create(dir, name, out _path);
        Writer = new BinaryWriter(_scratch, Encoding.UTF8, leaveOpen: true);
        Writer.Write(new byte[ModelHeader.Size]);
    }

    internal void CheckAtModel() => Contracts.Check(Writer.BaseStream.Position == ModelHeader.Size);

    internal void SetVersionInfo(VersionInfo ver) => _header.Set(ver);

    internal void SaveBinaryStream(string name, Action<BinaryWriter> action)
    {
        Contracts.CheckNonEmpty(name, nameof(name));
        Contracts.CheckValue(action, nameof(action));
        Repository.Save(Directory, name, stream =>
        {
            using var writer = new BinaryWriter(stream, Encoding.UTF8, leaveOpen: true);
            action(writer);
        });
    }

    internal void SaveTextStream(string name, Action<TextWriter> action)
    {
        Contracts.CheckNonEmpty(name, nameof(name));
        Contracts.CheckValue(action, nameof(action));
        Repository.Save(Directory, name, stream =>
        {
            using var writer = new StreamWriter(stream, leaveOpen: true);
            action(writer);
        });
    }

    internal void SaveStringOrNull(string str)
    {
        if (str == null)
            Writer.Write(-1);
        else
            SaveString(str);
    }

    internal void SaveString(string str)
    {
        Contracts.CheckValue(str, nameof(str));
        int id = _strings.IndexOf(str);
        if (id < 0)
        {
            id = _strings.Count;
            _strings.Add(str);
        }
        Writer.Write(id);
    }

    internal void SaveNonEmptyString(string str)
    {
        Contracts.CheckParam(!string.IsNullOrEmpty(str), nameof(str));
        SaveString(str);
    }

    internal void SaveModel<T>(T value, string name) where T : class
        => SaveModel(Repository, value, Path.Combine(Directory ?? "", name));

    internal static void SaveModel<T>(RepositoryWriter rep, T value, string path) where T : class
    {
        if (value is not ICanSaveModel model)
            return;
        using var context = new ModelSaveContext(rep, path, ModelLoadContext.ModelStreamName);
        model.Save(context);
        context.Done();
    }

    private void Done()
    {
        Contracts.Check(_header.ModelSignature != 0, "ModelSignature not specified!");
        _header.Strings = [.. _strings];
        _header.WriteTail(Writer);
        Writer.Flush();
        Repository.Add(_path, _scratch);
        Dispose();
    }

    public void Dispose()
    {
        if (_disposed)
            return;
        _disposed = true;
        Writer.Dispose();
        _scratch.Dispose();
    }
}
