using System.Reflection;
using System.Text;

namespace Microsoft.ML;

internal sealed class ModelLoadContext : IDisposable
{
    public const string ModelStreamName = "Model.key";

    private readonly ModelHeader _header;

    public readonly RepositoryReader Repository;
    public readonly string Directory;
    public readonly BinaryReader Reader;

    internal ModelLoadContext(RepositoryReader rep, Stream stream, string dir)
    {
        Repository = rep;
        Directory = dir;
        Reader = new BinaryReader(stream, Encoding.UTF8, leaveOpen: true);
        _header = ModelHeader.Read(Reader);
    }

    public string LoaderAssemblyName => _header.LoaderAssemblyName;

    public void CheckAtModel() => Contracts.Check(Reader.BaseStream.Position == ModelHeader.Size);

    public void CheckAtModel(VersionInfo ver)
    {
        CheckAtModel();
        _header.Check(ver);
    }

    public string LoadStringOrNull()
    {
        int id = Reader.ReadInt32();
        Contracts.CheckDecode(id >= -1 && id < _header.Strings.Length);
        return id < 0 ? null : _header.Strings[id];
    }

    public string LoadString()
    {
        string text = LoadStringOrNull();
        Contracts.CheckDecode(text != null);
        return text;
    }

    public string LoadNonEmptyString()
    {
        string text = LoadString();
        Contracts.CheckDecode(text.Length > 0);
        return text;
    }

    public bool TryLoadBinaryStream(string name, Action<BinaryReader> action)
    {
        Contracts.CheckNonEmpty(name, nameof(name));
        Contracts.CheckValue(action, nameof(action));
        using Stream stream = Repository.OpenOrNull(Directory, name);
        if (stream == null)
            return false;
        using var reader = new BinaryReader(stream, Encoding.UTF8, leaveOpen: true);
        action(reader);
        return true;
    }

    public bool TryLoadTextStream(string name, Action<TextReader> action)
    {
        Contracts.CheckNonEmpty(name, nameof(name));
        Contracts.CheckValue(action, nameof(action));
        using Stream stream = Repository.OpenOrNull(Directory, name);
        if (stream == null)
            return false;
        using var reader = new StreamReader(stream);
        action(reader);
        return true;
    }

    public void LoadModel<TResult, TSignature>(IHostEnvironment env, out TResult result, string name, params object[] extra)
        where TResult : class
        => LoadModel<TResult, TSignature>(env, out result, Repository, Path.Combine(Directory ?? "", name), extra);

    public static void LoadModel<TResult, TSignature>(IHostEnvironment env, out TResult result, RepositoryReader rep, string dir, params object[] extra)
        where TResult : class
    {
        if (!LoadModelOrNull<TResult, TSignature>(env, out result, rep, dir, extra))
            throw Contracts.ExceptDecode("Corrupt model file");
    }

    public static bool LoadModelOrNull<TResult, TSignature>(IHostEnvironment env, out TResult result, RepositoryReader rep, string dir, params object[] extra)
        where TResult : class
    {
        result = null;
        using Stream stream = rep.OpenOrNull(dir, ModelStreamName);
        if (stream == null)
            return false;
        using var context = new ModelLoadContext(rep, stream, dir);
        if (!context.TryCreate<TResult, TSignature>(env, out result, extra))
            throw Contracts.ExceptDecode($"Couldn't load model: '{dir}'");
        return true;
    }

    private bool TryCreate<TResult, TSignature>(IHostEnvironment env, out TResult result, object[] extra)
        where TResult : class
    {
        if (LoaderAssemblyName.Length > 0)
            env.ComponentCatalog.RegisterAssembly(Assembly.Load(LoaderAssemblyName));
        foreach (string signature in new[] { _header.LoaderSignature, _header.LoaderSignatureAlt })
        {
            if (string.IsNullOrWhiteSpace(signature)
                || !env.ComponentCatalog.TryCreateInstance<TResult, TSignature>(env, signature, out result, [this, .. extra]))
                continue;
            Contracts.CheckDecode(Reader.BaseStream.Position == _header.ModelEnd, "The loader left part of the model unread");
            return true;
        }
        result = null;
        return false;
    }

    public void Dispose() => Reader.Dispose();
}
