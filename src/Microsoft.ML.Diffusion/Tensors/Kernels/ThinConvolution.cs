using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// 3x3 convolutions to or from a few channels, the colours of an image, as plain products: in <see cref="WinogradConvolution{L, E, P}"/> a register of channels would be zeros for the most part.
/// Few inputs: an output's nine pixels are a row of the left factor. Few outputs: a pixel is multiplied with all nine taps, and an output is the sum of what the pixels around it give.
/// </summary>
/// <typeparam name="L">The register.</typeparam>
internal static unsafe class ThinConvolution<L>
    where L : unmanaged, ILanes<L>
{
    private const int Taps = 9;

    /// <summary>The most channels that are few.</summary>
    private const int Few = 4;

    /// <summary>Floats of the rows of products that outputs are summed from: a part of a core's second-level cache.</summary>
    private const int BandFloats = 64 << 10;

    /// <summary>Parts of a batch that a weight's gradient is summed up in, whatever the number of cores: the order of the sums hangs on it.</summary>
    private const int GradientParts = 16;

    /// <summary>Whether a convolution has few channels on one side, and whole registers of them on the other.</summary>
    public static bool Takes(in ConvolutionSize size) => IsFromFew(size) || (size.Outputs <= Few && size.Inputs % L.Count == 0);

    /// <inheritdoc cref="WinogradConvolution{L, E, P}.Apply"/>
    /// <remarks>Moments are measured of whole registers of outputs alone.</remarks>
    public static void Apply(in ConvolutionSize size, PixelSource x, float* weight, bool turned, float* bias, float* addend, float* y, MomentLines moments)
    {
        if (IsFromFew(size))
            FromFew(size, x, weight, turned, bias, addend, y, moments);
        else
            ToFew(size, x, weight, turned, bias, addend, y);
    }

    /// <inheritdoc cref="WinogradGradient{L, E, P}.Add"/>
    public static void AddWeightGradient(in ConvolutionSize size, PixelSource x, float* dy, float* dWeight, float* dBias)
    {
        var sides = size;
        bool few = IsFromFew(size);
        // Few inputs: dyᵀ·windows, [D, 9·C]. Few outputs: (windows of dy)ᵀ·x, [9·D, C], the taps the other way round.
        int left = few ? size.Outputs : KernelMemory.RoundUp(Taps * size.Outputs, 4), right = few ? KernelMemory.RoundUp(Taps * size.Inputs, L.Count) : size.Inputs;
        int rows = size.Images * size.Height, parts = Math.Min(GradientParts, rows);
        nint floats = (nint)left * right, biases = KernelMemory.RoundUp(size.Outputs, 16);
        float* all = KernelMemory.Shared(parts * (floats + biases));
        Cores.Run(parts, part =>
        {
            float* sums = all + part * (floats + biases);
            new Span<float>(sums, checked((int)(floats + biases))).Clear();
            int first = (int)((long)rows * part / parts), end = (int)((long)rows * (part + 1) / parts);
            if (few)
                AddOfFewInputs(sides, x, dy, first, end, sums, right, sums + floats);
            else
                AddOfFewOutputs(sides, x, dy, first, end, sums, left, sums + floats);
        });
        for (int part = 0; part < parts; part++)
        {
            float* sums = all + part * (floats + biases);
            for (int d = 0; d < size.Outputs; d++)
            {
                float* to = dWeight + (nint)d * Taps * size.Inputs;
                for (int tap = 0; tap < Taps; tap++, to += size.Inputs)
                    SumKernel.Add(few ? sums + (nint)d * right + tap * size.Inputs : sums + (nint)((Taps - 1 - tap) * size.Outputs + d) * right, size.Inputs, to);
                if (dBias is not null)
                    dBias[d] += sums[floats + d];
            }
        }
    }

    private static bool IsFromFew(in ConvolutionSize size) => size.Inputs <= Few && size.Outputs % L.Count == 0;

    private static void FromFew(in ConvolutionSize size, PixelSource x, float* weight, bool turned, float* bias, float* addend, float* y, MomentLines moments)
    {
        var sides = size;
        int numbers = Taps * size.Inputs, outputs = size.Outputs, bands = ConvolutionTiles.Along(size.Height);
        float* factor = KernelMemory.Shared(2 * (nint)numbers * outputs), panels = factor + (nint)numbers * outputs;
        for (int tap = 0; tap < Taps; tap++)
        {
            for (int c = 0; c < size.Inputs; c++)
            {
                for (int d = 0; d < outputs; d++)
                    factor[(nint)(tap * size.Inputs + c) * outputs + d] = WeightAt(size, weight, turned, d, tap, c);
            }
        }
        Packing<L>.Rows(factor, outputs, numbers, outputs, panels);
        Cores.Run(size.Images * bands, part =>
        {
            int image = part / bands, top = part % bands * ConvolutionTiles.Side, height = Math.Min(ConvolutionTiles.Side, sides.Height - top);
            int pixels = height * sides.Width, padded = MatrixKernel<L>.Rows(pixels);
            nint first = ((nint)image * sides.Height + top) * sides.Width;
            var window = new ThinWindow<L>(sides.Width, sides.Inputs);
            float* rows = KernelMemory.Own((nint)padded * numbers + L.Count + window.Floats(height) + PixelSource.Room + (padded == pixels ? 0 : (nint)padded * outputs));
            float* pixelRows = rows + (nint)padded * numbers + L.Count, room = pixelRows + window.Floats(height), apart = room + PixelSource.Room;
            var channels = new ChannelRange(0, sides.Inputs);
            x.Begin(image, channels, room);
            window.Read(x, image, top, height, sides.Height, channels, room, pixelRows);
            window.Gather(pixelRows, height, rows, numbers);
            float* to = y + first * outputs, products = padded == pixels ? to : apart;
            MatrixKernel<L>.Multiply(rows, numbers, panels, products, outputs, padded, outputs, numbers);
            Finish(products, pixels, outputs, bias, addend is null ? null : addend + first * outputs, to);
            if (moments.AreWanted)
                moments.Measure<L, WideElement<L>>((WideElement<L>*)y, part, 0, outputs);
        });
    }

    private static void ToFew(in ConvolutionSize size, PixelSource x, float* weight, bool turned, float* bias, float* addend, float* y)
    {
        var sides = size;
        int inputs = size.Inputs, columns = Columns(size.Outputs), ranges = Ranges(inputs);
        float* factor = KernelMemory.Shared(2 * (nint)inputs * columns), panels = factor + (nint)inputs * columns;
        new Span<float>(factor, inputs * columns).Clear();
        for (int tap = 0; tap < Taps; tap++)
        {
            for (int c = 0; c < inputs; c++)
            {
                for (int d = 0; d < size.Outputs; d++)
                    factor[(nint)c * columns + tap * size.Outputs + d] = WeightAt(size, weight, turned, d, tap, c);
            }
        }
        Packing<L>.Rows(factor, columns, inputs, columns, panels);

        int padded = MatrixKernel<L>.Rows(size.Width);
        // A zero pixel before each row and after it.
        nint row = (nint)(padded + 2) * columns;
        int most = (int)Math.Clamp(BandFloats / row - 2, 1, size.Height), bands = (size.Height + most - 1) / most, height = (size.Height + bands - 1) / bands;
        Cores.Run(size.Images * bands, part =>
        {
            int image = part / bands, top = part % bands * height, end = Math.Min(top + height, sides.Height);
            float* products = KernelMemory.Own((height + 2) * row + (nint)padded * inputs + ranges * PixelSource.Room);
            float* pixels = products + (height + 2) * row, room = pixels + (nint)padded * inputs;
            BeginAll(x, image, inputs, room);
            new Span<float>(pixels + (nint)sides.Width * inputs, (padded - sides.Width) * inputs).Clear();
            for (int at = top - 1; at <= end; at++)
            {
                float* to = products + (at - top + 1) * row;
                if (at < 0 || at >= sides.Height)
                {
                    new Span<float>(to, (int)row).Clear();
                    continue;
                }
                ReadAll(x, image, at, inputs, room, pixels);
                MatrixKernel<L>.Multiply(pixels, inputs, panels, to + columns, columns, padded, columns, inputs);
                new Span<float>(to, columns).Clear();
                new Span<float>(to + (nint)(sides.Width + 1) * columns, columns).Clear();
            }
            for (int at = top; at < end; at++)
            {
                nint first = ((nint)image * sides.Height + at) * sides.Width * sides.Outputs;
                SumTaps(products + (at - top) * row, row, columns, sides.Width, sides.Outputs, bias, addend is null ? null : addend + first, y + first);
            }
        });
    }

    /// <summary>A row of outputs: of each of the pixels around one, what it gives by the tap that sees it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void SumTaps(float* products, nint row, int columns, int width, int outputs, float* bias, float* addend, float* y)
    {
        float* sums = stackalloc float[Few];
        for (int x = 0; x < width; x++, products += columns, y += outputs)
        {
            float* above = products, here = above + row, below = here + row;
            Vector128<float> sum = default;
            for (int column = 0; column < 3; column++)
            {
                nint at = (nint)column * columns + column * outputs;
                sum += Vector128.Load(above + at) + Vector128.Load(here + at + 3 * outputs) + Vector128.Load(below + at + 6 * outputs);
            }
            sum.Store(sums);
            for (int d = 0; d < outputs; d++)
                y[d] = sums[d] + (bias is null ? 0 : bias[d]) + (addend is null ? 0 : *addend++);
        }
    }

    private static void AddOfFewInputs(in ConvolutionSize size, PixelSource x, float* dy, int first, int end, float* sums, int columns, float* bias)
    {
        int width = size.Width, outputs = size.Outputs;
        var window = new ThinWindow<L>(width, size.Inputs);
        float* rows = KernelMemory.Own((nint)width * columns + L.Count + window.Floats(1) + PixelSource.Room), pixels = rows + (nint)width * columns + L.Count, room = pixels + window.Floats(1);
        new Span<float>(rows, width * columns).Clear();
        var channels = new ChannelRange(0, size.Inputs);
        for (int row = first; row < end; row++)
        {
            int image = row / size.Height;
            if (row == first || row % size.Height == 0)
                x.Begin(image, channels, room);
            window.Read(x, image, row % size.Height, 1, size.Height, channels, room, pixels);
            window.Gather(pixels, 1, rows, columns);
            float* gradient = dy + (nint)row * width * outputs;
            MatrixKernel<L>.AddTransposed(gradient, outputs, rows, columns, sums, columns, outputs, columns, width);
            SumKernel.AddRows<L>(gradient, width, outputs, outputs, bias);
        }
    }

    private static void AddOfFewOutputs(in ConvolutionSize size, PixelSource x, float* dy, int first, int end, float* sums, int rows, float* bias)
    {
        int width = size.Width, inputs = size.Inputs;
        var window = new ThinWindow<L>(width, size.Outputs);
        PixelSource gradient = PixelSource.Of(dy, size.Height, width, size.Outputs);
        float* windows = KernelMemory.Own((nint)width * rows + L.Count + window.Floats(1) + (nint)width * inputs + Ranges(inputs) * PixelSource.Room);
        float* gradients = windows + (nint)width * rows + L.Count, pixels = gradients + window.Floats(1), room = pixels + (nint)width * inputs;
        var channels = new ChannelRange(0, size.Outputs);
        new Span<float>(windows, width * rows).Clear();
        for (int row = first; row < end; row++)
        {
            int image = row / size.Height;
            if (row == first || row % size.Height == 0)
                BeginAll(x, image, inputs, room);
            ReadAll(x, image, row % size.Height, inputs, room, pixels);
            window.Read(gradient, image, row % size.Height, 1, size.Height, channels, null, gradients);
            window.Gather(gradients, 1, windows, rows);
            MatrixKernel<L>.AddTransposed(windows, rows, pixels, inputs, sums, inputs, rows, inputs, width);
            float* from = dy + (nint)row * width * size.Outputs;
            for (int i = 0; i < width; i++)
            {
                for (int d = 0; d < size.Outputs; d++)
                    bias[d] += *from++;
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Finish(float* products, int rows, int columns, float* bias, float* addend, float* y)
    {
        if (bias is null && addend is null && products == y)
            return;
        for (nint i = 0; i < rows; i++, products += columns, y += columns)
        {
            for (int c = 0; c < columns; c += L.Count)
            {
                L value = L.Load(products + c);
                if (bias is not null)
                    value += L.Load(bias + c);
                if (addend is not null)
                    value += L.Load(addend + i * columns + c);
                L.Store(value, y + c);
            }
        }
    }

    /// <summary>Of a convolution's weight as it lies, [D, 3, 3, C]; turned: [C, 3, 3, D].</summary>
    private static float WeightAt(in ConvolutionSize size, float* weight, bool turned, int output, int tap, int input) => turned
        ? weight[((nint)input * Taps + Taps - 1 - tap) * size.Outputs + output]
        : weight[((nint)output * Taps + tap) * size.Inputs + input];

    /// <summary>Columns of all taps' products; four numbers can be read at each.</summary>
    private static int Columns(int outputs) => KernelMemory.RoundUp((Taps - 1) * outputs + Few, L.Count);

    private static int Ranges(int channels) => (channels + PixelSource.MostChannels - 1) / PixelSource.MostChannels;

    private static ChannelRange Range(int range, int channels) => new(range * PixelSource.MostChannels, Math.Min((range + 1) * PixelSource.MostChannels, channels));

    private static void BeginAll(PixelSource x, int image, int channels, float* room)
    {
        for (int range = 0; range < Ranges(channels); range++)
            x.Begin(image, Range(range, channels), room + range * PixelSource.Room);
    }

    private static void ReadAll(PixelSource x, int image, int row, int channels, float* room, float* to)
    {
        for (int range = 0; range < Ranges(channels); range++)
            x.Read(image, row, Range(range, channels), room + range * PixelSource.Room, to + range * PixelSource.MostChannels, channels);
    }
}

/// <summary>Rows of an image of few channels with a zero pixel on every side, and each pixel's nine neighbours side by side.</summary>
/// <param name="width">Pixels of a row.</param>
/// <param name="channels">Numbers of a pixel.</param>
/// <typeparam name="L">The register.</typeparam>
internal readonly unsafe struct ThinWindow<L>(int width, int channels)
    where L : unmanaged, ILanes<L>
{
    private int RowFloats => (width + 2) * channels;

    /// <summary>Floats of some rows with those around them; registers may reach over the end.</summary>
    public nint Floats(int rows) => (nint)(rows + 2) * RowFloats + L.Count;

    /// <summary>Reads rows.</summary>
    /// <param name="source">The images.</param>
    /// <param name="image">Which.</param>
    /// <param name="top">The first row.</param>
    /// <param name="rows">How many.</param>
    /// <param name="height">Rows of the image.</param>
    /// <param name="range">All channels.</param>
    /// <param name="room">As the source's Begin left it.</param>
    /// <param name="to">[<see cref="Floats"/>], written.</param>
    public void Read(PixelSource source, int image, int top, int rows, int height, ChannelRange range, float* room, float* to)
    {
        new Span<float>(to, checked((int)Floats(rows))).Clear();
        to += channels;
        for (int row = top - 1; row <= top + rows; row++, to += RowFloats)
        {
            if (row >= 0 && row < height)
                source.Read(image, row, range, room, to, channels);
        }
    }

    /// <summary>Puts neighbours side by side.</summary>
    /// <param name="pixels">From <see cref="Read"/>.</param>
    /// <param name="rows">How many rows.</param>
    /// <param name="to">[rows·width, stride] and a register more: nine pixels' numbers each, then whatever lies beside them in the image.</param>
    /// <param name="stride">From a pixel to the next, at least nine pixels' numbers.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void Gather(float* pixels, int rows, float* to, int stride)
    {
        int segment = 3 * channels, next = RowFloats;
        for (int row = 0; row < rows; row++, pixels += 2 * channels)
        {
            for (int x = 0; x < width; x++, pixels += channels, to += stride)
            {
                float* from = pixels, place = to;
                // Each run of three overwrites what the one before wrote too much; the next pixel's do so with the last.
                for (int run = 0; run < 3; run++, from += next, place += segment)
                {
                    for (int i = 0; i < segment; i += L.Count)
                        L.Store(L.Load(from + i), place + i);
                }
            }
        }
    }
}
