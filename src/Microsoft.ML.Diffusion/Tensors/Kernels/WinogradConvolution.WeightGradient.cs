using System.Runtime.CompilerServices;

namespace Microsoft.ML.Diffusion;

internal static unsafe partial class WinogradConvolution<L>
{
    /// <summary>Floats of transformed tiles that wait for their products: enough tiles that sums over them are long, few enough to stay near the cores.</summary>
    private const int ChunkFloats = 3_000_000;

    /// <summary>The gradients of weight and bias. The result does not depend on the number of cores.</summary>
    /// <param name="size">The sizes of the convolution.</param>
    /// <param name="x">[N, H, W, C], its input.</param>
    /// <param name="dy">[N, H, W, D], the gradient of its output.</param>
    /// <param name="dWeight">[D, 3, 3, C], added to.</param>
    /// <param name="dBias">[D], written; or null.</param>
    public static void WeightGradient(in ConvolutionSize size, PixelSource x, PixelSource dy, float* dWeight, float* dBias)
    {
        var work = new GradientWork(size, x, dy);
        work.Allocate();
        int chunk = Math.Max(1, work.ChunkTiles / work.Tiles.TilesPerBlock);
        for (int first = 0; first < work.Tiles.Blocks; first += chunk)
        {
            int from = first, blocks = Math.Min(chunk, work.Tiles.Blocks - first);
            int before = work.Tiles.TilesBefore(from), tiles = work.Tiles.TilesBefore(from + blocks) - before;
            Cores.Run(blocks, i => TransformBlock(work, from + i, work.Tiles.TilesBefore(from + i) - before));
            Cores.Run(Numbers, number =>
            {
                float* sums = work.Sums + number * work.WeightStride;
                if (from == 0)
                    new Span<float>(sums, work.Outputs * work.Inputs).Clear();
                MatrixKernel<L>.AddTransposed(
                    work.Dy + number * work.OutputStride, work.Outputs, work.X + number * work.InputStride, work.Inputs, sums, work.Inputs, work.Outputs, work.Inputs, tiles);
            });
        }
        Cores.Run(size.Outputs, output => TransformGradient(work, output, dWeight));
        if (dBias is not null)
        {
            for (int d = 0; d < size.Outputs; d++)
            {
                double sum = 0;
                for (int block = 0; block < work.Tiles.Blocks; block++)
                    sum += work.BiasSums[(nint)block * work.Outputs + d];
                dBias[d] = (float)sum;
            }
        }
    }

    /// <summary>Transforms the tiles of a block, input and gradient, and sums the gradient.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void TransformBlock(GradientWork work, int block, int firstTile)
    {
        var tiles = work.Tiles;
        float* band = KernelMemory.Own(Math.Max(work.BandFloats, work.GradientBandFloats) + Math.Max(Math.Max(work.Input.Room, work.Gradient.Room), Numbers * L.Count));
        float* scratch = band + Math.Max(work.BandFloats, work.GradientBandFloats);
        float* sums = work.BiasSums + (nint)block * work.Outputs;
        new Span<float>(sums, work.Outputs).Clear();
        for (int i = 0; i < tiles.Bands(block); i++)
        {
            TileBand part = tiles.Band(block, i);
            int tile = firstTile + part.FirstTile;
            ReadBand(work.Input, work.Size, part, tiles.Across, work.Inputs, band, scratch);
            TransformInput(part, tiles.Across, work.Inputs, band, work.X + (nint)tile * work.Inputs, work.InputStride, scratch);
            ReadGradient(work, part, band, scratch);
            Sum(band, (nint)part.Rows * Side * Side * tiles.Across, work.Outputs, sums);
            TransformGradientBand(work, part, band, work.Dy + (nint)tile * work.Outputs, scratch);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void ReadGradient(GradientWork work, TileBand part, float* band, float* room)
    {
        work.Gradient.Begin(part.Image, room);
        int width = Side * work.Tiles.Across, stride = work.Outputs;
        for (int i = 0; i < Side * part.Rows; i++, band += (nint)width * stride)
        {
            int row = Side * part.FirstRow + i;
            if (row >= work.Size.Height || width != work.Size.Width || stride != work.Size.Outputs)
                new Span<float>(band, width * stride).Clear();
            if (row < work.Size.Height)
                work.Gradient.Read(part.Image, row, room, band, stride);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Sum(float* pixels, nint count, int channels, float* sums)
    {
        for (int c = 0; c < channels; c += L.Count)
        {
            float* from = pixels + c;
            L even = default, odd = default;
            for (nint i = 0; i < count; i += 2, from += 2 * channels)
            {
                even += L.Load(from);
                odd += L.Load(from + channels);
            }
            L.Store(L.Load(sums + c) + (even + odd), sums + c);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void TransformGradientBand(GradientWork work, TileBand part, float* band, float* v, float* scratch)
    {
        int channels = work.Outputs;
        nint row = (nint)Side * work.Tiles.Across * channels;
        for (int tileRow = 0; tileRow < part.Rows; tileRow++)
        {
            for (int tile = 0; tile < work.Tiles.Across; tile++, v += channels)
            {
                float* dy = band + tileRow * Side * row + (nint)tile * Side * channels;
                for (int c = 0; c < channels; c += L.Count)
                    WinogradTransforms<L>.OutputGradient(dy + c, row, channels, v + c, work.OutputStride, scratch);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void TransformGradient(GradientWork work, int output, float* dWeight)
    {
        int n = L.Count, inputs = work.Size.Inputs;
        float* scratch = stackalloc float[(18 + 9) * n];
        float* edge = scratch + 18 * n;
        for (int c = 0; c < inputs; c += n)
        {
            float* sums = work.Sums + (nint)output * work.Inputs + c;
            float* to = dWeight + (nint)output * 9 * inputs + c;
            WinogradTransforms<L>.WeightGradient(sums, work.WeightStride, edge, 3 * n, n, scratch);
            for (int k = 0; k < 9; k++, to += inputs)
            {
                if (c + n <= inputs)
                {
                    L.Store(L.Load(to) + L.Load(edge + k * n), to);
                    continue;
                }
                for (int lane = 0; lane < inputs - c; lane++)
                    to[lane] += edge[k * n + lane];
            }
        }
    }

    /// <summary>One gradient under way.</summary>
    private sealed class GradientWork
    {
        public GradientWork(in ConvolutionSize size, PixelSource x, PixelSource dy)
        {
            Size = size;
            Input = x;
            Gradient = dy;
            Inputs = KernelMemory.RoundUp(size.Inputs, L.Count);
            Outputs = KernelMemory.RoundUp(size.Outputs, L.Count);
            ChunkTiles = Math.Max(16, ChunkFloats / (Numbers * (Inputs + Outputs)));
            Tiles = new ConvolutionTiles(size, Math.Min(64, ChunkTiles), 1);
            int tiles = Math.Max(1, ChunkTiles / Tiles.TilesPerBlock) * Tiles.TilesPerBlock;
            WeightStride = (nint)Inputs * Outputs + Skew;
            InputStride = (nint)tiles * Inputs + Skew;
            OutputStride = (nint)tiles * Outputs + Skew;
            BandFloats = (nint)(Side * Tiles.BandRows + 2) * (Side * Tiles.Across + 2) * Inputs;
            GradientBandFloats = (nint)Side * Tiles.BandRows * Side * Tiles.Across * Outputs;
        }

        public ConvolutionSize Size { get; }

        public PixelSource Input { get; }

        public PixelSource Gradient { get; }

        public int Inputs { get; }

        public int Outputs { get; }

        public ConvolutionTiles Tiles { get; }

        /// <summary>Tiles that are transformed before their products are taken.</summary>
        public int ChunkTiles { get; }

        public nint WeightStride { get; }

        public nint InputStride { get; }

        public nint OutputStride { get; }

        public nint BandFloats { get; }

        public nint GradientBandFloats { get; }

        /// <summary>Transformed inputs, [36, tiles, C].</summary>
        public float* X { get; private set; }

        /// <summary>Transformed gradients, [36, tiles, D].</summary>
        public float* Dy { get; private set; }

        /// <summary>The weight's gradient before its transform, [36, D, C].</summary>
        public float* Sums { get; private set; }

        /// <summary>The bias's gradient of each block, [blocks, D].</summary>
        public float* BiasSums { get; private set; }

        public void Allocate()
        {
            X = KernelMemory.Shared(Numbers * (InputStride + OutputStride + WeightStride) + (nint)Tiles.Blocks * Outputs);
            Dy = X + Numbers * InputStride;
            Sums = Dy + Numbers * OutputStride;
            BiasSums = Sums + Numbers * WeightStride;
        }
    }
}
