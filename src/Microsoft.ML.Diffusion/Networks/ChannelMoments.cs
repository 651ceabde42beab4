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

    // An array an image: one for all would be large enough to wait for a collection of everything.
    private readonly float[][] _images;

    /// <summary>Wraps.</summary>
    /// <param name="images">[N][2·C]: means, then sums.</param>
    public ChannelMoments(float[][] images) => _images = images;

    /// <summary>C.</summary>
    public int Channels => _images[0].Length / 2;

    /// <summary>What is known of a batch; null: nothing.</summary>
    public static ChannelMoments? Of(Tensor batch) => s_known.TryGetValue(batch, out var moments) ? moments : null;

    /// <summary>Unties what is known of a batch.</summary>
    public static void Forget(Tensor batch) => s_known.Remove(batch);

    /// <summary>Those of the batch that two make whose channels are joined; null where one of them is not known.</summary>
    public static ChannelMoments? Join(ChannelMoments? a, ChannelMoments? b)
    {
        if (a is null || b is null)
            return null;
        int first = a.Channels, second = b.Channels, all = first + second;
        var images = new float[a._images.Length][];
        for (int i = 0; i < images.Length; i++)
        {
            float[] joined = images[i] = new float[2 * all];
            Span<float> means = joined.AsSpan(0, all), squares = joined.AsSpan(all);
            ReadOnlySpan<float> x = a._images[i], y = b._images[i];
            x[..first].CopyTo(means);
            y[..second].CopyTo(means[first..]);
            x[first..].CopyTo(squares);
            y[second..].CopyTo(squares[first..]);
        }
        return new(images);
    }

    /// <summary>Those of the batch with a row added to every pixel of an image: [N or 1, C].</summary>
    public unsafe ChannelMoments Shifted(ImageRows rows)
    {
        var images = new float[_images.Length][];
        for (int i = 0; i < images.Length; i++)
        {
            float[] shifted = images[i] = [.. _images[i]];
            float* row = rows.Numbers + (rows.IsPerImage ? i * Channels : 0);
            for (int c = 0; c < Channels; c++)
                shifted[c] += row[c];
        }
        return new(images);
    }

    /// <summary>Ties them to a batch.</summary>
    public void Describe(Tensor batch) => s_known.AddOrUpdate(batch, this);

    /// <summary>A batch once more, with what is known of it; the caller disposes it.</summary>
    public static Tensor Alias(Tensor batch)
    {
        Tensor alias = batch.alias();
        Of(batch)?.Describe(alias);
        return alias;
    }

    /// <summary>Those of one image: [2, C].</summary>
    public ReadOnlySpan<float> Image(int image) => _images[image];
}

/// <summary>The memory of <see cref="MomentLines"/> while an operator writes a batch: the thread's <see cref="KernelMemory.Sums"/>, so that it is good for one operator.</summary>
internal sealed unsafe class MomentSheet
{
    private readonly float* _memory;
    private readonly int _images;
    private readonly int _linesPerImage;
    private readonly int _pixels;
    private readonly int _channels;
    private readonly int _lanes;

    private MomentSheet(int images, int linesPerImage, int pixels, int channels)
    {
        (_images, _linesPerImage, _pixels, _channels, _lanes) = (images, linesPerImage, pixels, channels, Lanes.Dividing(channels));
        _memory = KernelMemory.Sums((long)images * linesPerImage * 2 * channels);
    }

    /// <summary>What the kernel fills.</summary>
    public MomentLines Lines => new(_memory, _pixels, _channels);

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
        var images = new float[_images][];
        float* lines = _memory;
        for (int image = 0; image < _images; image++, lines += _linesPerImage * 2 * _channels)
        {
            images[image] = new float[2 * _channels];
            fixed (float* to = images[image])
            {
                if (_lanes == 16)
                    Merge<Lanes512>(lines, to);
                else if (_lanes == 8)
                    Merge<Lanes256>(lines, to);
                else
                    Merge<Lanes128>(lines, to);
            }
        }
        return new(images);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Merge<L>(float* lines, float* to)
        where L : unmanaged, ILanes<L>
    {
        nint row = 2 * _channels;
        L share = L.All(1f / _linesPerImage), pixels = L.All(_pixels);
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
