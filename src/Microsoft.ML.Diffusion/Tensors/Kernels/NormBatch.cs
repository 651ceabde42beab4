namespace Microsoft.ML.Diffusion;

/// <param name="Groups">Groups of channels that share mean and variance.</param>
/// <param name="Epsilon">Added to the variance.</param>
/// <param name="Silu">Whether SiLU follows.</param>
internal sealed record NormSettings(int Groups, double Epsilon, bool Silu);

/// <summary>
/// The group norm of a batch with what follows it, over <see cref="NormKernel{L}"/>, an image a core. It looks into the tensors it is made of; they have to outlive it.
/// </summary>
internal sealed unsafe class NormBatch
{
    private readonly float* _x;
    private readonly float* _weight;
    private readonly float* _bias;
    private readonly float* _scale;
    private readonly float* _shift;
    private readonly int _filmRow;
    private readonly float* _statistics;
    private readonly int _lanes;

    /// <summary>Wraps.</summary>
    /// <param name="pixels">[N, H, W, C], contiguous.</param>
    /// <param name="weight">[C].</param>
    /// <param name="bias">[C].</param>
    /// <param name="scale">[N or 1, C] contiguous, or null.</param>
    /// <param name="shift">[N or 1, C] contiguous, or null.</param>
    /// <param name="statistics">[N, 2·groups]: means, then 1/√(variance + ε); filled by <see cref="Measure"/>.</param>
    /// <param name="settings">The settings.</param>
    public NormBatch(Tensor pixels, Tensor weight, Tensor bias, Tensor? scale, Tensor? shift, Tensor statistics, NormSettings settings)
    {
        long[] shape = pixels.shape;
        (Images, Height, Width, Channels) = ((int)shape[0], (int)shape[1], (int)shape[2], (int)shape[3]);
        Settings = settings;
        _x = HostMemory.Pointer(pixels);
        _weight = HostMemory.Pointer(weight);
        _bias = HostMemory.Pointer(bias);
        _scale = scale is null ? null : HostMemory.Pointer(scale);
        _shift = shift is null ? null : HostMemory.Pointer(shift);
        _filmRow = scale is null || scale.shape[0] == 1 ? 0 : Channels;
        _statistics = HostMemory.Pointer(statistics);
        _lanes = Lanes.Dividing(Channels);
    }

    public int Images { get; }

    public int Height { get; }

    public int Width { get; }

    public int Channels { get; }

    public NormSettings Settings { get; }

    private nint Pixels => (nint)Height * Width;

    /// <summary>Whether there is a kernel for so many channels.</summary>
    public static bool Takes(long channels) => Lanes.Dividing(channels) > 0;

    /// <summary>The first pixel of an image.</summary>
    public float* Image(int image) => _x + image * Pixels * Channels;

    /// <summary>The batch normalised, a row at a time.</summary>
    public PixelSource Source() => _lanes switch
    {
        16 => new NormSource<Lanes512>(this),
        8 => new NormSource<Lanes256>(this),
        _ => new NormSource<Lanes128>(this),
    };

    /// <summary>Measures every image.</summary>
    public void Measure() => Cores.Run(Images, image =>
    {
        var means = new Span<float>(_statistics + (nint)image * 2 * Settings.Groups, Settings.Groups);
        var inverses = new Span<float>(_statistics + ((nint)image * 2 + 1) * Settings.Groups, Settings.Groups);
        float* scratch = KernelMemory.Own(2 * Channels);
        if (_lanes == 16)
            NormKernel<Lanes512>.Measure(Image(image), Pixels, Channels, Settings.Epsilon, means, inverses, scratch);
        else if (_lanes == 8)
            NormKernel<Lanes256>.Measure(Image(image), Pixels, Channels, Settings.Epsilon, means, inverses, scratch);
        else
            NormKernel<Lanes128>.Measure(Image(image), Pixels, Channels, Settings.Epsilon, means, inverses, scratch);
    });

    /// <summary>Computes the factors of y = act(x·factor + offset), one pair a channel.</summary>
    /// <param name="image">Which image.</param>
    /// <param name="factor">[channels], filled.</param>
    /// <param name="offset">[channels], filled.</param>
    public void Factors(int image, float* factor, float* offset)
    {
        float* means = _statistics + (nint)image * 2 * Settings.Groups, inverses = means + Settings.Groups;
        float* scale = _scale is null ? null : _scale + (nint)image * _filmRow, shift = _shift is null ? null : _shift + (nint)image * _filmRow;
        int width = Channels / Settings.Groups;
        for (int c = 0; c < Channels; c++)
        {
            double a = (double)inverses[c / width] * _weight[c], b = _bias[c] - means[c / width] * a;
            double film = scale is null ? 1 : 1.0 + scale[c];
            factor[c] = (float)(a * film);
            offset[c] = (float)(b * film + (shift is null ? 0 : shift[c]));
        }
    }

    /// <summary>Writes the whole batch normalised.</summary>
    /// <param name="y">[N, H, W, C], written.</param>
    public void Apply(float* y) => Cores.Run(Images, image => Apply(image * Pixels, (int)Pixels, y + image * Pixels * Channels));

    /// <summary>Writes some of the batch's pixels normalised.</summary>
    /// <param name="first">The first pixel, counted over the batch.</param>
    /// <param name="count">How many.</param>
    /// <param name="y">[count, C], written.</param>
    public void Apply(nint first, int count, float* y)
    {
        float* factor = stackalloc float[2 * Channels], offset = factor + Channels;
        while (count > 0)
        {
            int image = (int)(first / Pixels), here = (int)Math.Min(count, (image + 1) * Pixels - first);
            Factors(image, factor, offset);
            if (_lanes == 16)
                NormKernel<Lanes512>.Apply(_x + first * Channels, here, Channels, factor, offset, Settings.Silu, y, Channels);
            else if (_lanes == 8)
                NormKernel<Lanes256>.Apply(_x + first * Channels, here, Channels, factor, offset, Settings.Silu, y, Channels);
            else
                NormKernel<Lanes128>.Apply(_x + first * Channels, here, Channels, factor, offset, Settings.Silu, y, Channels);
            first += here;
            count -= here;
            y += (nint)here * Channels;
        }
    }

    /// <summary>Takes the gradient of the result back to the input.</summary>
    /// <param name="gradient">[N, H, W, C]: dy, replaced by dx.</param>
    /// <param name="sums">[N, C], written: Σ dz over an image's pixels.</param>
    /// <param name="products">[N, C], written: Σ dz·n(x) over an image's pixels.</param>
    public void Backward(float* gradient, float* sums, float* products) => Cores.Run(Images, image =>
    {
        float* factor = KernelMemory.Own(6 * Channels), offset = factor + Channels, mean = offset + Channels, inverse = mean + Channels;
        float* scratch = inverse + Channels;
        Factors(image, factor, offset);
        float* statistics = _statistics + (nint)image * 2 * Settings.Groups;
        int width = Channels / Settings.Groups;
        for (int group = 0; group < Settings.Groups; group++)
        {
            new Span<float>(mean + group * width, width).Fill(statistics[group]);
            new Span<float>(inverse + group * width, width).Fill(statistics[Settings.Groups + group]);
        }

        var forward = new NormCoefficients(factor, offset, mean, inverse, Channels);
        float* own = gradient + image * Pixels * Channels, sum = sums + (nint)image * Channels, product = products + (nint)image * Channels;
        if (_lanes == 16)
            NormKernel<Lanes512>.Backward(Image(image), own, Pixels, forward, Settings.Groups, Settings.Silu, sum, product, scratch);
        else if (_lanes == 8)
            NormKernel<Lanes256>.Backward(Image(image), own, Pixels, forward, Settings.Groups, Settings.Silu, sum, product, scratch);
        else
            NormKernel<Lanes128>.Backward(Image(image), own, Pixels, forward, Settings.Groups, Settings.Silu, sum, product, scratch);
    });
}
