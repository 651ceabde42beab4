namespace Microsoft.ML.Diffusion;

/// <summary>The sizes of a 3x3 convolution of stride 1 with a zero around the image.</summary>
/// <param name="Images">N.</param>
/// <param name="Height">H.</param>
/// <param name="Width">W.</param>
/// <param name="Inputs">C.</param>
/// <param name="Outputs">D.</param>
internal readonly record struct ConvolutionSize(int Images, int Height, int Width, int Inputs, int Outputs);

/// <summary>Some rows of tiles of one image.</summary>
/// <param name="Image">Which image.</param>
/// <param name="FirstRow">The first row of tiles.</param>
/// <param name="Rows">How many rows.</param>
/// <param name="FirstTile">How many tiles of the same block come before.</param>
internal readonly record struct TileBand(int Image, int FirstRow, int Rows, int FirstTile);

/// <summary>Cuts a batch into tiles of 4x4 pixels, and the tiles into blocks that are worked on together: several small images, or some rows of a large one.</summary>
internal sealed class ConvolutionTiles
{
    /// <summary>Pixels of a tile's side.</summary>
    public const int Side = 4;

    /// <summary>Floats between two matrices of tiles, so that they do not fall on the same lines of a cache: one of its lines, which all begin on.</summary>
    public const int Skew = 16;

    private readonly int _images;
    private readonly int _imagesPerBlock;
    private readonly int _rowsPerBlock;
    private readonly int _blocksPerImage;

    /// <summary>Cuts.</summary>
    /// <param name="size">The sizes.</param>
    /// <param name="tiles">As many tiles as a block should have.</param>
    /// <param name="cores">As many as will work: where that leaves them evenly busy, blocks are made smaller.</param>
    public ConvolutionTiles(in ConvolutionSize size, int tiles, int cores)
    {
        Across = Along(size.Width);
        Down = Along(size.Height);
        _images = size.Images;
        int image = Across * Down;
        if (image <= tiles)
        {
            int blocks = (_images + tiles / image - 1) / (tiles / image);
            // A last block that one core works on alone is time lost.
            blocks = Math.Min(_images, (blocks + cores - 1) / cores * cores);
            // Not at any price: a few tiles read as many weights as many do.
            if (image * _images < 2 * tiles)
                blocks = (_images * image + tiles - 1) / tiles;
            _imagesPerBlock = Even((_images + blocks - 1) / blocks, _images, cores);
            _rowsPerBlock = Down;
            _blocksPerImage = 1;
        }
        else
        {
            _imagesPerBlock = 1;
            _rowsPerBlock = Math.Max(1, tiles / Across);
            _blocksPerImage = (Down + _rowsPerBlock - 1) / _rowsPerBlock;
            _rowsPerBlock = (Down + _blocksPerImage - 1) / _blocksPerImage;
        }
        Blocks = (_images + _imagesPerBlock - 1) / _imagesPerBlock * _blocksPerImage;
    }

    /// <summary>Images of a block: as many as may be, or down to half of them where the busiest core has less to do then.</summary>
    private static int Even(int most, int images, int cores)
    {
        int best = most;
        for (int each = most - 1; each > most / 2; each--)
        {
            if (Busiest(each) < Busiest(best))
                best = each;
        }
        return best;

        int Busiest(int each) => ((images + each - 1) / each + cores - 1) / cores * each;
    }

    /// <summary>Tiles along a side of an image.</summary>
    public static int Along(int pixels) => (pixels + Side - 1) / Side;

    /// <summary>Tiles in a row of an image.</summary>
    public int Across { get; }

    /// <summary>Rows of tiles in an image.</summary>
    public int Down { get; }

    /// <summary>How many blocks there are.</summary>
    public int Blocks { get; }

    /// <summary>Rows of tiles of the largest band.</summary>
    public int BandRows => _rowsPerBlock;

    /// <summary>Tiles of the largest block.</summary>
    public int TilesPerBlock => _imagesPerBlock * _rowsPerBlock * Across;

    /// <summary>Bands of a block.</summary>
    public int Bands(int block) => _blocksPerImage > 1 ? 1 : Math.Min(_imagesPerBlock, _images - block * _imagesPerBlock);

    /// <summary>One band of a block.</summary>
    public TileBand Band(int block, int band)
    {
        if (_blocksPerImage == 1)
            return new(block * _imagesPerBlock + band, 0, Down, band * Down * Across);
        int first = block % _blocksPerImage * _rowsPerBlock;
        return new(block / _blocksPerImage, first, Math.Min(_rowsPerBlock, Down - first), 0);
    }
}
