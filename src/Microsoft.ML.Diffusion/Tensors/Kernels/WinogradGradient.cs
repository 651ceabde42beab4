using System.Runtime.CompilerServices;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// The gradients of weight and bias of a 3x3 convolution by F(4x4, 3x3). A core has half of the values of all tiles, and some outputs, to itself from the pixels to the sums:
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

    /// <inheritdoc cref="WinogradConvolution{L, E, P}.Skew"/>
    private const int Skew = WinogradConvolution<L, E, P>.Skew;

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
        var work = new GradientWork(points, size, x, dy, dBias);
        int inputs = size.Inputs;
        int outputs = size.Outputs;
        DeferredWork.Run(2 * work.Shares, part => Accumulate(work, upper: part % 2 == 1, part / 2), () => Cores.Run(outputs, output =>
        {
            float* lower = work.Parts + (nint)output * 9 * work.Inputs, upper = lower + work.HalfStride, to = dWeight + (nint)output * 9 * inputs;
            for (int k = 0; k < 9; k++, lower += work.Inputs, upper += work.Inputs, to += inputs)
                AddBoth(lower, upper, inputs, to);
        }));
    }

    /// <summary>One half of the values and one share of the outputs, from the pixels to its part of the weight's gradient.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Accumulate(GradientWork work, bool upper, int share)
    {
        int n = L.Count, half = P.HalfMatrices, inputs = work.Inputs;
        var (first, outputs) = work.Share(share);
        bool once = work.Bands <= work.ChunkBands;
        int slice = once ? Math.Min(outputs, SliceOutputs) : outputs;
        nint xStride = P.GradientFloats(work.ChunkTiles, inputs) + Skew, dyStride = P.GradientFloats(work.ChunkTiles, outputs) + Skew, sumStride = (nint)slice * inputs + Skew;

        float* x = KernelMemory.Own(half * (xStride + dyStride + sumStride) + work.TransformFloats);
        float* dy = x + half * xStride, sums = dy + half * dyStride, room = sums + half * sumStride;
        double[]? bias = work.Bias is not null && !upper ? new double[outputs] : null;

        int filled = 0;
        for (int band = 0; band < work.Bands; band += work.ChunkBands)
        {
            int end = Math.Min(work.Bands, band + work.ChunkBands);
            FillInput(work, upper, band, end, x, xStride, room);
            filled = FillGradient(work, upper, band, end, first, outputs, dy, dyStride, bias, room);
            P.Pack(x, xStride, inputs, filled);
            P.Pack(dy, dyStride, outputs, filled);
            if (end < work.Bands)
                Multiply(0, outputs, add: band > 0);
        }
        for (int output = 0; output < outputs; output += slice)
        {
            int count = Math.Min(slice, outputs - output);
            Multiply(output, count, add: !once);
            Finish(output, count);
        }
        for (int d = 0; d < outputs && bias is not null && first + d < work.Size.Outputs; d++)
            work.Bias[first + d] += (float)bias[d];

        void Multiply(int output, int count, bool add) =>
            work.Points.SumProducts(dy, dyStride, outputs, output, count, x, xStride, inputs, sums, sumStride, filled, add);

        void Finish(int output, int count)
        {
            float* to = work.Parts + (upper ? work.HalfStride : 0) + (nint)(first + output) * 9 * inputs, from = sums;
            for (int d = 0; d < count; d++, to += 9 * inputs, from += inputs)
            {
                for (int c = 0; c < inputs; c += n)
                    P.WeightGradientHalf(from + c, sumStride, upper, to + c, inputs, room);
            }
        }
    }

    /// <summary>Transforms the pixels of some rows of tiles, two tiles at a time: neighbours, or where a row of them has no even number, those of two rows.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void FillInput(GradientWork work, bool upper, int begin, int end, float* x, nint stride, float* room)
    {
        nint bandFloats = RowWindow.Floats(work.Size.Width, work.Inputs);
        float* pixels = room + work.ScratchFloats;
        for (int first = 0; first < work.Inputs; first += PixelSource.MostChannels)
        {
            int count = Math.Min(PixelSource.MostChannels, work.Inputs - first), filled = 0;
            var window = new RowWindow(work.Input, work.Size, first, count, room + P.ScratchRegisters * L.Count);
            nint next = work.PairedRows == 1 ? Side * count : bandFloats;
            for (int band = begin; band < end; band++)
            {
                int row = (band - begin) % work.PairedRows;
                window.Read(band / work.Down, band % work.Down, pixels + row * bandFloats);
                if (row + 1 < work.PairedRows)
                {
                    if (band + 1 < end)
                        continue;
                    new Span<float>(pixels + bandFloats, (int)bandFloats).Clear();
                }
                for (int tile = 0; tile < work.Across; tile += work.PairStep, filled += 2)
                    P.InputHalf(pixels + (nint)tile * Side * count, next, window.RowFloats, count, upper, x, filled, first, work.Inputs, stride, room);
            }
        }
    }

    /// <summary>The same of some outputs of the gradient, whose pixels it adds up.</summary>
    /// <returns>How many tiles, an even number.</returns>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static int FillGradient(GradientWork work, bool upper, int begin, int end, int firstOutput, int outputs, float* dy, nint stride, double[]? bias, float* room)
    {
        float* pixels = room + work.ScratchFloats;
        int filled = 0;
        for (int first = 0; first < outputs; first += PixelSource.MostChannels)
        {
            int count = Math.Min(PixelSource.MostChannels, outputs - first), width = Side * work.Across;
            nint rowFloats = (nint)width * count, bandFloats = Side * rowFloats, next = work.PairedRows == 1 ? Side * count : bandFloats;
            filled = 0;
            for (int band = begin; band < end; band++)
            {
                int row = (band - begin) % work.PairedRows;
                ReadGradient(work, band / work.Down, band % work.Down * Side, firstOutput + first, count, pixels + row * bandFloats);
                if (bias is not null)
                    AddPixels(pixels + row * bandFloats, Side * width, bias.AsSpan(first, count));
                if (row + 1 < work.PairedRows)
                {
                    if (band + 1 < end)
                        continue;
                    new Span<float>(pixels + bandFloats, (int)bandFloats).Clear();
                }
                for (int tile = 0; tile < work.Across; tile += work.PairStep, filled += 2)
                    P.OutputGradientHalf(pixels + (nint)tile * Side * count, next, rowFloats, count, upper, dy, filled, first, outputs, stride, room);
            }
        }
        return filled;
    }

    /// <summary>Reads some channels of four rows of the gradient; what lies outside is zero.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void ReadGradient(GradientWork work, int image, int top, int first, int count, float* to)
    {
        var size = work.Size;
        int width = Side * work.Across, valid = Math.Min(count, size.Outputs - first), rows = Math.Min(Side, size.Height - top);
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
            L.Store(L.Load(to + i) + (L.Load(a + i) + L.Load(b + i)), to + i);
        for (; i < count; i++)
            to[i] += a[i] + b[i];
    }

    /// <summary>One gradient under way.</summary>
    private sealed class GradientWork
    {
        public GradientWork(P points, in ConvolutionSize size, PixelSource x, E* dy, float* dBias)
        {
            Points = points;
            Size = size;
            Input = x;
            Gradient = dy;
            Bias = dBias;
            Inputs = KernelMemory.RoundUp(size.Inputs, L.Count);
            Outputs = KernelMemory.RoundUp(size.Outputs, L.Count);
            Across = ConvolutionTiles.Along(size.Width);
            Down = ConvolutionTiles.Along(size.Height);
            Bands = size.Images * Down;
            // Not by the number of cores: the order of the sums hangs on it.
            const int least = 16;
            int chunk = (int)Math.Max(least, (long)least * ChunkFloats / (P.HalfMatrices * P.GradientFloats(least, Inputs + Outputs)));
            PairedRows = Across % 2 == 0 ? 1 : 2;
            ChunkBands = Math.Max(PairedRows, Math.Min(KernelMemory.RoundUp(Bands, PairedRows), chunk / Across / PairedRows * PairedRows));
            ChunkTiles = ChunkBands * Across;
            ScratchFloats = P.ScratchRegisters * L.Count + PixelSource.Room;
            Shares = Math.Clamp((Cores.Count + 1) / 2, 1, Outputs / L.Count);
            HalfStride = (nint)Outputs * 9 * Inputs;
            Parts = KernelMemory.Gradients(2 * HalfStride);
        }

        public P Points { get; }

        public ConvolutionSize Size { get; }

        public PixelSource Input { get; }

        /// <summary>[N, H, W, D].</summary>
        public E* Gradient { get; }

        /// <summary>[D] or null, added to.</summary>
        public float* Bias { get; }

        /// <summary>Channels up to whole registers.</summary>
        public int Inputs { get; }

        /// <summary>Channels up to whole registers.</summary>
        public int Outputs { get; }

        /// <summary>Tiles in a row of an image.</summary>
        public int Across { get; }

        /// <summary>Rows of tiles in an image.</summary>
        public int Down { get; }

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

        /// <summary>Parts of the outputs; two cores work on each.</summary>
        public int Shares { get; }

        /// <summary>The weight's gradient, what each half of the values gives: [2, D, 9, C].</summary>
        public float* Parts { get; }

        public nint HalfStride { get; }

        /// <summary>The outputs of a share.</summary>
        public (int First, int Count) Share(int share)
        {
            int registers = Outputs / L.Count, first = registers * share / Shares;
            return (first * L.Count, (registers * (share + 1) / Shares - first) * L.Count);
        }
    }
}
