using System.Runtime.CompilerServices;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// A 3x3 convolution of bfloat16 images as one product for each of its nine taps, with float32 sums: the pixels of a block lie in a row with zeros between the image's rows, so that
/// every tap reads them at a distance of its own. No pixel is copied for a tap. Of a doubled image each of the four pixels that were one sees 2x2 different ones: four convolutions of the
/// image before, of four taps that are sums of the nine. The way back is one convolution of 16 taps: four of each of the four.
/// </summary>
internal static unsafe class BFloat16Convolution
{
    /// <summary>Bytes of a block's pixels: half of a small second-level cache, the other half is the weight's.</summary>
    private const int BlockBytes = 320 << 10;

    /// <summary>y = w * x + b.</summary>
    /// <param name="unit">Multiplies.</param>
    /// <param name="size">The sizes.</param>
    /// <param name="x">[N, H, W, C].</param>
    /// <param name="weight">[D, 3, 3, C]; turned: [C, 3, 3, D].</param>
    /// <param name="turned">Kernels by half a turn, inputs and outputs exchanged: the gradient of the input of the convolution that the weight belongs to.</param>
    /// <param name="bias">[D] or null.</param>
    /// <param name="addend">[N, H, W, D] or null: added to the result.</param>
    /// <param name="y">[N, H, W, D], written.</param>
    /// <param name="moments">Lines of <see cref="MomentLines.Rows"/> rows of pixels, filled where they are wanted.</param>
    public static void Apply(
        MatrixUnit unit, in ConvolutionSize size, BFloat16Source x, float* weight, bool turned, float* bias, ushort* addend, ushort* y, MomentLines moments = default)
    {
        var work = new Work(unit, size, new(1, 3), [x], new ProductRows(y, size.Outputs, bias, addend), moments);
        if (!work.Find(weight, turned ? WeightForm.TurnedTaps : WeightForm.Taps))
            work.Weight.Fill(weight, turned);
        Run(work);
    }

    /// <summary>The same of images that are doubled by nearest neighbours first.</summary>
    /// <param name="unit">Multiplies.</param>
    /// <param name="size">The sizes before.</param>
    /// <param name="x">[N, H, W, C].</param>
    /// <param name="weight">[D, 3, 3, C].</param>
    /// <param name="bias">[D] or null.</param>
    /// <param name="addend">[N, 2H, 2W, D] or null: added to the result.</param>
    /// <param name="y">[N, 2H, 2W, D], written.</param>
    /// <param name="moments">Lines of <see cref="MomentLines.Rows"/> rows of pixels of the result, filled where they are wanted.</param>
    public static void ApplyDoubled(
        MatrixUnit unit, in ConvolutionSize size, BFloat16Source x, float* weight, float* bias, ushort* addend, ushort* y, MomentLines moments = default)
    {
        int inputs = size.Inputs, outputs = size.Outputs;
        var work = new Work(unit, size, new(2, 2), [x], new ProductRows(y, outputs, bias, addend), moments);
        if (!work.Find(weight, WeightForm.DoubledTaps))
            work.Weight.Fill(SumTaps(size, weight, 4 * inputs, (nint)outputs * 4 * inputs), turned: false);   // [2, 2, D, 2, 2, C]
        Run(work);
    }

    /// <summary>The gradient of the image that <see cref="ApplyDoubled"/> was given.</summary>
    /// <param name="unit">Multiplies.</param>
    /// <param name="size">The sizes that it was given.</param>
    /// <param name="dy">[N, 2H, 2W, D].</param>
    /// <param name="weight">[D, 3, 3, C].</param>
    /// <param name="dx">[N, H, W, C], written.</param>
    public static void InputGradientOfDoubled(MatrixUnit unit, in ConvolutionSize size, ushort* dy, float* weight, ushort* dx)
    {
        int inputs = size.Inputs, outputs = size.Outputs;
        // A turned weight's taps come in reverse, from the lower right pixel's on.
        var planes = new BFloat16Source[4];
        for (int plane = 0; plane < planes.Length; plane++)
            planes[plane] = new BFloat16Quarter(dy, size.Height, size.Width, outputs, row: 1 - plane / 2, column: 1 - plane % 2);
        var work = new Work(unit, size with { Inputs = outputs, Outputs = inputs }, new(1, 2), planes, new ProductRows(dx, inputs, null, null), default);
        if (!work.Find(weight, WeightForm.TurnedDoubledTaps))
            work.Weight.Fill(SumTaps(size, weight, DoubledTaps.Count * inputs, 4 * inputs), turned: true);   // [D, 2, 2, 2, 2, C]
        Run(work);
    }

    /// <summary>Adds up the taps of all outputs, in shared memory.</summary>
    /// <param name="size">The sizes.</param>
    /// <param name="weight">[D, 3, 3, C].</param>
    /// <param name="step">From an output's sums to the next one's.</param>
    /// <param name="next">From a pixel's sums to the next one's.</param>
    private static float* SumTaps(in ConvolutionSize size, float* weight, nint step, nint next)
    {
        int inputs = size.Inputs;
        float* sums = KernelMemory.Shared((nint)DoubledTaps.Count * size.Outputs * inputs);
        Cores.Run(size.Outputs, output => DoubledTaps.Sum(weight + (nint)output * 9 * inputs, inputs, sums + output * step, next));
        return sums;
    }

    private static void Run(Work work) => Cores.Run(work.Blocks * work.Splits, part => ApplyBlock(work, part / work.Splits, part % work.Splits));

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void ApplyBlock(Work work, int block, int split)
    {
        var size = work.Size;
        var (first, count) = work.Outputs(split);
        var memory = new Memory(work);
        int rows = work.RowsPerBlock, top = block % work.BlocksPerImage * rows, image = block / work.BlocksPerImage * work.ImagesPerBlock;
        int images = Math.Min(work.ImagesPerBlock, size.Images - image), height = Math.Min(rows, size.Height - top);
        for (int plane = 0; plane < work.Planes.Length; plane++)
            Read(work, work.Planes[plane], image, images, top, height, memory.Pixels + plane * work.PlaneNumbers, memory.Room);

        nint* offsets = stackalloc nint[work.WeightSize.Steps];
        work.Unit.Begin();
        for (int phase = 0; phase < work.Phases; phase++)
        {
            int positions = SetTargets(work, phase, image, images, top, height, memory.Targets);
            SetOffsets(work, phase, offsets);
            BFloat16Blocks.Multiply(
                work.Unit, memory.Pixels, size.Inputs * sizeof(ushort), memory.Targets, positions, offsets, work.WeightSize.Steps, work.Weight.At(phase, first),
                work.To, first, count, memory.Sums);
        }
        work.Unit.End();
        if (!work.Moments.AreWanted)
            return;
        for (int i = 0; i < images; i++)
        {
            for (int row = work.Shape.Scale * top; row < work.Shape.Scale * (top + height); row += MomentLines.Rows)
                work.Moments.Measure<Lanes512, NarrowElement>((NarrowElement*)work.To.Y, ((nint)(image + i) * work.Shape.Scale * size.Height + row) / MomentLines.Rows, first, count);
        }
    }

    /// <summary>Which pixel of the result each position of a block becomes.</summary>
    /// <returns>How many positions there are up to the last pixel's row.</returns>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static int SetTargets(Work work, int phase, int image, int images, int top, int height, int* targets)
    {
        var size = work.Size;
        int scale = work.Shape.Scale, positions = 0;
        for (int i = image; i < image + images; i++)
        {
            for (int row = top; row < top + height; row++)
            {
                int target = ((i * size.Height + row) * scale + phase / 2) * scale * size.Width + phase % 2;
                for (int column = 0; column < work.Pitch; column++)
                    targets[positions++] = column < size.Width ? target + scale * column : -1;
            }
            // The row of zeros between two images.
            new Span<int>(targets + positions, work.Pitch).Fill(-1);
            positions += work.Pitch;
        }
        return positions - work.Pitch;
    }

    /// <summary>Where each step finds its pixels.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void SetOffsets(Work work, int phase, nint* offsets)
    {
        int inputs = work.Size.Inputs, chunks = inputs / MatrixUnit.Depth;
        for (int step = 0; step < work.WeightSize.Steps; step++)
        {
            // Of four pixels and of four planes, each has its taps further down and to the right by one.
            int tap = step / chunks, plane = tap / (work.Shape.KernelSide * work.Shape.KernelSide), shift = phase + plane;
            int row = shift / 2 + tap / work.Shape.KernelSide % work.Shape.KernelSide, column = shift % 2 + tap % work.Shape.KernelSide;
            offsets[step] = (plane * work.PlaneNumbers + ((nint)row * work.Pitch + column) * inputs + step % chunks * MatrixUnit.Depth) * sizeof(ushort);
        }
    }

    /// <summary>Reads a block's pixels: one before the first row, then a row of zeros or of the image before each image, and one after the last.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Read(Work work, BFloat16Source source, int image, int images, int top, int height, ushort* to, float* room)
    {
        var size = work.Size;
        new Span<ushort>(to, size.Inputs).Clear();
        to += size.Inputs;
        nint rowNumbers = (nint)work.Pitch * size.Inputs;
        for (int i = image; i < image + images; i++)
        {
            source.Begin(i, room);
            for (int row = top - 1; row < top + height; row++, to += rowNumbers)
                ReadRow(work, source, i, row, to, room);
            if (top + height < size.Height)
                ReadRow(work, source, i, top + height, to, room);
            else
                new Span<ushort>(to, (int)rowNumbers).Clear();
        }
    }

    /// <summary>Reads a row of the image with the zero that follows it.</summary>
    private static void ReadRow(Work work, BFloat16Source source, int image, int row, ushort* to, float* room)
    {
        var size = work.Size;
        nint numbers = (nint)size.Width * size.Inputs;
        if (row < 0)
        {
            new Span<ushort>(to, work.Pitch * size.Inputs).Clear();
            return;
        }
        source.Read(image, row, new(0, size.Inputs), room, to);
        new Span<ushort>(to + numbers, size.Inputs).Clear();
    }

    /// <summary>What a core works in.</summary>
    private readonly ref struct Memory
    {
        public Memory(Work work)
        {
            // In floats, each a whole number of cache lines.
            nint numbers = Lines(work.Planes.Length * work.PlaneNumbers / 2), targets = Lines(work.BlockPositions + MatrixUnit.Side);
            float* all = KernelMemory.Own(numbers + targets + BFloat16Blocks.BlockFloats + work.Planes[0].Room);
            Pixels = (ushort*)all;
            Targets = (int*)(all += numbers);
            Sums = all += targets;
            Room = all + BFloat16Blocks.BlockFloats;
        }

        public ushort* Pixels { get; }

        public int* Targets { get; }

        public float* Sums { get; }

        public float* Room { get; }

        private static nint Lines(nint floats) => (floats + 15) / 16 * 16;
    }

    /// <summary>What kind of convolution.</summary>
    /// <param name="Scale">Pixels of the result for one of the image, along a side.</param>
    /// <param name="KernelSide">Taps of a plane, along a side.</param>
    private readonly record struct Shape(int Scale, int KernelSide);

    /// <summary>One convolution under way.</summary>
    private sealed class Work
    {
        public Work(MatrixUnit unit, in ConvolutionSize size, Shape shape, BFloat16Source[] planes, ProductRows to, MomentLines moments)
        {
            Unit = unit;
            Size = size;
            Planes = planes;
            Shape = shape;
            To = to;
            Moments = moments;
            WeightSize = new(size.Outputs, planes.Length * shape.KernelSide * shape.KernelSide, size.Inputs);
            Pitch = size.Width + 1;

            int cores = Cores.Count, rowBytes = planes.Length * Pitch * size.Inputs * sizeof(ushort), imageBytes = (size.Height + 1) * rowBytes;
            if (imageBytes <= BlockBytes && size.Images >= cores)
            {
                ImagesPerBlock = Math.Clamp(BlockBytes / imageBytes, 1, (size.Images + cores - 1) / cores);
                (RowsPerBlock, BlocksPerImage) = (size.Height, 1);
            }
            else
            {
                int rows = Math.Max(1, Math.Min(BlockBytes / rowBytes, size.Height * size.Images / cores));
                BlocksPerImage = (size.Height + rows - 1) / rows;
                (RowsPerBlock, ImagesPerBlock) = ((size.Height + BlocksPerImage - 1) / BlocksPerImage, 1);
                if (moments.AreWanted)
                    RowsPerBlock = KernelMemory.RoundUp(RowsPerBlock, MomentLines.Rows);
                BlocksPerImage = (size.Height + RowsPerBlock - 1) / RowsPerBlock;
            }
            Blocks = (size.Images + ImagesPerBlock - 1) / ImagesPerBlock * BlocksPerImage;
            BlockPositions = ImagesPerBlock * (RowsPerBlock + 1) * Pitch;
            Splits = Math.Clamp(cores / Blocks, 1, size.Outputs / MatrixUnit.Side);
        }

        public MatrixUnit Unit { get; }

        public ConvolutionSize Size { get; }

        /// <summary>What the image is read from.</summary>
        public BFloat16Source[] Planes { get; }

        public Shape Shape { get; }

        public ProductRows To { get; }

        public MomentLines Moments { get; }

        /// <summary>Pixels of the result for one of the image: each has a kernel of its own.</summary>
        public int Phases => Shape.Scale * Shape.Scale;

        /// <summary>One kernel's.</summary>
        public WeightSize WeightSize { get; }

        /// <summary>Pixels of a row with the zero that follows it.</summary>
        public int Pitch { get; }

        public int ImagesPerBlock { get; }

        public int RowsPerBlock { get; }

        /// <summary>More than one: a block is a band of rows of an image.</summary>
        public int BlocksPerImage { get; }

        public int Blocks { get; }

        /// <summary>Pixels and zeros of the largest block.</summary>
        public int BlockPositions { get; }

        /// <summary>Numbers of a block's pixels in one plane, with those that whole blocks of rows read past the last.</summary>
        public nint PlaneNumbers => (BlockPositions + 2 * Pitch + 2 + MatrixUnit.Side) * (nint)Size.Inputs;

        /// <summary>Parts of the outputs, where there are fewer blocks than cores.</summary>
        public int Splits { get; }

        /// <summary>From <see cref="Find"/>.</summary>
        public PackedWeight Weight { get; private set; }

        /// <summary>Takes the weight's memory.</summary>
        /// <param name="weight">The weight.</param>
        /// <param name="form">What is made of it.</param>
        /// <returns>Whether it lies there already.</returns>
        public bool Find(float* weight, WeightForm form)
        {
            Weight = PackedWeight.Take(weight, form, WeightSize, Phases, out bool isThere);
            return isThere;
        }

        /// <summary>The outputs of a part.</summary>
        public (int First, int Count) Outputs(int split)
        {
            int blocks = Size.Outputs / MatrixUnit.Side, first = blocks * split / Splits;
            return (first * MatrixUnit.Side, (blocks * (split + 1) / Splits - first) * MatrixUnit.Side);
        }
    }
}
