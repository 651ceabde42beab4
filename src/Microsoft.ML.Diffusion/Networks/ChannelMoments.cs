using System.Runtime.CompilerServices;
using TorchSharp;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// Of each channel of each image of a batch the mean and the sum of the squared distances from it: all that a group norm has to know. The operator that wrote the batch measured them on
/// the way (<see cref="MomentSheet"/>) and tied them to the tensor; the norm then need not read the batch once more. A tensor that is changed in place has to be forgotten first.
/// </summary>
internal sealed class ChannelMoments
{
    private static readonly ConditionalWeakTable<Tensor, ChannelMoments> s_known = [];

    private readonly float[] _values;

    /// <summary>Wraps.</summary>
    /// <param name="values">[N, 2, C]: means, then sums.</param>
    /// <param name="channels">C.</param>
    public ChannelMoments(float[] values, int channels)
    {
        _values = values;
        Channels = channels;
    }

    /// <summary>C.</summary>
    public int Channels { get; }

    private int Images => _values.Length / (2 * Channels);

    /// <summary>What is known of a batch; null: nothing.</summary>
    public static ChannelMoments? Of(Tensor batch) => s_known.TryGetValue(batch, out var moments) ? moments : null;

    /// <summary>Unties what is known of a batch.</summary>
    public static void Forget(Tensor batch) => s_known.Remove(batch);

    /// <summary>Those of the batch that two make whose channels are joined; null where one of them is not known.</summary>
    public static ChannelMoments? Join(ChannelMoments? a, ChannelMoments? b)
    {
        if (a is null || b is null)
            return null;
        int channels = a.Channels + b.Channels;
        var values = new float[2 * a.Images * channels];
        for (int row = 0; row < 2 * a.Images; row++)
        {
            Span<float> to = values.AsSpan(row * channels, channels);
            a._values.AsSpan(row * a.Channels, a.Channels).CopyTo(to);
            b._values.AsSpan(row * b.Channels, b.Channels).CopyTo(to[a.Channels..]);
        }
        return new(values, channels);
    }

    /// <summary>Ties them to a batch.</summary>
    public void Describe(Tensor batch) => s_known.AddOrUpdate(batch, this);

    /// <summary>Those of one image: [2, C].</summary>
    public ReadOnlySpan<float> Image(int image) => _values.AsSpan(image * 2 * Channels, 2 * Channels);
}

/// <summary>The memory of <see cref="MomentLines"/> while an operator writes a batch.</summary>
internal sealed unsafe class MomentSheet : IDisposable
{
    private readonly Tensor _memory;
    private readonly int _images;
    private readonly int _linesPerImage;
    private readonly int _pixels;
    private readonly int _channels;
    private readonly int _lanes;

    private MomentSheet(int images, int linesPerImage, int pixels, int channels)
    {
        (_images, _linesPerImage, _pixels, _channels, _lanes) = (images, linesPerImage, pixels, channels, Lanes.Dividing(channels));
        _memory = empty([images, linesPerImage, 2, channels], float32);
    }

    /// <summary>What the kernel fills.</summary>
    public MomentLines Lines => new(HostMemory.Pointer(_memory), _pixels, _channels);

    /// <summary>Makes one.</summary>
    /// <param name="images">N.</param>
    /// <param name="imagePixels">Pixels of an image.</param>
    /// <param name="pixels">Pixels of a line.</param>
    /// <param name="channels">C.</param>
    /// <param name="lanes">Floats of the kernel's register.</param>
    /// <returns>Null where lines or registers do not come out even: the norm measures then.</returns>
    public static MomentSheet? TryCreate(int images, int imagePixels, int pixels, int channels, int lanes) =>
        imagePixels % pixels == 0 && channels % lanes == 0 ? new(images, imagePixels / pixels, pixels, channels) : null;

    /// <summary>Puts each image's lines together (Chan et al. 1979).</summary>
    public ChannelMoments Merge()
    {
        var values = new float[_images * 2 * _channels];
        fixed (float* to = values)
        {
            if (_lanes == 16)
                Merge<Lanes512>(to);
            else if (_lanes == 8)
                Merge<Lanes256>(to);
            else
                Merge<Lanes128>(to);
        }
        return new(values, _channels);
    }

    /// <inheritdoc/>
    public void Dispose() => _memory.Dispose();

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Merge<L>(float* to)
        where L : unmanaged, ILanes<L>
    {
        nint row = 2 * _channels;
        float* lines = HostMemory.Pointer(_memory);
        L share = L.All(1f / _linesPerImage), pixels = L.All(_pixels);
        for (int image = 0; image < _images; image++, to += row, lines += _linesPerImage * row)
        {
            for (int c = 0; c < _channels; c += L.Count)
            {
                L mean = default, squares = default;
                float* from = lines + c;
                for (int line = 0; line < _linesPerImage; line++, from += row)
                    mean += L.Load(from);
                mean *= share;
                from = lines + c;
                for (int line = 0; line < _linesPerImage; line++, from += row)
                {
                    L distance = L.Load(from) - mean;
                    squares += L.Fma(distance * distance, pixels, L.Load(from + _channels));
                }
                L.Store(mean, to + c);
                L.Store(squares, to + _channels + c);
            }
        }
    }
}
