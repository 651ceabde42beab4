using Microsoft.ML.Data;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// A folder of PNG and JPEG files as a data view of paths, ready for LoadImages and ResizeImages: column ImagePath (text, full path)
/// and, where the pictures lie in sub-folders, Label (a UInt32 key that carries the sub-folders' names).
/// </summary>
/// <remarks>Rows are ordered by sub-folder, then by path, both ordinal; a shuffled cursor permutes them.</remarks>
internal sealed class ImageFolder : IndexedDataView
{
    public const string ImagePathColumnName = "ImagePath";
    public const string LabelColumnName = "Label";

    private readonly ReadOnlyMemory<char>[] _paths;
    private readonly uint[] _keys;

    private ImageFolder(DataViewSchema schema, string[] paths, uint[] keys)
        : base(schema, paths.Length, canShuffle: true)
    {
        _paths = [.. paths.Select(path => path.AsMemory())];
        _keys = keys;
    }

    /// <summary>Lists a folder's pictures and looks at the beginning and the end of each.</summary>
    /// <param name="folder">Pictures themselves (no classes), or one sub-folder a class; what begins with a dot is passed over.</param>
    /// <exception cref="DirectoryNotFoundException">There is no such folder.</exception>
    /// <exception cref="InvalidDataException">It or a sub-folder holds no picture, it holds pictures both beside and in sub-folders, or a picture is not PNG or JPEG or is cut short.</exception>
    public static ImageFolder Load(string folder)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(folder);
        if (!Directory.Exists(folder))
        {
            throw new DirectoryNotFoundException($"The folder of images '{folder}' does not exist: check the path.");
        }

        string[] loose = Pictures(folder, SearchOption.TopDirectoryOnly);
        string[] classes = [.. Directory.EnumerateDirectories(folder).Where(Visible).Order(StringComparer.Ordinal)];
        string[][] inside = [.. classes.Select(c => Pictures(c, SearchOption.AllDirectories))];
        bool conditional = inside.Any(pictures => pictures.Length > 0);

        if (loose.Length == 0 && !conditional)
        {
            throw new InvalidDataException($"The folder '{folder}' holds no .png, .jpg or .jpeg file: put pictures in it, or one sub-folder of pictures a class.");
        }

        if (loose.Length > 0 && conditional)
        {
            throw new InvalidDataException($"The folder '{folder}' holds {loose.Length} picture(s) beside sub-folders of pictures, so their class is unknown: move '{Path.GetFileName(loose[0])}' and the like into sub-folders, or all pictures out of them.");
        }

        if (conditional && Array.FindIndex(inside, pictures => pictures.Length == 0) is >= 0 and var empty)
        {
            throw new InvalidDataException($"The class folder '{classes[empty]}' holds no .png, .jpg or .jpeg file: put pictures in it, or remove it.");
        }

        var schema = new DataViewSchema.Builder();
        schema.AddColumn(ImagePathColumnName, TextDataViewType.Instance);
        if (conditional)
        {
            schema.AddKeyColumn(LabelColumnName, [.. classes.Select(c => Path.GetFileName(c)!)]);
        }

        string[] paths = conditional ? [.. inside.SelectMany(pictures => pictures)] : loose;
        foreach (string path in paths)
        {
            PictureFile.Check(path);
        }

        return new ImageFolder(schema.ToSchema(), paths, [.. inside.SelectMany((pictures, i) => pictures.Select(_ => (uint)i + 1))]);
    }

    protected override Rows OpenRows(bool[] active, bool sequential) => new FolderRows(this);

    private static string[] Pictures(string folder, SearchOption depth) =>
        [.. Directory.EnumerateFiles(folder, "*", depth).Where(Visible).Where(PictureFile.HasPictureName).Select(Path.GetFullPath).Order(StringComparer.Ordinal)];

    private static bool Visible(string path) => !Path.GetFileName(path).StartsWith('.');

    private sealed class FolderRows(ImageFolder view) : Rows
    {
        private int _row = -1;

        public override void MoveTo(int row) => _row = row;

        public override Delegate Getter(DataViewSchema.Column column) => column.Index == 0
            ? (ValueGetter<ReadOnlyMemory<char>>)((ref ReadOnlyMemory<char> value) => value = view._paths[_row])
            : (ValueGetter<uint>)((ref uint value) => value = view._keys[_row]);
    }
}
