using System.IO.Compression;

namespace Microsoft.ML;

/// <summary>The zip file of a model: one entry a stream, in directories as the models nest.</summary>
internal static class Repository
{
    public static string EntryPath(string directory, string name)
    {
        Contracts.CheckParam(directory?.Contains("..") != true, nameof(directory));
        Contracts.CheckParam(!string.IsNullOrWhiteSpace(name) && !name.Contains(".."), nameof(name));
        return Path.Combine(directory ?? "", name);
    }

    // A zip archive writes one entry at a time and reads without seeking, and model streams need neither limit.
    public static FileStream Scratch(IExceptionContext context)
    {
        string folder = (context as IHostEnvironmentInternal)?.TempFilePath ?? Path.GetTempPath();
        string path = Path.Combine(folder, $"ml_dotnet_{Guid.NewGuid():N}");
        return new FileStream(path, FileMode.CreateNew, FileAccess.ReadWrite, FileShare.None, 1 << 16, FileOptions.DeleteOnClose);
    }
}

internal sealed class RepositoryWriter : IDisposable
{
    private readonly ZipArchive _archive;
    private readonly HashSet<string> _paths = [];
    private readonly IExceptionContext _context;

    private RepositoryWriter(Stream stream, IExceptionContext context)
    {
        _archive = new ZipArchive(stream, ZipArchiveMode.Create, leaveOpen: true);
        _context = context;
    }

    public static RepositoryWriter CreateNew(Stream stream, IExceptionContext context)
    {
        var repository = new RepositoryWriter(stream, context);
        repository.Save("TrainingInfo", "Version.txt", scratch =>
        {
            using var writer = new StreamWriter(scratch, leaveOpen: true);
            writer.WriteLine("5.0.0");
        });
        return repository;
    }

    public void Save(string directory, string name, Action<Stream> write)
    {
        using FileStream scratch = Create(directory, name, out string path);
        write(scratch);
        Add(path, scratch);
    }

    public FileStream Create(string directory, string name, out string path)
    {
        path = Repository.EntryPath(directory, name);
        if (!_paths.Add(path))
            throw Contracts.ExceptParam(nameof(name), $"Duplicate entry: '{path}'");
        return Repository.Scratch(_context);
    }

    public void Add(string path, FileStream scratch)
    {
        scratch.Position = 0;
        using Stream entry = _archive.CreateEntry(path).Open();
        scratch.CopyTo(entry);
    }

    public void Dispose() => _archive.Dispose();
}

internal sealed class RepositoryReader : IDisposable
{
    private readonly ZipArchive _archive;
    private readonly IExceptionContext _context;

    private RepositoryReader(Stream stream, IExceptionContext context)
    {
        try
        {
            _archive = new ZipArchive(stream, ZipArchiveMode.Read, leaveOpen: true);
        }
        catch (Exception exception)
        {
            throw Contracts.Mark(new FormatException("Failed to open a zip archive", exception));
        }
        _context = context;
    }

    public static RepositoryReader Open(Stream stream, IExceptionContext context) => new(stream, context);

    public Stream OpenOrNull(string directory, string name)
    {
        ZipArchiveEntry entry = _archive.GetEntry(Repository.EntryPath(directory, name));
        if (entry == null)
            return null;
        FileStream scratch = Repository.Scratch(_context);
        using (Stream source = entry.Open())
            source.CopyTo(scratch);
        scratch.Position = 0;
        return scratch;
    }

    public void Dispose() => _archive.Dispose();
}
