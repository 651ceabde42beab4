using Microsoft.ML.Data;
using Microsoft.Win32.SafeHandles;

namespace Microsoft.ML.Diffusion;

/// <summary>Images and labels in the IDX files of the MNIST family, as a data view.</summary>
/// <remarks>
/// The image column is a vector of dimensions (1, height, width), the label column a UInt32 key whose key k is the byte k − 1.
/// A cursor in the files' order streams them; a shuffled one reads single items out of a plain file, and unpacks a gzipped file
/// into memory once, so a gzipped file of more than <see cref="LargestUnpacked"/> bytes does not offer shuffling.
/// </remarks>
internal sealed class IdxLoader : IndexedDataView
{
    /// <summary>Up to this many bytes a gzipped file may be held unpacked in memory.</summary>
    public const long LargestUnpacked = 1L << 28;

    private readonly IdxFile _images;
    private readonly byte[]? _labels;
    private readonly ImageLayout _layout;

    private IdxLoader(DataViewSchema schema, IdxFile images, byte[]? labels, ImageLayout layout)
        : base(schema, images.Count, canShuffle: !images.Gzipped || images.DataLength <= LargestUnpacked)
    {
        _images = images;
        _labels = labels;
        _layout = layout;
    }

    /// <summary>Opens a pair of files and checks their headers, lengths and labels; images are read when cursors ask.</summary>
    /// <param name="imagesPath">IDX with three dimensions of unsigned bytes (count, height, width), plain or gzipped.</param>
    /// <param name="labelsPath">IDX with one dimension of unsigned bytes (count), plain or gzipped; null for none.</param>
    /// <param name="options">Names, padding, scaling.</param>
    /// <exception cref="FileNotFoundException">A file does not exist.</exception>
    /// <exception cref="InvalidDataException">A file is no IDX file of its kind, cut short or damaged, the counts differ, or a label has no class.</exception>
    /// <exception cref="ArgumentException">An option makes no sense.</exception>
    public static IdxLoader Load(string imagesPath, string? labelsPath, IdxOptions? options = null)
    {
        options ??= new IdxOptions();
        ArgumentException.ThrowIfNullOrWhiteSpace(options.ImageColumnName, "IdxOptions.ImageColumnName");
        IdxFile images = IdxFile.Open(imagesPath, 3, "images");
        var layout = ImageLayout.Of(images, options);

        var schema = new DataViewSchema.Builder();
        schema.AddColumn(options.ImageColumnName,
            new VectorDataViewType(options.Scale ? NumberDataViewType.Single : NumberDataViewType.Byte, 1, layout.Height, layout.Width));

        byte[]? labels = null;
        if (labelsPath is not null)
        {
            ArgumentException.ThrowIfNullOrWhiteSpace(options.LabelColumnName, "IdxOptions.LabelColumnName");
            if (options.LabelColumnName == options.ImageColumnName)
            {
                throw new ArgumentException($"IdxOptions gives images and labels the same column name '{options.ImageColumnName}': choose two.", nameof(options));
            }

            IdxFile file = IdxFile.Open(labelsPath, 1, "labels");
            if (file.Count != images.Count)
            {
                throw new InvalidDataException($"'{imagesPath}' holds {images.Count:N0} images and '{labelsPath}' {file.Count:N0} labels: give the two files that belong together.");
            }

            labels = file.Content;
            schema.AddKeyColumn(options.LabelColumnName, ClassNames(options, labels, labelsPath));
        }

        return new IdxLoader(schema.ToSchema(), images, labels, layout);
    }

    protected override Rows OpenRows(bool[] active, bool sequential) => new IdxRows(this, active[0], sequential);

    private static IReadOnlyList<string> ClassNames(IdxOptions options, byte[] labels, string labelsPath)
    {
        int largest = labels.Max();
        if (options.ClassNames is not { } names)
        {
            return [.. Enumerable.Range(0, largest + 1).Select(i => i.ToString())];
        }

        return largest < names.Count
            ? names
            : throw new InvalidDataException($"'{labelsPath}' holds the label {largest}, and IdxOptions.ClassNames names only 0 to {names.Count - 1}: name all classes, or none.");
    }

    /// <summary>Where an image of the file lies within an image of the column.</summary>
    private readonly record struct ImageLayout(int Height, int Width, int Top, int Left, int FileHeight, int FileWidth)
    {
        public static ImageLayout Of(IdxFile file, IdxOptions options)
        {
            (int height, int width) = (file.Dimensions[1], file.Dimensions[2]);
            if (options.PadTo is not { } size)
            {
                return new ImageLayout(height, width, 0, 0, height, width);
            }

            return size >= Math.Max(height, width)
                ? new ImageLayout(size, size, (size - height) / 2, (size - width) / 2, height, width)
                : throw new ArgumentException($"IdxOptions.PadTo is {size}, and the images of '{file.Path}' are {height}x{width}: padding only enlarges; give {Math.Max(height, width)} or more.", nameof(options));
        }

        public void Place<T>(ReadOnlySpan<byte> pixels, Span<T> image, ReadOnlySpan<T> values)
        {
            image.Fill(values[0]);
            for (int y = 0; y < FileHeight; y++)
            {
                ReadOnlySpan<byte> line = pixels.Slice(y * FileWidth, FileWidth);
                Span<T> target = image.Slice((Top + y) * Width + Left, FileWidth);
                for (int x = 0; x < line.Length; x++)
                {
                    target[x] = values[line[x]];
                }
            }
        }
    }

    private sealed class IdxRows : Rows
    {
        private static readonly byte[] AsStored = [.. Enumerable.Range(0, 256).Select(b => (byte)b)];
        private static readonly float[] Scaled = [.. Enumerable.Range(0, 256).Select(b => (float)(b / 127.5 - 1))];

        private readonly IdxLoader _view;
        private readonly byte[] _pixels;
        private readonly Stream? _stream;
        private readonly SafeFileHandle? _handle;
        private int _row = -1;
        private int _read = -1;

        public IdxRows(IdxLoader view, bool images, bool sequential)
        {
            _view = view;
            _pixels = images ? new byte[view._images.ItemLength] : [];
            if (images && sequential)
            {
                _stream = view._images.OpenItems();
            }
            else if (images && !view._images.Gzipped)
            {
                _handle = view._images.OpenHandle();
            }
        }

        public override void MoveTo(int row) => _row = row;

        public override Delegate Getter(DataViewSchema.Column column)
        {
            if (column.Index == 1)
            {
                byte[] labels = _view._labels!;
                return (ValueGetter<uint>)((ref uint value) => value = labels[_row] + 1u);
            }

            return ((VectorDataViewType)column.Type).ItemType.RawType == typeof(float) ? ImageGetter(Scaled) : ImageGetter(AsStored);
        }

        public override void Dispose()
        {
            _stream?.Dispose();
            _handle?.Dispose();
            base.Dispose();
        }

        private ValueGetter<VBuffer<T>> ImageGetter<T>(T[] values) => (ref VBuffer<T> value) =>
        {
            Read();
            VBufferEditor<T> editor = VBufferEditor.Create(ref value, _view._layout.Height * _view._layout.Width);
            _view._layout.Place(_pixels, editor.Values, values);
            value = editor.Commit();
        };

        private void Read()
        {
            if (_row == _read)
            {
                return;
            }

            if (_stream is not null)
            {
                // Rows whose image nobody asked for are passed over.
                for (; _read < _row; _read++)
                {
                    _view._images.ReadExactly(_stream, _pixels);
                }
            }
            else if (_handle is not null)
            {
                _view._images.ReadItem(_handle, _row, _pixels);
            }
            else
            {
                _view._images.Content.AsSpan(_row * _pixels.Length, _pixels.Length).CopyTo(_pixels);
            }

            _read = _row;
        }
    }
}
