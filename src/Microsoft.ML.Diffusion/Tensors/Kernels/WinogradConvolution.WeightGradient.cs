using System.Runtime.CompilerServices;

namespace Microsoft.ML.Diffusion;

internal static unsafe partial class WinogradConvolution<L, E>
{
    /// <summary>Numbers of a tile that a core works on: three of six rows.</summary>
    private const int Half = Numbers / 2;

    /// <summary>Floats of transformed tiles that a core takes the products of at a time: they stay in its second-level cache beside the sums.</summary>
    private const int ChunkFloats = 150_000;

    /// <summary>Outputs that are summed together where all tiles are one chunk: their sums stay in the second-level cache.</summary>
    private const int SliceOutputs = 64;

    /// <summary>
    /// The gradients of weight and bias. A core has half of the numbers of all tiles, and some outputs, to itself from the pixels to the sums: no core waits for what
    /// another has transformed, and the result does not depend on how many there are.
    /// </summary>
    /// <param name="size">The sizes of the convolution.</param>
    /// <param name="x">[N, H, W, C], its input.</param>
    /// <param name="dy">[N, H, W, D], the gradient of its output.</param>
    /// <param name="dWeight">[D, 3, 3, C], added to.</param>
    /// <param name="dBias">[D], written; or null.</param>
    public static void WeightGradient(in ConvolutionSize size, PixelSource x, E* dy, float* dWeight, float* dBias)
    {
        var work = new GradientWork(size, x, dy, dBias);
        int inputs = size.Inputs;
        Cores.Run(2 * work.Shares, part => Accumulate(work, upper: part % 2 == 1, part / 2));
        Cores.Run(size.Outputs, output =>
        {
            float* lower = work.Parts + (nint)output * 9 * work.Inputs, upper = lower + work.HalfStride, to = dWeight + (nint)output * 9 * inputs;
            for (int k = 0; k < 9; k++, lower += work.Inputs, upper += work.Inputs, to += inputs)
                AddBoth(lower, upper, inputs, to);
        });
    }

    /// <summary>One half of the numbers and one share of the outputs, from the pixels to its part of the weight's gradient.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Accumulate(GradientWork work, bool upper, int share)
    {
        int n = L.Count, inputs = work.Inputs, across = work.Across;
        var (first, outputs) = work.Share(share);
        bool once = work.Tiles <= work.ChunkTiles;
        int slice = once ? Math.Min(outputs, SliceOutputs) : outputs;
        nint xStride = (nint)work.ChunkTiles * inputs + Skew, dyStride = (nint)work.ChunkTiles * outputs + Skew, sumStride = (nint)slice * inputs + Skew;
        nint inputRow = (nint)(Side * across + 2) * inputs, gradientRow = (nint)Side * across * outputs;

        float* x = KernelMemory.Own(Half * (xStride + dyStride + sumStride + n) + (Side + 2) * inputRow + Side * gradientRow + work.Input.Room);
        float* dy = x + Half * xStride, sums = dy + Half * dyStride, scratch = sums + Half * sumStride;
        float* pixels = scratch + Half * n, gradients = pixels + (Side + 2) * inputRow, room = gradients + Side * gradientRow;
        double[]? bias = work.Bias is not null && !upper ? new double[outputs] : null;
        if (!once)
            new Span<float>(sums, (int)(Half * sumStride)).Clear();

        int filled = 0;
        for (int image = 0; image < work.Size.Images; image++)
        {
            work.Input.Begin(image, room);
            for (int top = 0; top < work.Size.Height; top += Side)
            {
                // The last two rows of pixels are the next tiles' first.
                int kept = top > 0 ? 2 : 0;
                new ReadOnlySpan<float>(pixels + Side * inputRow, (int)(kept * inputRow)).CopyTo(new Span<float>(pixels, (int)(kept * inputRow)));
                ReadRows(work.Input, work.Size, image, top - 1 + kept, Side + 2 - kept, inputs, pixels + kept * inputRow, room);
                ReadGradient(work, image, top, first, outputs, gradients);
                if (bias is not null)
                    AddPixels(gradients, Side * Side * across, bias);
                for (int tile = 0; tile < across; tile++)
                {
                    float* d = pixels + (nint)tile * Side * inputs, g = gradients + (nint)tile * Side * outputs;
                    for (int c = 0; c < inputs; c += n)
                        WinogradTransforms<L>.InputHalf(d + c, inputRow, inputs, upper, x + (nint)filled * inputs + c, xStride, scratch);
                    for (int c = 0; c < outputs; c += n)
                        WinogradTransforms<L>.OutputGradientHalf(g + c, gradientRow, outputs, upper, dy + (nint)filled * outputs + c, dyStride, scratch);
                    if (++filled == work.ChunkTiles && !once)
                    {
                        Multiply(0, outputs);
                        filled = 0;
                    }
                }
            }
        }
        for (int output = 0; output < outputs; output += slice)
        {
            int count = Math.Min(slice, outputs - output);
            if (once)
                new Span<float>(sums, (int)(Half * sumStride)).Clear();
            if (filled > 0)
                Multiply(output, count);
            Finish(output, count);
        }
        for (int d = 0; d < outputs && bias is not null && first + d < work.Size.Outputs; d++)
            work.Bias[first + d] = (float)bias[d];

        void Multiply(int output, int count)
        {
            for (int number = 0; number < Half; number++)
                MatrixKernel<L>.AddTransposed(dy + number * dyStride + output, outputs, x + number * xStride, inputs, sums + number * sumStride, inputs, count, inputs, filled);
        }

        void Finish(int output, int count)
        {
            float* to = work.Parts + (upper ? work.HalfStride : 0) + (nint)(first + output) * 9 * inputs, from = sums;
            for (int d = 0; d < count; d++, to += 9 * inputs, from += inputs)
            {
                for (int c = 0; c < inputs; c += n)
                    WinogradTransforms<L>.WeightGradientHalf(from + c, sumStride, upper, to + c, inputs, scratch);
            }
        }
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
        if (count == size.Outputs && width == size.Width)
        {
            E.Read(from, rows * width * count, to);
            return;
        }
        for (int row = 0; row < rows; row++, to += (nint)width * count)
        {
            for (int x = 0; x < size.Width; x++, from += size.Outputs)
                E.Read(from, valid, to + (nint)x * count);
        }
    }

    /// <summary>Adds up pixels: in float32 over these, in float64 over all.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void AddPixels(float* pixels, int count, double[] sums)
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
        public GradientWork(in ConvolutionSize size, PixelSource x, E* dy, float* dBias)
        {
            Size = size;
            Input = x;
            Gradient = dy;
            Bias = dBias;
            Inputs = KernelMemory.RoundUp(size.Inputs, L.Count);
            Outputs = KernelMemory.RoundUp(size.Outputs, L.Count);
            Across = ConvolutionTiles.Along(size.Width);
            Tiles = size.Images * ConvolutionTiles.Along(size.Height) * Across;
            // Not by the number of cores: the order of the sums hangs on it.
            ChunkTiles = Math.Min(Tiles, Math.Max(16, ChunkFloats / (Half * (Inputs + Outputs))));
            Shares = Math.Clamp((Cores.Count + 1) / 2, 1, Outputs / L.Count);
            HalfStride = (nint)Outputs * 9 * Inputs;
            Parts = KernelMemory.Shared(2 * HalfStride);
        }

        public ConvolutionSize Size { get; }

        public PixelSource Input { get; }

        /// <summary>[N, H, W, D].</summary>
        public E* Gradient { get; }

        /// <summary>[D] or null, written.</summary>
        public float* Bias { get; }

        /// <summary>Channels up to whole registers.</summary>
        public int Inputs { get; }

        /// <summary>Channels up to whole registers.</summary>
        public int Outputs { get; }

        /// <summary>Tiles in a row of an image.</summary>
        public int Across { get; }

        /// <summary>Tiles of the batch.</summary>
        public int Tiles { get; }

        /// <summary>Tiles that are transformed before their products are taken.</summary>
        public int ChunkTiles { get; }

        /// <summary>Parts of the outputs; two cores work on each.</summary>
        public int Shares { get; }

        /// <summary>The weight's gradient, what each half of the numbers gives: [2, D, 9, C].</summary>
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
