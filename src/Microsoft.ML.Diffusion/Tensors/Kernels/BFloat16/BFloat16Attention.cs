using System.Runtime.CompilerServices;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// The attention of <see cref="AttentionKernel{L}"/> over a matrix unit: products of bfloat16 with float32 sums, weights and normalizers in float32.
/// Positions and channels of a head fill blocks.
/// </summary>
internal static unsafe class BFloat16Attention
{
    /// <summary>Queries of a block.</summary>
    private const int Block = MatrixUnit.Side;

    /// <summary>Weights that are kept on the way back until their products are taken.</summary>
    private const int KeptWeights = 128 << 10;

    /// <summary>Whether the sizes fill blocks.</summary>
    public static bool Takes(AttentionSize size) => MatrixUnit.Takes(size.Positions, size.Width);

    /// <summary>Mixes the values.</summary>
    /// <param name="unit">Multiplies.</param>
    /// <param name="size">The sizes.</param>
    /// <param name="qkv">[N, T, 3·h·d].</param>
    /// <param name="y">[N, T, h·d], written.</param>
    /// <param name="normalizers">[N, h, T], written: ln Σ exp of each query's products; or null.</param>
    public static void Apply(MatrixUnit unit, AttentionSize size, float* qkv, float* y, float* normalizers) => Cores.Run(size.Images * size.Heads, task =>
    {
        int image = task / size.Heads, head = task % size.Heads, t = size.Positions, d = size.Width;
        float* q = qkv + (nint)image * t * size.Row + head * d, k = q + size.Heads * d, v = k + size.Heads * d;
        nint factor = (nint)t * d / 2;
        float* memory = KernelMemory.Own(2 * factor + Block * ((nint)d / 2 + t + t / 2 + d));
        ushort* keys = (ushort*)memory, values = (ushort*)(memory + factor), queries = (ushort*)(memory + 2 * factor), weights = queries + Block * d;
        float* products = (float*)(weights + Block * t), mixed = products + Block * t;
        for (int key = 0; key < t; key += Block)
            BFloat16Layout.Block(k + (nint)key * size.Row, size.Row, d, keys + (nint)key * d);
        for (int channel = 0; channel < d; channel += Block)
            BFloat16Layout.TurnedBlock(v + channel, size.Row, t, values + (nint)channel * t);

        float* sums = stackalloc float[Block];
        nint* offsets = stackalloc nint[Math.Max(t, d) / MatrixUnit.Depth];
        FillOffsets(offsets, Math.Max(t, d));
        unit.Begin();
        for (int first = 0; first < t; first += Block)
        {
            Rows(q + (nint)first * size.Row, size.Row, Block, d, queries);
            Multiply(unit, queries, d, keys, t, d, offsets, products, t);
            for (int i = 0; i < Block; i++)
            {
                (float max, sums[i]) = AttentionKernel<Lanes512>.Softmax(products + (nint)i * t, t, size.Scale);
                if (normalizers is not null)
                    normalizers[((nint)image * size.Heads + head) * t + first + i] = max + MathF.Log(sums[i]);
                BFloat16Layout.Row(products + (nint)i * t, t, weights + (nint)i * t);
            }
            Multiply(unit, weights, t, values, d, t, offsets, mixed, d);
            for (int i = 0; i < Block; i++)
                AttentionKernel<Lanes512>.Scale(mixed + (nint)i * d, d, 1 / sums[i], y + (((nint)image * t + first + i) * size.Heads + head) * d);
        }
        unit.End();
    });

    /// <summary>Takes the gradient of the mixture back to queries, keys and values.</summary>
    /// <param name="unit">Multiplies.</param>
    /// <param name="size">The sizes.</param>
    /// <param name="qkv">[N, T, 3·h·d].</param>
    /// <param name="y">[N, T, h·d], the mixture.</param>
    /// <param name="normalizers">[N, h, T], from <see cref="Apply"/>.</param>
    /// <param name="dy">[N, T, h·d].</param>
    /// <param name="dqkv">[N, T, 3·h·d], written.</param>
    public static void Backward(MatrixUnit unit, AttentionSize size, float* qkv, float* y, float* normalizers, float* dy, float* dqkv) =>
        Cores.Run(size.Images * size.Heads, task => Backward(unit, size, task / size.Heads, task % size.Heads, qkv, y, normalizers, dy, dqkv));

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Backward(MatrixUnit unit, AttentionSize size, int image, int head, float* qkv, float* y, float* normalizers, float* dy, float* dqkv)
    {
        int t = size.Positions, d = size.Width, width = size.Heads * d;
        nint offset = (nint)image * t * size.Row + head * d, factor = (nint)t * d / 2;
        float* q = qkv + offset, k = q + width, v = k + width, dq = dqkv + offset, dk = dq + width, dv = dk + width;
        int kept = Math.Clamp(KeptWeights / t / Block * Block, Block, t);

        nint pairs = Math.Max((nint)kept * t / 2, factor);
        float* memory = KernelMemory.Own(11 * factor + 2 * pairs + Block * (2 * (nint)t + t / 2));
        ushort* keys = Take(factor), keyRows = Take(factor), values = Take(factor), queries = Take(factor), slopes = Take(factor), queryColumns = Take(factor), slopeColumns = Take(factor);
        float* dKeys = (float*)Take(2 * factor), dValues = (float*)Take(2 * factor);
        ushort* weightPairs = Take(pairs), productPairs = Take(pairs), productRows = Take(Block * (nint)t / 2);
        float* weights = (float*)Take(Block * (nint)t), products = (float*)Take(Block * (nint)t);

        for (int key = 0; key < t; key += Block)
        {
            BFloat16Layout.Block(k + (nint)key * size.Row, size.Row, d, keys + (nint)key * d);
            BFloat16Layout.Block(v + (nint)key * size.Row, size.Row, d, values + (nint)key * d);
        }
        for (int channel = 0; channel < d; channel += Block)
            BFloat16Layout.TurnedBlock(k + channel, size.Row, t, keyRows + (nint)channel * t);
        float* dMixed = dy + (nint)image * t * width + head * d, mixed = y + (nint)image * t * width + head * d;
        Rows(q, size.Row, t, d, queries);
        Rows(dMixed, width, t, d, slopes);
        // Worked in before its own turn comes.
        Columns(q, size.Row, t, d, productPairs, queryColumns);
        Columns(dMixed, width, t, d, productPairs, slopeColumns);
        new Span<float>(dKeys, t * d).Clear();
        new Span<float>(dValues, t * d).Clear();

        nint* offsets = stackalloc nint[Math.Max(t, d) / MatrixUnit.Depth];
        FillOffsets(offsets, Math.Max(t, d));
        unit.Begin();
        for (int begin = 0; begin < t; begin += kept)
        {
            int end = Math.Min(t, begin + kept);
            for (int first = begin; first < end; first += Block)
            {
                Multiply(unit, queries + (nint)first * d, d, keys, t, d, offsets, weights, t);
                Multiply(unit, slopes + (nint)first * d, d, values, t, d, offsets, products, t);
                for (int i = 0; i < Block; i++)
                {
                    nint row = (nint)(first + i) * width;
                    float mean = AttentionKernel<Lanes512>.Dot(dMixed + row, mixed + row, d);
                    AttentionKernel<Lanes512>.Slopes(
                        weights + (nint)i * t, products + (nint)i * t, t, size.Scale, normalizers[((nint)image * size.Heads + head) * t + first + i], mean);
                    BFloat16Layout.Row(products + (nint)i * t, t, productRows + (nint)i * t);
                }
                for (int i = 0; i < Block; i += 2)
                {
                    nint at = (nint)(first - begin + i) * t;
                    BFloat16Layout.Pairs(weights + (nint)i * t, weights + (nint)(i + 1) * t, t, weightPairs + at);
                    BFloat16Layout.Pairs(products + (nint)i * t, products + (nint)(i + 1) * t, t, productPairs + at);
                }
                Multiply(unit, productRows, t, keyRows, d, t, offsets, dq + (nint)first * size.Row, size.Row);
            }
            AddPairs(unit, slopeColumns + begin, t, d, weightPairs, t, end - begin, offsets, dValues);
            AddPairs(unit, queryColumns + begin, t, d, productPairs, t, end - begin, offsets, dKeys);
        }
        unit.End();
        for (int position = 0; position < t; position += Lanes512.Count)
        {
            for (int channel = 0; channel < d; channel += Lanes512.Count)
            {
                Lanes512.Transpose(dKeys + (nint)channel * t + position, t, dk + (nint)position * size.Row + channel, size.Row);
                Lanes512.Transpose(dValues + (nint)channel * t + position, t, dv + (nint)position * size.Row + channel, size.Row);
            }
        }

        ushort* Take(nint floats)
        {
            ushort* taken = (ushort*)memory;
            memory += floats;
            return taken;
        }
    }

    /// <summary>Some rows of 32 times a right factor in blocks.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Multiply(MatrixUnit unit, ushort* rows, int stride, ushort* factor, int columns, int inputs, nint* offsets, float* to, nint toStride)
    {
        var product = new BlockProduct
        {
            A = rows,
            AStride = stride * sizeof(ushort),
            ASecond = MatrixUnit.Side / 2 * stride * sizeof(ushort),
            Offsets = offsets,
            Steps = inputs / MatrixUnit.Depth,
            BStride = MatrixUnit.Side * sizeof(ushort),
            BSecond = MatrixUnit.StepNumbers / 2 * sizeof(ushort),
            BStep = MatrixUnit.StepNumbers * sizeof(ushort),
            CStride = toStride * sizeof(float),
        };
        for (int column = 0; column < columns; column += MatrixUnit.Side)
        {
            product.B = factor + (nint)column * inputs;
            product.C = to + column;
            unit.Multiply(&product);
        }
    }

    /// <summary>Adds rows times pairs of rows as they lie: C[d, t] += A[d, k]·B[k, t].</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void AddPairs(MatrixUnit unit, ushort* rows, int stride, int count, ushort* pairs, int columns, int inputs, nint* offsets, float* to)
    {
        var product = new BlockProduct
        {
            AStride = stride * sizeof(ushort),
            ASecond = MatrixUnit.Side / 2 * stride * sizeof(ushort),
            Offsets = offsets,
            Steps = inputs / MatrixUnit.Depth,
            BStride = columns * 2 * sizeof(ushort),
            BSecond = MatrixUnit.Depth * sizeof(ushort),
            BStep = MatrixUnit.Depth * columns * sizeof(ushort),
            CStride = columns * sizeof(float),
            Accumulate = 1,
        };
        for (int column = 0; column < columns; column += MatrixUnit.Side)
        {
            for (int row = 0; row < count; row += MatrixUnit.Side)
            {
                product.A = rows + (nint)row * stride;
                product.B = pairs + 2 * column;
                product.C = to + (nint)row * columns + column;
                unit.Multiply(&product);
            }
        }
    }

    private static void Rows(float* from, nint stride, int count, int columns, ushort* to)
    {
        for (int row = 0; row < count; row++)
            BFloat16Layout.Row(from + row * stride, columns, to + (nint)row * columns);
    }

    /// <summary>Rows by their transpose.</summary>
    private static void Columns(float* from, nint stride, int count, int columns, ushort* pairs, ushort* to)
    {
        for (int row = 0; row < count; row += 2)
            BFloat16Layout.Pairs(from + row * stride, from + (row + 1) * stride, columns, pairs + (nint)row * columns);
        BFloat16Layout.Columns(pairs, count, columns, to, count);
    }

    private static void FillOffsets(nint* offsets, int inputs)
    {
        for (int step = 0; step < inputs / MatrixUnit.Depth; step++)
            offsets[step] = step * MatrixUnit.Depth * sizeof(ushort);
    }
}
