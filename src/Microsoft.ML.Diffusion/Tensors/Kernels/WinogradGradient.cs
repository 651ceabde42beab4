using System.Runtime.CompilerServices;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// The gradients of weight and bias of a 3x3 convolution by F(4x4, 3x3). A core has some inputs and some outputs of the weight to itself, from the pixels to the sums:
/// no core waits for what another has transformed, and the result does not depend on how many there are.
/// </summary>
/// <typeparam name="L">The register.</typeparam>
/// <typeparam name="E">The images' numbers.</typeparam>
/// <typeparam name="P">Points, and what multiplies the values there.</typeparam>
internal static unsafe class WinogradGradient<L, E, P>
    where L : unmanaged, ILanes<L>
    where E : unmanaged, IElement<E, L>
    where P : struct, IWinogradGradient<L>
{
    private const int Side = ConvolutionTiles.Side;

    private const int Skew = ConvolutionTiles.Skew;

    /// <summary>Of blocks of two registers, for a tile; inputs go through norm and SiLU.</summary>
    private static readonly GradientCosts s_costs = new(10, 15, 8);

    /// <summary>Floats of transformed tiles that a core takes the products of at a time: they stay in its second-level cache beside the sums.</summary>
    private const int ChunkFloats = 150_000;

    /// <summary>Outputs that are summed together where all tiles are one chunk: their sums stay in the second-level cache.</summary>
    private const int SliceOutputs = 64;

    /// <summary>Adds the gradients up.</summary>
    /// <param name="points">Multiplies.</param>
    /// <param name="size">The sizes of the convolution.</param>
    /// <param name="x">[N, H, W, C], its input.</param>
    /// <param name="dy">[N, H, W, D], the gradient of its output.</param>
    /// <param name="dWeight">[D, 3, 3, C], added to.</param>
    /// <param name="dBias">[D], added to; or null.</param>
    public static void Add(P points, in ConvolutionSize size, PixelSource x, E* dy, float* dWeight, float* dBias)
    {
        var work = new GradientWork(points, size, x, dy, dWeight, dBias);
        DeferredWork.Run(work.Grid.Parts, part => Accumulate(work, work.Grid.Inputs(part), work.Grid.Outputs(part)));
    }

    /// <summary>The gradient of some inputs' and outputs' weights.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Accumulate(GradientWork work, ChannelRange inputs, ChannelRange outputs)
    {
        int half = P.HalfMatrices, outputCount = outputs.Count;
        bool once = work.Bands <= work.ChunkBands;
        int slice = once ? Math.Min(outputCount, SliceOutputs) : outputCount;
        nint xStride = P.GradientFloats(work.ChunkTiles, inputs.Count) + Skew, dyStride = P.GradientFloats(work.ChunkTiles, outputCount) + Skew, sumStride = (nint)slice * inputs.Count + Skew;
        nint inputScales = P.ScaleFloats(inputs.Count), gradientScales = P.ScaleFloats(outputCount), kernels = 2 * 9 * (nint)inputs.Count;

        float* x = KernelMemory.Own(half * (2 * xStride + dyStride + (once ? 1 : 2) * sumStride) + inputScales + gradientScales + kernels + work.TransformFloats);
        float* dy = x + 2 * half * xStride, sums = dy + half * dyStride, ofInput = sums + (once ? 1 : 2) * half * sumStride, ofGradient = ofInput + inputScales;
        float* kernel = ofGradient + gradientScales, room = kernel + kernels;
        double[]? bias = work.Bias is not null && inputs.First == 0 ? new double[outputCount] : null;

        for (int band = 0; band < work.Bands; band += work.ChunkBands)
        {
            int end = Math.Min(work.Bands, band + work.ChunkBands);
            if (inputScales > 0)
            {
                MeasureInput(work, inputs, band, end, ofInput, room);
                MeasureGradient(work, outputs, band, end, ofGradient, room);
            }
            FillInput(work, inputs, band, end, x, xStride, ofInput, room);
            for (int upper = 0; upper < 2; upper++)
            {
                float* pixels = x + upper * half * xStride;
                int filled = FillGradient(work, outputs, upper > 0, band, end, dy, dyStride, upper > 0 ? null : bias, ofGradient, room);
                P.Pack(pixels, xStride, inputs.Count, filled, upper > 0, ofInput);
                P.Pack(dy, dyStride, outputCount, filled, upper > 0, ofGradient);
                for (int output = 0; output < outputCount; output += slice)
                {
                    int count = Math.Min(slice, outputCount - output);
                    work.Points.SumProducts(
                        dy, dyStride, outputCount, output, count, pixels, xStride, inputs.Count, sums + (once ? 0 : upper) * half * sumStride, sumStride, filled, add: band > 0);
                    for (int d = 0; d < count && once; d++)
                    {
                        CallKernel(output + d + 1);
                        Transform(sums + (nint)d * inputs.Count, upper > 0);
                        AddKernel(output + d, kernel, null);
                    }
                }
            }
        }
        for (int d = 0; d < outputCount && !once; d++)
        {
            CallKernel(d + 1);
            Transform(sums + (nint)d * inputs.Count, upper: false);
            Transform(sums + half * sumStride + (nint)d * inputs.Count, upper: true);
            AddKernel(d, kernel, kernel + 9 * (nint)inputs.Count);
        }
        for (int d = 0; d < outputCount && bias is not null && outputs.First + d < work.Size.Outputs; d++)
            work.Bias[outputs.First + d] += (float)bias[d];

        void Transform(float* from, bool upper)
        {
            float* to = kernel + (upper && !once ? 9 * (nint)inputs.Count : 0);
            for (int c = 0; c < inputs.Count; c += L.Count)
                P.WeightGradientHalf(from + c, sumStride, upper, to + c, inputs.Count, room);
        }

        // Called from memory while the one before is transformed.
        void CallKernel(int output)
        {
            float* from = work.Weight + (nint)(outputs.First + output) * 9 * work.Size.Inputs + inputs.First;
            for (int k = 0; k < 9 && outputs.First + output < work.Size.Outputs; k++, from += work.Size.Inputs)
            {
                for (int c = 0; c < inputs.Count; c += 64 / sizeof(float))
                    Lanes.Prefetch(from + c);
            }
        }

        void AddKernel(int output, float* one, float* other)
        {
            int row = work.Size.Inputs, count = Math.Min(inputs.Count, row - inputs.First);
            float* to = work.Weight + (nint)(outputs.First + output) * 9 * row + inputs.First;
            for (int k = 0; k < 9 && outputs.First + output < work.Size.Outputs; k++, to += row)
                AddBoth(one + (nint)k * inputs.Count, other is null ? null : other + (nint)k * inputs.Count, count, to);
        }
    }

    /// <summary>Measures the pixels that some rows of tiles see.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void MeasureInput(GradientWork work, ChannelRange inputs, int begin, int end, float* scales, float* room)
    {
        float* source = room + P.ScratchRegisters * L.Count;
        TileSize size = TileSize.Nothing(inputs.Count, room + work.ScratchFloats);
        for (int at = 0; at < inputs.Count; at += PixelSource.MostChannels)
        {
            ChannelRange channels = new(inputs.First + at, Math.Min(inputs.First + inputs.Count, inputs.First + at + PixelSource.MostChannels));
            int past;
            for (int band = begin; band < end; band = past)
            {
                int image = band / work.TilesDown;
                past = Math.Min(end, (image + 1) * work.TilesDown);
                work.Input.Begin(image, channels, source);
                int top = band % work.TilesDown * Side, bottom = top + (past - band) * Side;
                for (int row = Math.Max(0, top - 1); row < Math.Min(work.Size.Height, bottom + 1); row++)
                {
                    // At its edge, a row of tiles is seen by that beside it.
                    bool shared = row > top && row < bottom - 1 && (row + 1) % Side < 2;
                    work.Input.Measure(image, row, channels, source, size.From(at), shared ? 2 : 1);
                }
            }
        }
        P.Scale(size, inputs.Count, ofGradient: false, scales);
    }

    /// <summary>The same of some outputs of the gradient.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void MeasureGradient(GradientWork work, ChannelRange outputs, int begin, int end, float* scales, float* room)
    {
        var size = work.Size;
        TileSize measured = TileSize.Nothing(outputs.Count, room + work.ScratchFloats);
        for (int band = begin; band < end; band++)
        {
            int top = band % work.TilesDown * Side, rows = Math.Min(Side, size.Height - top);
            E* from = work.Gradient + ((nint)(band / work.TilesDown) * size.Height + top) * size.Width * size.Outputs + outputs.First;
            TileSize<L, E>.Add(from, rows * size.Width, outputs.Count, size.Outputs, measured, 1, 1);
        }
        P.Scale(measured, outputs.Count, ofGradient: true, scales);
    }

    /// <summary>Transforms the pixels of some rows of tiles, two tiles at a time: neighbours, or where a row of them has no even number, those of two rows.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void FillInput(GradientWork work, ChannelRange inputs, int begin, int end, float* x, nint stride, float* scales, float* room)
    {
        float* pixels = room + work.ScratchFloats, upper = x + P.HalfMatrices * stride;
        for (int first = 0; first < inputs.Count; first += PixelSource.MostChannels)
        {
            int count = Math.Min(PixelSource.MostChannels, inputs.Count - first), filled = 0;
            var window = new RowWindow(work.Input, work.Size, inputs.First + first, count, room + P.ScratchRegisters * L.Count);
            nint bandFloats = window.RowFloats * (Side + 2), next = work.PairedRows == 1 ? Side * count : bandFloats;
            for (int band = begin; band < end; band++)
            {
                int row = (band - begin) % work.PairedRows;
                window.Read(band / work.TilesDown, band % work.TilesDown, pixels + row * bandFloats);
                if (row + 1 < work.PairedRows)
                {
                    if (band + 1 < end)
                        continue;
                    new Span<float>(pixels + bandFloats, (int)bandFloats).Clear();
                }
                for (int tile = 0; tile < work.TilesAcross; tile += work.PairStep, filled += 2)
                {
                    float* from = pixels + (nint)tile * Side * count;
                    P.InputHalf(from, next, window.RowFloats, count, false, x, filled, first, inputs.Count, stride, scales, room);
                    P.InputHalf(from, next, window.RowFloats, count, true, upper, filled, first, inputs.Count, stride, scales, room);
                }
            }
        }
    }

    /// <summary>The same of some outputs of the gradient, half of the values; adds its pixels up.</summary>
    /// <returns>How many tiles, an even number.</returns>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static int FillGradient(GradientWork work, ChannelRange outputs, bool upper, int begin, int end, float* dy, nint stride, double[]? bias, float* scales, float* room)
    {
        float* pixels = room + work.ScratchFloats;
        int filled = 0;
        for (int first = 0; first < outputs.Count; first += PixelSource.MostChannels)
        {
            int count = Math.Min(PixelSource.MostChannels, outputs.Count - first), width = Side * work.TilesAcross;
            nint rowFloats = (nint)width * count, bandFloats = Side * rowFloats, next = work.PairedRows == 1 ? Side * count : bandFloats;
            filled = 0;
            for (int band = begin; band < end; band++)
            {
                int row = (band - begin) % work.PairedRows;
                ReadGradient(work, band / work.TilesDown, band % work.TilesDown * Side, outputs.First + first, count, pixels + row * bandFloats);
                if (bias is not null)
                    AddPixels(pixels + row * bandFloats, Side * width, bias.AsSpan(first, count));
                if (row + 1 < work.PairedRows)
                {
                    if (band + 1 < end)
                        continue;
                    new Span<float>(pixels + bandFloats, (int)bandFloats).Clear();
                }
                for (int tile = 0; tile < work.TilesAcross; tile += work.PairStep, filled += 2)
                    P.OutputGradientHalf(pixels + (nint)tile * Side * count, next, rowFloats, count, upper, dy, filled, first, outputs.Count, stride, scales, room);
            }
        }
        return filled;
    }

    /// <summary>Reads some channels of four rows of the gradient; what lies outside is zero.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void ReadGradient(GradientWork work, int image, int top, int first, int count, float* to)
    {
        var size = work.Size;
        int width = Side * work.TilesAcross, valid = Math.Min(count, size.Outputs - first), rows = Math.Min(Side, size.Height - top);
        E* from = work.Gradient + ((nint)image * size.Height + top) * size.Width * size.Outputs + first;
        if (rows < Side || width != size.Width || valid < count)
            new Span<float>(to, Side * width * count).Clear();
        for (int row = 0; row < rows; row++, to += (nint)width * count)
        {
            for (int x = 0; x < size.Width; x++, from += size.Outputs)
                E.Read(from, valid, to + (nint)x * count);
        }
    }

    /// <summary>Adds up pixels: in float32 over these, in float64 over all.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void AddPixels(float* pixels, int count, Span<double> sums)
    {
        float* partial = stackalloc float[L.Count];
        for (int c = 0; c < sums.Length; c += L.Count)
        {
            float* from = pixels + c;
            L even = default, odd = default;
            for (int i = 0; i < count; i += 2, from += 2 * sums.Length)
            {
                even += L.Load(from);
                odd += L.Load(from + sums.Length);
            }
            L.Store(even + odd, partial);
            for (int lane = 0; lane < L.Count; lane++)
                sums[c + lane] += partial[lane];
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void AddBoth(float* a, float* b, int count, float* to)
    {
        int i = 0;
        for (; i <= count - L.Count; i += L.Count)
            L.Store(L.Load(to + i) + (b is null ? L.Load(a + i) : L.Load(a + i) + L.Load(b + i)), to + i);
        for (; i < count; i++)
            to[i] += b is null ? a[i] : a[i] + b[i];
    }

    /// <summary>One gradient under way.</summary>
    private sealed class GradientWork
    {
        public GradientWork(P points, in ConvolutionSize size, PixelSource x, E* dy, float* dWeight, float* dBias)
        {
            Points = points;
            Size = size;
            Input = x;
            Gradient = dy;
            Weight = dWeight;
            Bias = dBias;
            (Inputs, Outputs) = (KernelMemory.RoundUp(size.Inputs, L.Count), KernelMemory.RoundUp(size.Outputs, L.Count));
            TilesAcross = ConvolutionTiles.Along(size.Width);
            TilesDown = ConvolutionTiles.Along(size.Height);
            Bands = size.Images * TilesDown;
            // Not by the number of cores: the order of the sums hangs on it.
            const int least = 16;
            int chunk = (int)Math.Max(least, (long)least * ChunkFloats / (P.HalfMatrices * P.GradientFloats(least, Inputs + Outputs)));
            PairedRows = TilesAcross % 2 == 0 ? 1 : 2;
            ChunkBands = Math.Max(PairedRows, Math.Min(KernelMemory.RoundUp(Bands, PairedRows), chunk / TilesAcross / PairedRows * PairedRows));
            ChunkTiles = ChunkBands * TilesAcross;
            ScratchFloats = P.ScratchRegisters * L.Count + PixelSource.Room;
            // As products take them: twos of registers; the last may be one.
            Grid = new(Inputs, Outputs, 2 * L.Count, s_costs);
        }

        public P Points { get; }

        public ConvolutionSize Size { get; }

        public PixelSource Input { get; }

        /// <summary>[N, H, W, D].</summary>
        public E* Gradient { get; }

        /// <summary>[D, 3, 3, C], added to.</summary>
        public float* Weight { get; }

        /// <summary>[D] or null, added to.</summary>
        public float* Bias { get; }

        /// <summary>Tiles in a row of an image.</summary>
        public int TilesAcross { get; }

        /// <summary>Rows of tiles in an image.</summary>
        public int TilesDown { get; }

        /// <summary>Rows of tiles in the batch.</summary>
        public int Bands { get; }

        /// <summary>Rows of tiles of which tiles are paired: 1 where a row has an even number of them, otherwise 2.</summary>
        public int PairedRows { get; }

        /// <summary>Tiles from a pair in a row to the next pair.</summary>
        public int PairStep => PairedRows == 1 ? 2 : 1;

        /// <summary>Rows of tiles that are transformed before their products are taken.</summary>
        public int ChunkBands { get; }

        /// <summary>Their tiles, an even number: some of zeros may be among them.</summary>
        public int ChunkTiles { get; }

        /// <summary>Floats that transforms and the source of the input work in.</summary>
        public int ScratchFloats { get; }

        /// <summary>The same with those of the pixels that are read together.</summary>
        public nint TransformFloats => ScratchFloats + PairedRows * Math.Max(RowWindow.Floats(Size.Width, Inputs), RowWindow.Floats(Size.Width, Outputs));

        /// <summary>Parts of the weight.</summary>
        public WeightGrid Grid { get; }

        /// <summary>Channels up to whole registers.</summary>
        private int Inputs { get; }

        /// <summary>Channels up to whole registers.</summary>
        private int Outputs { get; }
    }
}
