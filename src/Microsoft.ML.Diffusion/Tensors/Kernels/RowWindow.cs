using System.Runtime.CompilerServices;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// Reads rows of tiles of an image one after the other, some channels: six rows of pixels each, of which the first two are the last of the row of tiles before.
/// What lies outside the image is zero.
/// </summary>
internal unsafe struct RowWindow
{
    private const int Side = ConvolutionTiles.Side;
    private const int Window = Side + 2;

    private readonly PixelSource _source;
    private readonly ConvolutionSize _size;
    private readonly ChannelRange _channels;
    private readonly int _stride;
    private readonly int _width;
    private readonly float* _room;
    private float* _last;
    private int _image;
    private int _row;

    /// <summary>Begins before the first row.</summary>
    /// <param name="source">The images.</param>
    /// <param name="size">Their sizes.</param>
    /// <param name="first">The first channel.</param>
    /// <param name="count">How many, with those past the last, which are zero; the distance from a pixel to the next.</param>
    /// <param name="room">[<see cref="PixelSource.Room"/>], for the source.</param>
    public RowWindow(PixelSource source, in ConvolutionSize size, int first, int count, float* room)
    {
        _source = source;
        _size = size;
        _channels = new(first, Math.Min(first + count, size.Inputs));
        _stride = count;
        _width = Side * ConvolutionTiles.Along(size.Width) + 2;
        _room = room;
        _image = -1;
    }

    /// <summary>From a row of pixels to the next.</summary>
    public readonly nint RowFloats => (nint)_width * _stride;

    /// <summary>Floats of the rows of pixels.</summary>
    /// <param name="width">Pixels of a row of the image.</param>
    /// <param name="channels">All of its channels, in whole registers.</param>
    public static nint Floats(int width, int channels) => (nint)Window * (Side * ConvolutionTiles.Along(width) + 2) * Math.Min(PixelSource.MostChannels, channels);

    /// <summary>Reads a row of tiles.</summary>
    /// <param name="image">Which image.</param>
    /// <param name="row">Which row of tiles.</param>
    /// <param name="to">[6, 4·across + 2, channels], written; may be where the row before lies.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void Read(int image, int row, float* to)
    {
        int kept = 0;
        if (image != _image)
            _source.Begin(image, _channels, _room);
        else if (row == _row + 1)
        {
            kept = Window - Side;
            new ReadOnlySpan<float>(_last + Side * RowFloats, (int)(kept * RowFloats)).CopyTo(new Span<float>(to, (int)(kept * RowFloats)));
        }
        _image = image;
        _row = row;
        _last = to;
        bool ragged = _stride != _channels.Count;
        to += kept * RowFloats;
        for (int y = Side * row - 1 + kept; y < Side * row - 1 + Window; y++, to += RowFloats)
        {
            if (y < 0 || y >= _size.Height || ragged)
                new Span<float>(to, (int)RowFloats).Clear();
            if (y < 0 || y >= _size.Height)
                continue;
            new Span<float>(to, _stride).Clear();
            new Span<float>(to + (nint)(_size.Width + 1) * _stride, (_width - _size.Width - 1) * _stride).Clear();
            _source.Read(image, y, _channels, _room, to + _stride, _stride);
        }
    }
}
