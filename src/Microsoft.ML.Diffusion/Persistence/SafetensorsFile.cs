namespace Microsoft.ML.Diffusion;

/// <summary>
/// Reads and writes weights in the safetensors format. Bytes go between the file and the tensors' own memory;
/// only a tensor that is elsewhere than on the CPU, not contiguous or of another element type passes through a copy, one tensor at a time.
/// </summary>
internal sealed class SafetensorsFile : IDisposable
{
    // Tensor.bytes is a span, so a larger tensor is taken in slices.
    private const long SliceBytes = 1L << 30;

    private readonly Stream _stream;
    private readonly bool _leaveOpen;
    private readonly string _fileName;
    private readonly long _origin;
    private readonly SafetensorsHeader _header;
    private readonly Dictionary<string, SafetensorsEntry> _byName;
    private long _position;

    private SafetensorsFile(Stream stream, string fileName, long length, bool leaveOpen)
    {
        _stream = stream;
        _fileName = fileName;
        _leaveOpen = leaveOpen;
        _origin = stream.CanSeek ? stream.Position : 0;
        _header = SafetensorsHeader.Read(stream, fileName, length);
        _byName = _header.Entries.ToDictionary(entry => entry.Name, StringComparer.Ordinal);
    }

    /// <summary>The tensors in the order of their bytes.</summary>
    public IReadOnlyList<SafetensorsEntry> Entries => _header.Entries;

    /// <summary>Free text that the writer left.</summary>
    public IReadOnlyDictionary<string, string> Metadata => _header.Metadata;

    /// <summary>Opens a file and checks its header.</summary>
    /// <exception cref="InvalidDataException">The file is no safetensors file, or it is damaged or cut short.</exception>
    public static SafetensorsFile Open(string path)
    {
        // Unbuffered: tensors are read in one piece, straight into their memory.
        var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 1, FileOptions.SequentialScan);
        try
        {
            return new SafetensorsFile(stream, path, stream.Length, leaveOpen: false);
        }
        catch
        {
            stream.Dispose();
            throw;
        }
    }

    /// <summary>Reads from a stream that stands at the beginning of the file's bytes; it stays open.</summary>
    /// <param name="stream">The stream; seeking is needed only for reading single tensors out of order.</param>
    /// <param name="fileName">What messages call the file.</param>
    /// <param name="length">The length of the file in bytes.</param>
    /// <exception cref="InvalidDataException">The stream holds no safetensors file, or it is damaged or cut short.</exception>
    public static SafetensorsFile Open(Stream stream, string fileName, long length) => new(stream, fileName, length, leaveOpen: true);

    /// <summary>Reads one tensor into new memory on the CPU; the caller disposes it.</summary>
    /// <exception cref="KeyNotFoundException">The file holds no such tensor.</exception>
    public Tensor Read(string name)
    {
        var entry = Find(name);
        var tensor = empty(entry.Shape, entry.DType);
        try
        {
            ReadBytes(entry, tensor);
            return tensor;
        }
        catch
        {
            tensor.Dispose();
            throw;
        }
    }

    /// <summary>Reads every tensor into new memory on the CPU; the caller disposes them.</summary>
    public Dictionary<string, Tensor> ReadAll()
    {
        var tensors = new Dictionary<string, Tensor>(StringComparer.Ordinal);
        try
        {
            foreach (var entry in Entries)
                tensors.Add(entry.Name, Read(entry.Name));
            return tensors;
        }
        catch
        {
            foreach (var tensor in tensors.Values)
                tensor.Dispose();
            throw;
        }
    }

    /// <summary>Fills tensors that exist already, such as a network's parameters, whatever their device, layout and element type.</summary>
    /// <param name="destination">Every tensor of the file, by name, and no other.</param>
    /// <exception cref="InvalidDataException">Names or shapes differ between the file and <paramref name="destination"/>; nothing is changed then.</exception>
    public void ReadInto(IEnumerable<(string Name, Tensor Tensor)> destination)
    {
        var targets = destination.ToDictionary(pair => pair.Name, pair => pair.Tensor, StringComparer.Ordinal);
        Match(targets);
        foreach (var entry in Entries)
        {
            var target = targets[entry.Name];
            if (target.dtype == entry.DType && target.device_type == TorchSharp.DeviceType.CPU && target.is_contiguous())
            {
                ReadBytes(entry, target);
                continue;
            }
            using var read = Read(entry.Name);
            using var free = no_grad();
            target.copy_(read);
        }
    }

    /// <summary>Writes tensors to a file, all or nothing.</summary>
    /// <exception cref="ArgumentException">A name occurs twice or is the format's reserved one.</exception>
    public static void Write(string path, IEnumerable<(string Name, Tensor Tensor)> tensors, IReadOnlyDictionary<string, string>? metadata = null) =>
        AtomicFile.Write(path, stream => Write(stream, tensors, metadata));

    /// <summary>Writes tensors to a stream, one after the other: no seeking, no copy of the whole.</summary>
    /// <exception cref="ArgumentException">A name occurs twice or is the format's reserved one.</exception>
    public static void Write(Stream stream, IEnumerable<(string Name, Tensor Tensor)> tensors, IReadOnlyDictionary<string, string>? metadata = null)
    {
        var list = tensors as IReadOnlyList<(string Name, Tensor Tensor)> ?? [.. tensors];
        var header = SafetensorsHeader.Plan(list.Select(pair => (pair.Name, pair.Tensor.dtype, pair.Tensor.shape)), metadata);
        var byName = list.ToDictionary(pair => pair.Name, pair => pair.Tensor, StringComparer.Ordinal);
        header.WriteTo(stream);
        foreach (var entry in header.Entries)
        {
            using var scope = NewDisposeScope();
            using var free = no_grad();
            ForEachSlice(byName[entry.Name].detach().cpu().contiguous(), entry.Length, bytes => stream.Write(bytes));
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (!_leaveOpen)
            _stream.Dispose();
    }

    private delegate void SliceAction(Span<byte> bytes);

    private SafetensorsEntry Find(string name) =>
        _byName.TryGetValue(name, out var entry) ? entry : throw new KeyNotFoundException($"'{_fileName}' holds no tensor '{name}'.");

    private void ReadBytes(SafetensorsEntry entry, Tensor target)
    {
        if (_position != entry.Begin)
        {
            _stream.Seek(_origin + _header.DataStart + entry.Begin, SeekOrigin.Begin);
            _position = entry.Begin;
        }
        ForEachSlice(target, entry.Length, bytes =>
        {
            int read = _stream.ReadAtLeast(bytes, bytes.Length, throwOnEndOfStream: false);
            if (read < bytes.Length)
                throw SafetensorsHeader.Damaged(_fileName, $"it ends within '{entry.Name}'");
            _position += read;
        });
    }

    private static void ForEachSlice(Tensor contiguous, long length, SliceAction action)
    {
        if (length == 0)
            return;
        if (length <= SliceBytes)
        {
            action(contiguous.bytes);
            return;
        }
        long elements = contiguous.NumberOfElements;
        long step = SliceBytes / (length / elements);
        using var flat = contiguous.view(-1);
        for (long start = 0; start < elements; start += step)
        {
            using var slice = flat.narrow(0, start, Math.Min(step, elements - start));
            action(slice.bytes);
        }
    }

    private void Match(Dictionary<string, Tensor> targets)
    {
        string[] missing = [.. targets.Keys.Where(name => !_byName.ContainsKey(name)).Order(StringComparer.Ordinal)];
        string[] unknown = [.. _byName.Keys.Where(name => !targets.ContainsKey(name)).Order(StringComparer.Ordinal)];
        if (missing.Length + unknown.Length > 0)
        {
            throw new InvalidDataException($"The weights in '{_fileName}' are not those of this network:"
                + (missing.Length > 0 ? $" it lacks {Some(missing)};" : "") + (unknown.Length > 0 ? $" the network has no {Some(unknown)};" : "")
                + " build the network with the options it was saved with.");
        }
        foreach (var (name, target) in targets)
        {
            if (!target.shape.AsSpan().SequenceEqual(_byName[name].Shape))
            {
                throw new InvalidDataException($"'{_fileName}' holds '{name}' as [{string.Join(", ", _byName[name].Shape)}] where the network has "
                    + $"[{string.Join(", ", target.shape)}]; build the network with the options it was saved with.");
            }
        }
    }

    private static string Some(string[] names) =>
        string.Join(", ", names.Take(3).Select(name => $"'{name}'")) + (names.Length > 3 ? $" and {names.Length - 3} more" : "");
}
