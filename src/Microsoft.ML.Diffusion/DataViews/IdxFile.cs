using System.Buffers.Binary;
using System.IO.Compression;
using Microsoft.Win32.SafeHandles;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// One IDX file of unsigned bytes, plain or gzipped: two zero bytes, the element type, the number of dimensions,
/// each dimension as a big-endian int32, then the elements, first dimension slowest.
/// </summary>
internal sealed class IdxFile
{
    private const byte UnsignedByte = 0x08;
    private const string Advice = "Fetch or unpack the file again, or give another one.";

    private readonly long _headerLength;
    private readonly Lazy<byte[]> _content;

    private IdxFile(string path, bool gzipped, int[] dimensions)
    {
        Path = path;
        Gzipped = gzipped;
        Dimensions = dimensions;
        _headerLength = 4 + 4L * dimensions.Length;
        ItemLength = (int)dimensions.Skip(1).Aggregate(1L, (product, d) => product * d);
        _content = new Lazy<byte[]>(ReadAll);
    }

    public string Path { get; }

    public bool Gzipped { get; }

    /// <summary>The number of items first, then an item's own dimensions.</summary>
    public IReadOnlyList<int> Dimensions { get; }

    public int Count => Dimensions[0];

    /// <summary>Bytes of one item.</summary>
    public int ItemLength { get; }

    public long DataLength => (long)Count * ItemLength;

    /// <summary>Reads the header and holds the file's length against it.</summary>
    /// <param name="path">The file.</param>
    /// <param name="rank">How many dimensions it must have: 1 for labels, 3 for images.</param>
    /// <param name="what">What the file should hold, for messages.</param>
    /// <exception cref="FileNotFoundException">There is no such file.</exception>
    /// <exception cref="InvalidDataException">It is no IDX file of that kind, or cut short.</exception>
    public static IdxFile Open(string path, int rank, string what)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(path);
        if (!File.Exists(path))
        {
            throw new FileNotFoundException($"The IDX file of {what} '{path}' does not exist: check the path.", path);
        }

        using FileStream raw = File.OpenRead(path);
        bool gzipped = raw.ReadByte() == 0x1f && raw.ReadByte() == 0x8b;
        raw.Position = 0;

        Span<byte> header = stackalloc byte[4 + 4 * rank];
        int read;
        try
        {
            using Stream stream = gzipped ? new GZipStream(raw, CompressionMode.Decompress, leaveOpen: true) : raw;
            read = stream.ReadAtLeast(header, header.Length, throwOnEndOfStream: false);
        }
        catch (InvalidDataException e)
        {
            throw new InvalidDataException($"'{path}' begins like gzip and cannot be unpacked: it is damaged. {Advice}", e);
        }

        if (read < 4 || header[0] != 0 || header[1] != 0)
        {
            throw new InvalidDataException($"'{path}' is not an IDX file: it does not begin with two zero bytes and an element type. {Advice}");
        }

        if (header[2] != UnsignedByte || header[3] != rank)
        {
            throw new InvalidDataException(
                $"'{path}' cannot hold {what}: {rank} dimension(s) of unsigned bytes (0x08) were expected, it has {header[3]} of element type 0x{header[2]:x2}. Are the image and label files exchanged?");
        }

        if (read < header.Length)
        {
            throw new InvalidDataException($"'{path}' ends within its header: it is cut short. {Advice}");
        }

        var dimensions = new int[rank];
        double product = 1;
        for (int i = 0; i < rank; i++)
        {
            dimensions[i] = BinaryPrimitives.ReadInt32BigEndian(header[(4 + 4 * i)..]);
            product *= dimensions[i];
            if (dimensions[i] < 0 || (i > 0 && (dimensions[i] is 0 or > 0x10000)) || product > 1L << 40)
            {
                throw new InvalidDataException($"'{path}' states impossible dimensions in its header ({string.Join(" x ", dimensions[..(i + 1)])}): it is damaged. {Advice}");
            }
        }

        if (dimensions[0] == 0)
        {
            throw new InvalidDataException($"'{path}' holds no {what}: its header states a count of 0. {Advice}");
        }

        var file = new IdxFile(path, gzipped, dimensions);
        file.CheckLength();
        return file;
    }

    /// <summary>The items from the first one on; the caller disposes the stream.</summary>
    public Stream OpenItems()
    {
        FileStream raw = new(Path, FileMode.Open, FileAccess.Read, FileShare.Read, 1 << 16, FileOptions.SequentialScan);
        if (!Gzipped)
        {
            raw.Position = _headerLength;
            return raw;
        }

        var unpacked = new GZipStream(raw, CompressionMode.Decompress);
        ReadExactly(unpacked, new byte[_headerLength]);
        return unpacked;
    }

    /// <summary>Fills a buffer from a stream of <see cref="OpenItems"/>, or says that the file ends too early.</summary>
    public void ReadExactly(Stream items, Span<byte> buffer)
    {
        try
        {
            items.ReadExactly(buffer);
        }
        catch (Exception e) when (e is EndOfStreamException or InvalidDataException)
        {
            throw Damaged(e);
        }
    }

    /// <summary>All items, read once and kept: gzip cannot be entered in the middle.</summary>
    public byte[] Content => _content.Value;

    /// <summary>Opens a plain file for reading items in any order.</summary>
    public SafeFileHandle OpenHandle() => File.OpenHandle(Path, options: FileOptions.RandomAccess);

    /// <summary>Reads one item of a plain file.</summary>
    public void ReadItem(SafeFileHandle handle, int index, Span<byte> buffer)
    {
        if (RandomAccess.Read(handle, buffer, _headerLength + (long)index * ItemLength) != buffer.Length)
        {
            throw Damaged(null);
        }
    }

    private byte[] ReadAll()
    {
        var bytes = new byte[DataLength];
        using Stream items = OpenItems();
        ReadExactly(items, bytes);
        try
        {
            // The end of the stream is where gzip compares its checksum.
            return items.ReadByte() < 0 ? bytes : throw Damaged(null);
        }
        catch (InvalidDataException e) when (e.InnerException is null)
        {
            throw Damaged(e);
        }
    }

    private void CheckLength()
    {
        long expected = _headerLength + DataLength;
        long actual = new FileInfo(Path).Length;
        if (Gzipped)
        {
            // Gzip's last four bytes are the unpacked length modulo 2^32: a look at them spares unpacking everything,
            // and where they disagree (cut short, or several members) counting settles it.
            actual = UnpackedLengthModulo32() == (uint)expected ? expected : CountUnpacked(expected);
        }

        if (actual != expected)
        {
            throw new InvalidDataException(
                $"'{Path}' should be {expected:N0} bytes{(Gzipped ? " unpacked" : "")} by its header ({string.Join(" x ", Dimensions)}) and is {actual:N0}: it is {(actual < expected ? "cut short" : "damaged")}. {Advice}");
        }
    }

    private uint UnpackedLengthModulo32()
    {
        using FileStream raw = File.OpenRead(Path);
        Span<byte> last = stackalloc byte[4];
        if (raw.Length < 18)
        {
            throw Damaged(null);
        }

        raw.Seek(-4, SeekOrigin.End);
        raw.ReadExactly(last);
        return BinaryPrimitives.ReadUInt32LittleEndian(last);
    }

    private long CountUnpacked(long expected)
    {
        var buffer = new byte[1 << 16];
        long count = _headerLength;
        try
        {
            using Stream items = OpenItems();
            // One byte more than expected is enough to know that there is too much.
            for (int read; count <= expected && (read = items.Read(buffer)) > 0;)
            {
                count += read;
            }
        }
        catch (InvalidDataException e)
        {
            throw Damaged(e);
        }

        return count;
    }

    private InvalidDataException Damaged(Exception? inner) =>
        new($"'{Path}' cannot be read to the end of the {Count:N0} items that its header states: it is cut short or damaged. {Advice}", inner);
}
