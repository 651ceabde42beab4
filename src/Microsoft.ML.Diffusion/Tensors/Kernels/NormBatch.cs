using System.Runtime.CompilerServices;

namespace Microsoft.ML.Diffusion;

/// <param name="Groups">Groups of channels that share mean and variance.</param>
/// <param name="Epsilon">Added to the variance.</param>
/// <param name="Silu">Whether SiLU follows.</param>
internal sealed record NormSettings(int Groups, double Epsilon, bool Silu);

/// <summary>
/// The group norm of a batch with what follows it, over <see cref="NormKernel{L, E}"/>, an image a core. It looks into the memory it is made of, which has to outlive it.
/// </summary>
internal sealed unsafe class NormBatch
{
    private readonly ImageMemory _x;
    private readonly bool _narrow;
    private readonly float* _weight;
    private readonly float* _bias;
    private readonly float* _film;
    private readonly int _filmRow;
    private readonly float* _statistics;
    private readonly int _lanes;

    /// <summary>Wraps.</summary>
    /// <param name="x">[N, H, W, C]; float32, or bfloat16 where channels are a multiple of 32.</param>
    /// <param name="weight">[C].</param>
    /// <param name="bias">[C].</param>
    /// <param name="film">FiLM's rows of 2C, scales and then shifts; or none.</param>
    /// <param name="statistics">[N, 2·groups]: means, then 1/√(variance + ε); filled by <see cref="Measure"/>.</param>
    /// <param name="settings">The settings.</param>
    public NormBatch(ImageMemory x, float* weight, float* bias, ImageRows film, float* statistics, NormSettings settings)
    {
        (Images, Height, Width, Channels, _narrow) = x.Shape;
        Settings = settings;
        _x = x;
        _weight = weight;
        _bias = bias;
        _film = film.Numbers;
        _filmRow = film.IsPerImage ? 2 * Channels : 0;
        _statistics = statistics;
        _lanes = x.Run<byte>(0, new(0, Channels)).Count is var together && together < Channels ? Math.Min(Lanes.Dividing(together), Lanes.Dividing(Channels - together)) : Lanes.Dividing(Channels);
    }

    public int Images { get; }

    public int Height { get; }

    public int Width { get; }

    public int Channels { get; }

    public NormSettings Settings { get; }

    private nint Pixels => (nint)Height * Width;

    /// <summary>Whether there is a kernel for so many channels.</summary>
    public static bool Takes(long channels) => Lanes.Dividing(channels) > 0;

    /// <summary>Where some channels of an image's row lie together: the first of those that are wanted, one or more.</summary>
    /// <typeparam name="E">The batch's numbers.</typeparam>
    public ChannelRun<E> Run<E>(int image, int row, ChannelRange wanted)
        where E : unmanaged => _x.Run<E>(image * Pixels + (nint)row * Width, wanted);

    /// <summary>The batch normalised, in float32, a row at a time.</summary>
    public PixelSource Source() => (_narrow, _lanes) switch
    {
        (true, _) => new NormSource<Lanes512, NarrowElement>(this),
        (_, 16) => new NormSource<Lanes512, WideElement<Lanes512>>(this),
        (_, 8) => new NormSource<Lanes256, WideElement<Lanes256>>(this),
        _ => new NormSource<Lanes128, WideElement<Lanes128>>(this),
    };

    /// <summary>Measures every image.</summary>
    /// <param name="known">What was measured as the batch was written; null: the batch is read.</param>
    public void Measure(ChannelMoments? known) => Cores.Run(Images, image =>
    {
        if (known is not null)
            MeasureGroups(image, known.Image(image));
        else if (_narrow)
            MeasureImage<Lanes512, NarrowElement>(image);
        else if (_lanes == 16)
            MeasureImage<Lanes512, WideElement<Lanes512>>(image);
        else if (_lanes == 8)
            MeasureImage<Lanes256, WideElement<Lanes256>>(image);
        else
            MeasureImage<Lanes128, WideElement<Lanes128>>(image);
    });

    /// <summary>Computes the factors of y = act(x·factor + offset), one pair a channel.</summary>
    /// <param name="image">Which image.</param>
    /// <param name="factor">[channels], filled.</param>
    /// <param name="offset">[channels], filled.</param>
    public void Factors(int image, float* factor, float* offset) => Factors(image, new(0, Channels), factor, offset);

    /// <summary>The same of some channels.</summary>
    /// <param name="image">Which image.</param>
    /// <param name="range">Which channels.</param>
    /// <param name="factor">[range], filled.</param>
    /// <param name="offset">[range], filled.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void Factors(int image, ChannelRange range, float* factor, float* offset)
    {
        float* means = _statistics + (nint)image * 2 * Settings.Groups, inverses = means + Settings.Groups;
        float* scale = _film is null ? null : _film + (nint)image * _filmRow;
        int width = Channels / Settings.Groups;
        for (int c = range.First; c < range.End; c++)
        {
            double a = (double)inverses[c / width] * _weight[c], b = _bias[c] - means[c / width] * a;
            double film = scale is null ? 1 : 1.0 + scale[c];
            *factor++ = (float)(a * film);
            *offset++ = (float)(b * film + (scale is null ? 0 : scale[Channels + c]));
        }
    }

    /// <summary>Writes the whole batch normalised.</summary>
    /// <param name="y">[N, H, W, C] in the batch's type, written.</param>
    public void ApplyToAll(void* y) => Cores.Run(Images, image =>
    {
        nint first = image * Pixels;
        if (_narrow)
            Apply(first, (int)Pixels, (ushort*)y + first * Channels);
        else
            Apply(first, (int)Pixels, (float*)y + first * Channels);
    });

    /// <summary>Writes some of the batch's pixels normalised; a batch of float32.</summary>
    /// <param name="first">The first pixel, counted over the batch.</param>
    /// <param name="count">How many.</param>
    /// <param name="y">[count, C], written.</param>
    public void Apply(nint first, int count, float* y)
    {
        float* factor = stackalloc float[2 * Channels], offset = factor + Channels;
        while (count > 0)
        {
            int here = Next(first, count, factor, offset);
            if (_lanes == 16)
                Apply<Lanes512, WideElement<Lanes512>>(first, here, factor, offset, (WideElement<Lanes512>*)y);
            else if (_lanes == 8)
                Apply<Lanes256, WideElement<Lanes256>>(first, here, factor, offset, (WideElement<Lanes256>*)y);
            else
                Apply<Lanes128, WideElement<Lanes128>>(first, here, factor, offset, (WideElement<Lanes128>*)y);
            first += here;
            count -= here;
            y += (nint)here * Channels;
        }
    }

    /// <summary>The same for a batch of bfloat16.</summary>
    /// <param name="first">The first pixel, counted over the batch.</param>
    /// <param name="count">How many.</param>
    /// <param name="y">[count, C], written.</param>
    public void Apply(nint first, int count, ushort* y)
    {
        float* factor = stackalloc float[2 * Channels], offset = factor + Channels;
        while (count > 0)
        {
            int here = Next(first, count, factor, offset);
            Apply<Lanes512, NarrowElement>(first, here, factor, offset, (NarrowElement*)y);
            first += here;
            count -= here;
            y += (nint)here * Channels;
        }
    }

    /// <summary>Takes the gradient of the result back to the input.</summary>
    /// <param name="gradient">[N, H, W, C] in the batch's type: dy; overwritten.</param>
    /// <param name="added">[N, H, W, C], added to dx; or none.</param>
    /// <param name="dx">[N, H, W, C], written, in as many pieces as the batch; may be where one of the others is.</param>
    /// <param name="sums">[N, C], written: Σ dz over an image's pixels.</param>
    /// <param name="products">[N, C], written: Σ dz·n(x) over an image's pixels.</param>
    public void Backward(ImageMemory gradient, ImageMemory added, ImageMemory dx, float* sums, float* products) => Cores.Run(Images, image =>
    {
        if (_narrow)
            Backward<Lanes512, NarrowElement>(image, gradient, added, dx, sums, products);
        else if (_lanes == 16)
            Backward<Lanes512, WideElement<Lanes512>>(image, gradient, added, dx, sums, products);
        else if (_lanes == 8)
            Backward<Lanes256, WideElement<Lanes256>>(image, gradient, added, dx, sums, products);
        else
            Backward<Lanes128, WideElement<Lanes128>>(image, gradient, added, dx, sums, products);
    });

    /// <summary>Adds up the gradients of the parameters, from those sums.</summary>
    /// <param name="sums">[N, C], from <see cref="Backward"/>.</param>
    /// <param name="products">[N, C], from <see cref="Backward"/>.</param>
    /// <param name="dWeight">[C], added to.</param>
    /// <param name="dBias">[C], added to.</param>
    /// <param name="dFilm">[N or 1, 2C], added to; null without FiLM.</param>
    public void AddParameterGradients(float* sums, float* products, float* dWeight, float* dBias, float* dFilm)
    {
        if (_lanes == 16)
            AddParameterGradients<Lanes512>(sums, products, dWeight, dBias, dFilm);
        else if (_lanes == 8)
            AddParameterGradients<Lanes256>(sums, products, dWeight, dBias, dFilm);
        else
            AddParameterGradients<Lanes128>(sums, products, dWeight, dBias, dFilm);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void AddParameterGradients<L>(float* sums, float* products, float* dWeight, float* dBias, float* dFilm)
        where L : unmanaged, ILanes<L>
    {
        for (int c = 0; c < Channels; c += L.Count)
        {
            L weight = L.Load(_weight + c), bias = L.Load(_bias + c), ofWeight = L.Load(dWeight + c), ofBias = L.Load(dBias + c);
            float* sum = sums + c, product = products + c, film = _film + c, gradient = dFilm + c;
            for (int image = 0; image < Images; image++, sum += Channels, product += Channels, film += _filmRow, gradient += _filmRow)
            {
                L s = L.Load(sum), p = L.Load(product), factor = L.All(1);
                if (_film is not null)
                {
                    factor += L.Load(film);
                    L.Store(L.Load(gradient) + L.Fma(p, weight, s * bias), gradient);
                    L.Store(L.Load(gradient + Channels) + s, gradient + Channels);
                }
                ofWeight = L.Fma(p, factor, ofWeight);
                ofBias = L.Fma(s, factor, ofBias);
            }
            L.Store(ofWeight, dWeight + c);
            L.Store(ofBias, dBias + c);
        }
    }

    private void MeasureImage<L, E>(int image)
        where L : unmanaged, ILanes<L>
        where E : unmanaged, IElement<E, L>
    {
        float* moments = KernelMemory.Own(2 * Channels);
        for (int c = 0; c < Channels;)
        {
            var run = Run<E>(image, 0, new(c, Channels));
            NormKernel<L, E>.Moments(run.First, Pixels, run.Count, run.Stride, moments + c, moments + Channels + c);
            c += run.Count;
        }
        MeasureGroups(image, new(moments, 2 * Channels));
    }

    /// <summary>Mean and 1/√(variance + ε) of each group of an image, from its channels' moments (Chan et al. 1979).</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void MeasureGroups(int image, ReadOnlySpan<float> moments)
    {
        float* statistics = _statistics + (nint)image * 2 * Settings.Groups;
        int width = Channels / Settings.Groups;
        for (int group = 0; group < Settings.Groups; group++)
        {
            var means = moments.Slice(group * width, width);
            var squares = moments.Slice(Channels + group * width, width);
            double mean = 0, scatter = 0;
            foreach (float of in means)
                mean += of;
            mean /= width;
            for (int c = 0; c < width; c++)
                scatter += squares[c] + (means[c] - mean) * (means[c] - mean) * Pixels;
            statistics[group] = (float)mean;
            statistics[Settings.Groups + group] = (float)(1 / Math.Sqrt(Math.Max(scatter, 0) / ((double)width * Pixels) + Settings.Epsilon));
        }
    }

    private void Apply<L, E>(nint first, int count, float* factor, float* offset, E* y)
        where L : unmanaged, ILanes<L>
        where E : unmanaged, IElement<E, L>
    {
        for (int c = 0; c < Channels;)
        {
            var run = _x.Run<E>(first, new(c, Channels));
            NormKernel<L, E>.Apply(run.First, count, run.Count, run.Stride, factor + c, offset + c, Settings.Silu, y + c, Channels);
            c += run.Count;
        }
    }

    private void Backward<L, E>(int image, ImageMemory gradient, ImageMemory added, ImageMemory dx, float* sums, float* products)
        where L : unmanaged, ILanes<L>
        where E : unmanaged, IElement<E, L>
    {
        float* factor = KernelMemory.Own(6 * Channels), offset = factor + Channels, mean = offset + Channels, inverse = mean + Channels;
        Factors(image, factor, offset);
        float* statistics = _statistics + (nint)image * 2 * Settings.Groups;
        int width = Channels / Settings.Groups;
        for (int group = 0; group < Settings.Groups; group++)
        {
            new Span<float>(mean + group * width, width).Fill(statistics[group]);
            new Span<float>(inverse + group * width, width).Fill(statistics[Settings.Groups + group]);
        }
        nint pixel = image * Pixels;
        var front = _x.Run<E>(pixel, new(0, Channels));
        ChannelRange rest = new(front.Count, Channels);
        E* other = added.Numbers is null ? null : (E*)added.Numbers + pixel * Channels;
        GradientPlace<E> to = new(dx.Run<E>(pixel, new(0, Channels)), rest.Count > 0 ? dx.Run<E>(pixel, rest) : default, other);
        NormKernel<L, E>.Backward(
            front, rest.Count > 0 ? _x.Run<E>(pixel, rest) : default, (E*)gradient.Numbers + pixel * Channels, to, Pixels, new(factor, offset, mean, inverse, Channels),
            Settings.Groups, Settings.Silu, sums + (nint)image * Channels, products + (nint)image * Channels, inverse + Channels);
    }

    /// <summary>The factors of the image that a pixel lies in.</summary>
    /// <returns>How many of the pixels do.</returns>
    private int Next(nint first, int count, float* factor, float* offset)
    {
        int image = (int)(first / Pixels);
        Factors(image, factor, offset);
        return (int)Math.Min(count, (image + 1) * Pixels - first);
    }
}
