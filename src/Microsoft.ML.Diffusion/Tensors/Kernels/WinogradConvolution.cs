using System.Runtime.CompilerServices;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// A 3x3 convolution over images whose channels are last in memory, by F(4x4, 3x3): blocks of tiles are transformed, multiplied and transformed back
/// while they lie in a core's cache.
/// </summary>
/// <typeparam name="L">The register.</typeparam>
/// <typeparam name="E">The images' numbers.</typeparam>
/// <typeparam name="P">Points, and what multiplies the values there.</typeparam>
internal static unsafe partial class WinogradConvolution<L, E, P>
    where L : unmanaged, ILanes<L>
    where E : unmanaged, IElement<E, L>
    where P : struct, IWinogradPoints<L>
{
    private const int Side = ConvolutionTiles.Side;

    private const int Skew = ConvolutionTiles.Skew;

    /// <summary>Floats of transformed tiles in work: most of a core's second-level cache.</summary>
    private const int BlockFloats = 300_000;

    /// <summary>Tiles of a whole batch up to which the transformed weights are the larger part: then a core transforms those that it multiplies itself.</summary>
    private const int FewTiles = 64;

    /// <summary>Floats that the transforms of tiles and the source of the input work in.</summary>
    private static int ScratchFloats => (P.ScratchRegisters + Side * Side) * L.Count + PixelSource.Room;

    /// <summary>y = w * x + b.</summary>
    /// <param name="points">Multiplies.</param>
    /// <param name="size">The sizes.</param>
    /// <param name="x">[N, H, W, C].</param>
    /// <param name="weight">[D, 3, 3, C]; turned: [C, 3, 3, D].</param>
    /// <param name="turned">Kernels by half a turn, inputs and outputs exchanged: the gradient of the input of the convolution that the weight belongs to.</param>
    /// <param name="bias">[D] or null.</param>
    /// <param name="addend">[N, H, W, D] or null: added to the result.</param>
    /// <param name="y">[N, H, W, D], written.</param>
    /// <param name="moments">Lines of <see cref="MomentLines.Rows"/> rows of pixels, filled; outputs fill whole registers where they are wanted.</param>
    public static void Apply(P points, in ConvolutionSize size, PixelSource x, float* weight, bool turned, float* bias, E* addend, E* y, MomentLines moments)
    {
        var work = new Work(points, size, x, weight, turned, bias, addend, y, moments);
        if (work.HasFewTiles)
        {
            ApplyBySlices(work);
            return;
        }
        nint floats = P.WeightMatrices * work.WeightStride;
        float* kept = Kept(work, WeightForm.Tiles, floats, out bool isThere), u = kept is null ? KernelMemory.Shared(floats) : kept;
        if (!isThere)
            Cores.Run(work.Outputs / L.Count, lanes => TransformWeights(work, lanes * L.Count, u, KernelMemory.Own(WeightScratch)));
        Cores.Run(work.Tiles.Blocks * work.Splits, part => ApplyBlock(work, u, part / work.Splits, part % work.Splits));
    }

    /// <summary>The same for few tiles: all of them are transformed first, then each core takes some outputs, so that the transformed weights never leave its cache.</summary>
    private static void ApplyBySlices(Work work)
    {
        var tiles = work.Tiles;
        int cores = Cores.Count, images = tiles.Bands(0);
        int width = work.SliceWidth(cores), slices = (work.Outputs + width - 1) / width;
        float* shared = KernelMemory.Shared(P.PixelMatrices * work.InputStride);
        // Bands of whole images, or of some rows of tiles where there are fewer images than cores.
        int rows = images >= cores ? tiles.Down : Math.Max(1, tiles.Down * images / cores), bands = (tiles.Down + rows - 1) / rows;
        Cores.Run(images * bands, i =>
        {
            int image = i / bands, first = i % bands * rows;
            var part = new TileBand(image, first, Math.Min(rows, tiles.Down - first), (image * tiles.Down + first) * tiles.Across);
            TransformBand(work, part, shared, KernelMemory.Own(work.BandFloats + ScratchFloats));
        });
        nint floats = P.WeightMatrices * work.SliceStride(width);
        float* kept = Kept(work, WeightForm.SlicesOfTiles, slices * floats, out bool isThere);
        Cores.Run(slices, i => ApplySlice(work, shared, i * width, Math.Min(width, work.Outputs - i * width), kept is null ? null : kept + i * floats, isThere));
    }

    /// <summary>Reads a band and transforms its tiles, row by row.</summary>
    /// <param name="work">The convolution.</param>
    /// <param name="part">Which band.</param>
    /// <param name="v">The matrices, [tiles, C] each; the band's rows are written.</param>
    /// <param name="room">[<see cref="Work.BandFloats"/> + <see cref="ScratchFloats"/>].</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void TransformBand(Work work, TileBand part, float* v, float* room)
    {
        int across = work.Tiles.Across;
        float* source = room + work.BandFloats, scratch = source + PixelSource.Room;
        for (int first = 0; first < work.Inputs; first += PixelSource.MostChannels)
        {
            int count = Math.Min(PixelSource.MostChannels, work.Inputs - first);
            var window = new RowWindow(work.X, work.Size, first, count, source);
            for (int row = 0; row < part.Rows; row++)
            {
                window.Read(part.Image, part.FirstRow + row, room);
                for (int tile = 0; tile < across; tile++)
                    P.Input(room + (nint)tile * Side * count, window.RowFloats, count, v, part.FirstTile + row * across + tile, first, work.Inputs, work.InputStride, scratch);
            }
        }
    }

    /// <summary>Transforms the weights of some outputs, multiplies, and transforms back.</summary>
    /// <param name="work">The convolution.</param>
    /// <param name="v">The transformed tiles.</param>
    /// <param name="column">The first output.</param>
    /// <param name="width">How many.</param>
    /// <param name="kept">Where the transformed weights are kept; null where they are not.</param>
    /// <param name="isThere">Whether they are there already.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void ApplySlice(Work work, float* v, int column, int width, float* kept, bool isThere)
    {
        nint stride = work.SliceStride(width);
        float* room = KernelMemory.Own(work.SliceMemory(width)), u = kept is null ? room : kept;
        float* m = room + P.WeightMatrices * stride, scratch = m + P.Values * work.OutputStride;
        for (int output = 0; !isThere && output < width; output += L.Count)
            TransformWeights(work, column + output, u, output, width, stride, scratch);
        work.Points.Multiply(v, work.InputStride, u, stride, m, work.OutputStride, work.Tiles.TilesPerBlock, width, work.Inputs);
        for (int image = 0; image < work.Tiles.Bands(0); image++)
            TransformOutput(work, work.Tiles.Band(0, image), m, column, width, scratch);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void ApplyBlock(Work work, float* weights, int block, int split)
    {
        var tiles = work.Tiles;
        var (first, last) = work.Columns(split);
        float* v = KernelMemory.Own(work.BlockMemory);
        float* m = v + P.PixelMatrices * work.InputStride, band = m + P.Values * work.OutputStride, scratch = band + work.BandFloats;
        int count = 0;
        for (int i = 0; i < tiles.Bands(block); i++)
        {
            TileBand part = tiles.Band(block, i);
            TransformBand(work, part, v, band);
            count = part.FirstTile + part.Rows * tiles.Across;
        }

        // A panel of outputs at a time: the products of all of them would not fit the cache beside the inputs.
        int width;
        for (int column = first; column < last; column += width)
        {
            width = P.PanelAt(work.Outputs, column);
            float* u = weights + P.Floats(column, work.Inputs);
            work.Points.Multiply(v, work.InputStride, u, work.WeightStride, m, work.OutputStride, count, width, work.Inputs);
            for (int i = 0; i < tiles.Bands(block); i++)
                TransformOutput(work, tiles.Band(block, i), m, column, width, scratch);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void TransformOutput(Work work, TileBand part, float* m, int column, int columns, float* scratch)
    {
        var size = work.Size;
        int n = L.Count, outputs = size.Outputs;
        float* edge = scratch + P.ScratchRegisters * n;
        nint rowStride = (nint)size.Width * outputs;
        for (int tileRow = 0; tileRow < part.Rows; tileRow++)
        {
            int y0 = (part.FirstRow + tileRow) * Side, height = Math.Min(Side, size.Height - y0);
            for (int tile = 0; tile < work.Tiles.Across; tile++)
            {
                int x0 = tile * Side, width = Math.Min(Side, size.Width - x0);
                float* from = m + (nint)(part.FirstTile + tileRow * work.Tiles.Across + tile) * columns - column;
                nint offset = (((nint)part.Image * size.Height + y0) * size.Width + x0) * outputs;
                CallOutput(work, offset + column + (tile + 1 < work.Tiles.Across ? Side * outputs : Side * rowStride - x0 * outputs), rowStride, columns);
                for (int d = column; d < column + columns; d += n)
                {
                    L bias = work.BiasAt(d);
                    int lanes = Math.Min(n, outputs - d);
                    if (height == Side && width == Side && lanes == n)
                    {
                        P.Output(from + d, work.OutputStride, work.Y + offset + d, rowStride, outputs, bias, work.Addend is null ? null : work.Addend + offset + d, scratch);
                        continue;
                    }
                    P.Output(from + d, work.OutputStride, (WideElement<L>*)edge, Side * n, n, bias, null, scratch);
                    WritePart(work, edge, offset + d, height, width, lanes);
                }
            }
            if (work.Moments.AreWanted)
                work.Moments.Measure<L, E>(work.Y, (nint)part.Image * work.Tiles.Down + part.FirstRow + tileRow, column, columns);
        }
    }

    /// <summary>Calls what a tile is written to, and what is added to it, from memory: they lie too far apart for a processor to see which come next.</summary>
    /// <param name="work">The convolution.</param>
    /// <param name="first">The tile's first number, counted from the first of the result; may lie past the last.</param>
    /// <param name="rowStride">From a row of pixels to the next.</param>
    /// <param name="columns">Outputs.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void CallOutput(Work work, nint first, nint rowStride, int columns)
    {
        for (int row = 0; row < Side; row++, first += rowStride)
        {
            for (int pixel = 0; pixel < Side; pixel++)
            {
                nint at = first + pixel * work.Size.Outputs;
                for (int d = 0; d < columns; d += 64 / sizeof(E))
                {
                    Lanes.Prefetch(work.Y + at + d);
                    if (work.Addend is not null)
                        Lanes.Prefetch(work.Addend + at + d);
                }
            }
        }
    }

    /// <summary>Writes what there is of a tile that reaches over the image's edge, or over the last output.</summary>
    /// <param name="work">The convolution.</param>
    /// <param name="tile">[4, 4, lanes of a register].</param>
    /// <param name="to">The tile's first number, counted from the first of the result.</param>
    /// <param name="height">Its rows.</param>
    /// <param name="width">Pixels of a row.</param>
    /// <param name="lanes">Outputs.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void WritePart(Work work, float* tile, nint to, int height, int width, int lanes)
    {
        int n = L.Count, outputs = work.Size.Outputs;
        for (int y = 0; y < height; y++, to += (nint)work.Size.Width * outputs)
        {
            for (int x = 0; x < width; x++)
            {
                float* from = tile + (y * Side + x) * n;
                nint at = to + (nint)x * outputs;
                if (lanes == n)
                {
                    L value = L.Load(from);
                    E.Store(work.Addend is null ? value : value + E.Load(work.Addend + at), work.Y + at);
                    continue;
                }
                for (int lane = 0; lane < lanes; lane++)
                    work.Y[at + lane] = E.Of(from[lane] + (work.Addend is null ? 0 : E.One(work.Addend[at + lane])));
            }
        }
    }

    /// <summary>One convolution under way.</summary>
    private sealed class Work
    {
        private readonly float[] _bias;

        public Work(P points, in ConvolutionSize size, PixelSource x, float* weight, bool turned, float* bias, E* addend, E* y, MomentLines moments)
        {
            Points = points;
            Size = size;
            X = x;
            Weight = weight;
            IsTurned = turned;
            Addend = addend;
            Y = y;
            Moments = moments;
            Inputs = KernelMemory.RoundUp(size.Inputs, L.Count);
            Outputs = KernelMemory.RoundUp(size.Outputs, L.Count);
            int cores = Cores.Count;
            int width = P.PanelAt(Outputs, 0);
            int all = size.Images * ConvolutionTiles.Along(size.Height) * ConvolutionTiles.Along(size.Width);
            HasFewTiles = all <= FewTiles;
            Tiles = HasFewTiles ? new(size, all, 1) : new(size, Math.Max(8, (int)(BlockFloats / (P.PixelMatrices * P.Floats(1, Inputs) + P.Values * width))), cores);
            int panels = (Outputs + width - 1) / width;
            Splits = Math.Clamp(cores / Tiles.Blocks, 1, panels);
            int rows = P.Rows(Tiles.TilesPerBlock);
            WeightStride = KernelMemory.RoundUp(P.Floats(Outputs, Inputs), Skew) + Skew;
            InputStride = KernelMemory.RoundUp(P.Floats(rows, Inputs), Skew) + Skew;
            OutputStride = (nint)rows * width + Skew;
            BandFloats = RowWindow.Floats(size.Width, Inputs);
            _bias = new float[Outputs];
            if (bias is not null)
                new ReadOnlySpan<float>(bias, size.Outputs).CopyTo(_bias);
        }

        public P Points { get; }

        public ConvolutionSize Size { get; }

        public PixelSource X { get; }

        public E* Addend { get; }

        public E* Y { get; }

        public MomentLines Moments { get; }

        /// <summary>[D, 3, 3, C]; turned: [C, 3, 3, D].</summary>
        public float* Weight { get; }

        public bool IsTurned { get; }

        /// <summary>Channels up to whole registers.</summary>
        public int Inputs { get; }

        /// <summary>Channels up to whole registers.</summary>
        public int Outputs { get; }

        /// <summary>Whether the tiles are few beside the weights; they are one block then.</summary>
        public bool HasFewTiles { get; }

        public ConvolutionTiles Tiles { get; }

        /// <summary>Parts of the output channels, where there are fewer blocks than cores.</summary>
        public int Splits { get; }

        public nint WeightStride { get; }

        public nint InputStride { get; }

        public nint OutputStride { get; }

        /// <summary>Floats of the pixels that are read together.</summary>
        public nint BandFloats { get; }

        /// <summary>What a core needs for a block.</summary>
        public nint BlockMemory => P.PixelMatrices * InputStride + P.Values * OutputStride + BandFloats + ScratchFloats;

        /// <summary>Outputs of a part where tiles are few.</summary>
        public int SliceWidth(int cores) => Outputs >= 2 * L.Count * cores ? 2 * L.Count : P.LeastPanel;

        /// <summary>From a matrix of weights of some outputs to the next.</summary>
        public nint SliceStride(int width) => KernelMemory.RoundUp(P.Floats(width, Inputs), Skew) + Skew;

        /// <summary>What a core needs for some outputs of all tiles.</summary>
        public nint SliceMemory(int width) => P.WeightMatrices * SliceStride(width) + P.Values * OutputStride + Math.Max(WeightScratch, ScratchFloats);

        public (int First, int Last) Columns(int split)
        {
            int width = P.PanelAt(Outputs, 0), panels = (Outputs + width - 1) / width;
            return (panels * split / Splits * width, Math.Min(Outputs, panels * (split + 1) / Splits * width));
        }

        public L BiasAt(int output)
        {
            fixed (float* bias = &_bias[output])
                return L.Load(bias);
        }
    }
}
