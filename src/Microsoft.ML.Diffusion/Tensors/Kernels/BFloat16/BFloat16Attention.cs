using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// The attention of <see cref="AttentionKernel{L, P}"/> of bfloat16 over a matrix unit: sums and normalizers are float32.
/// Positions and channels of a head fill blocks.
/// </summary>
internal static unsafe class BFloat16Attention
{
    /// <summary>Queries of a block.</summary>
    private const int Block = MatrixUnit.Side;

    private const float Log2E = 1.44269504f;

    /// <summary>Weights that are kept on the way back until their products are taken.</summary>
    private const int KeptWeights = 128 << 10;

    /// <summary>Mixes the values.</summary>
    /// <param name="unit">Multiplies.</param>
    /// <param name="size">The sizes.</param>
    /// <param name="qkv">[N, T, 3·h·d].</param>
    /// <param name="y">[N, T, h·d], written.</param>
    /// <param name="normalizers">[N, h, T], written: ln Σ exp of each query's products; or null.</param>
    public static void Apply(MatrixUnit unit, AttentionSize size, ushort* qkv, ushort* y, float* normalizers) =>
        Cores.Run(size.Images * size.Heads, task => Apply(unit, size, task / size.Heads, task % size.Heads, qkv, y, normalizers));

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Apply(MatrixUnit unit, AttentionSize size, int image, int head, ushort* qkv, ushort* y, float* normalizers)
    {
        int t = size.Positions, d = size.Width;
        ushort* q = qkv + (nint)image * t * size.Row + head * d, k = q + size.Heads * d, v = k + size.Heads * d;
        nint factor = (nint)t * d / 2;
        float* memory = KernelMemory.Own(2 * factor + Block * ((nint)t + t / 2 + d));
        ushort* keys = (ushort*)memory, values = (ushort*)(memory + factor), weights = (ushort*)(memory + 2 * factor);
        float* products = (float*)(weights + Block * t), mixed = products + Block * t;
        for (int key = 0; key < t; key += Block)
        {
            if (key + Block < t)
                Call(k + (nint)(key + Block) * size.Row, size.Row, d);
            Call(v + (nint)key * size.Row, size.Row, d);
            Call(q + (nint)key * size.Row, size.Row, d);
            BFloat16Layout.Block(k + (nint)key * size.Row, size.Row, d, keys + (nint)key * d);
        }
        for (int channel = 0; channel < d; channel += Block)
            BFloat16Layout.TurnedBlock(v + channel, size.Row, t, values + (nint)channel * t);

        float* sums = stackalloc float[Block], largest = stackalloc float[Block];
        nint* offsets = stackalloc nint[Math.Max(t, d) / MatrixUnit.Depth];
        FillOffsets(offsets, Math.Max(t, d), MatrixUnit.Depth);
        unit.Begin();
        for (int first = 0; first < t; first += Block)
        {
            Multiply(unit, q + (nint)first * size.Row, size.Row, keys, t, d, offsets, products, t);
            for (int i = 0; i < Block; i++)
                (largest[i], sums[i]) = Softmax(products + (nint)i * t, t, size.Scale, weights + (nint)i * t);
            for (int i = 0; i < Block && normalizers is not null; i += Vector512<float>.Count)
                (Vector512.Load(largest + i) + Vector512.Log(Vector512.Load(sums + i))).Store(normalizers + ((nint)image * size.Heads + head) * t + first + i);
            Multiply(unit, weights, t, values, d, t, offsets, mixed, d);
            for (int i = 0; i < Block; i++)
                Scale(mixed + (nint)i * d, d, 1 / sums[i], y + (((nint)image * t + first + i) * size.Heads + head) * d);
        }
        unit.End();
    }

    /// <summary>Takes the gradient of the mixture back to queries, keys and values.</summary>
    /// <param name="unit">Multiplies.</param>
    /// <param name="size">The sizes.</param>
    /// <param name="qkv">[N, T, 3·h·d].</param>
    /// <param name="y">[N, T, h·d], the mixture.</param>
    /// <param name="normalizers">[N, h, T], from the way forth.</param>
    /// <param name="dy">[N, T, h·d].</param>
    /// <param name="dqkv">[N, T, 3·h·d], written.</param>
    public static void Backward(MatrixUnit unit, AttentionSize size, ushort* qkv, ushort* y, float* normalizers, ushort* dy, ushort* dqkv) =>
        Cores.Run(size.Images * size.Heads, task => Backward(unit, size, task / size.Heads, task % size.Heads, qkv, y, normalizers, dy, dqkv));

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Backward(MatrixUnit unit, AttentionSize size, int image, int head, ushort* qkv, ushort* y, float* normalizers, ushort* dy, ushort* dqkv)
    {
        int t = size.Positions, d = size.Width, width = size.Heads * d;
        nint offset = (nint)image * t * size.Row + head * d, factor = (nint)t * d / 2;
        ushort* q = qkv + offset, k = q + width, v = k + width, dq = dqkv + offset, dk = dq + width, dv = dk + width;
        int kept = Math.Clamp(KeptWeights / t / Block * Block, Block, t);

        nint pairs = Math.Max((nint)kept * t / 2, factor);
        float* memory = KernelMemory.Own(9 * factor + 2 * pairs + Block * (5 * (nint)t / 2 + d));
        ushort* keys = Take(factor), keyRows = Take(factor), values = Take(factor), queryColumns = Take(factor), slopeColumns = Take(factor);
        float* dKeys = (float*)Take(2 * factor), dValues = (float*)Take(2 * factor);
        ushort* weightPairs = Take(pairs), productPairs = Take(pairs), productRows = Take(Block * (nint)t / 2);
        float* weights = (float*)Take(Block * (nint)t), products = (float*)Take(Block * (nint)t), gradients = (float*)Take(Block * (nint)d);

        ushort* dMixed = dy + (nint)image * t * width + head * d, mixed = y + (nint)image * t * width + head * d;
        for (int key = 0; key < t; key += Block)
        {
            if (key + Block < t)
            {
                Call(k + (nint)(key + Block) * size.Row, size.Row, d);
                Call(v + (nint)(key + Block) * size.Row, size.Row, d);
            }
            Call(q + (nint)key * size.Row, size.Row, d);
            Call(dMixed + (nint)key * width, width, d);
            Call(mixed + (nint)key * width, width, d);
            BFloat16Layout.Block(k + (nint)key * size.Row, size.Row, d, keys + (nint)key * d);
            BFloat16Layout.Block(v + (nint)key * size.Row, size.Row, d, values + (nint)key * d);
        }
        for (int channel = 0; channel < d; channel += Block)
            BFloat16Layout.TurnedBlock(k + channel, size.Row, t, keyRows + (nint)channel * t);
        // Worked in before its own turn comes.
        Columns(q, size.Row, t, d, productPairs, queryColumns);
        Columns(dMixed, width, t, d, productPairs, slopeColumns);
        new Span<float>(dKeys, t * d).Clear();
        new Span<float>(dValues, t * d).Clear();

        nint* offsets = stackalloc nint[Math.Max(t, d) / MatrixUnit.Depth];
        FillOffsets(offsets, Math.Max(t, d), MatrixUnit.Depth);
        nint* tileOffsets = stackalloc nint[t / MatrixUnit.Depth];
        FillOffsets(tileOffsets, t, MatrixUnit.StepNumbers / 2);
        unit.Begin();
        for (int begin = 0; begin < t; begin += kept)
        {
            int end = Math.Min(t, begin + kept);
            for (int first = begin; first < end; first += Block)
            {
                Multiply(unit, q + (nint)first * size.Row, size.Row, keys, t, d, offsets, weights, t);
                Multiply(unit, dMixed + (nint)first * width, width, values, t, d, offsets, products, t);
                for (int i = 0; i < Block; i += 2)
                {
                    nint at = (nint)i * t, pairsAt = (nint)(first - begin + i) * t;
                    SlopesOfTwo(weights + at, products + at, t, size.Scale, Query(first + i), Query(first + i + 1), weightPairs + pairsAt, productRows + at, productPairs + pairsAt);
                }
                Multiply(unit, productRows, t, keyRows, d, t, offsets, gradients, d);
                for (int i = 0; i < Block; i++)
                    BFloat16Layout.Row(gradients + (nint)i * d, d, dq + (nint)(first + i) * size.Row);
            }
            AddPairs(unit, slopeColumns + begin / MatrixUnit.Depth * (MatrixUnit.StepNumbers / 2), t, d, weightPairs, t, end - begin, tileOffsets, dValues);
            AddPairs(unit, queryColumns + begin / MatrixUnit.Depth * (MatrixUnit.StepNumbers / 2), t, d, productPairs, t, end - begin, tileOffsets, dKeys);
        }
        unit.End();
        WriteColumns(dKeys, t, d, gradients, dk, size.Row);
        WriteColumns(dValues, t, d, gradients, dv, size.Row);

        QueryNumbers Query(int position)
        {
            nint row = (nint)position * width;
            return new(normalizers[((nint)image * size.Heads + head) * t + position], Dot(dMixed + row, mixed + row, d));
        }

        ushort* Take(nint floats)
        {
            ushort* taken = (ushort*)memory;
            memory += floats;
            return taken;
        }
    }

    /// <summary>Calls a block of rows from memory: they lie too far apart for a processor to see which come next.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Call(ushort* rows, nint stride, int count)
    {
        for (int row = 0; row < Block; row++, rows += stride)
        {
            for (int i = 0; i < count; i += MatrixUnit.Depth)
                Lanes.Prefetch(rows + i);
        }
    }

    /// <summary>exp(scale·x − max), rounded to bfloat16.</summary>
    /// <returns>The largest scale·x, and the sum of the numbers before they were rounded.</returns>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static (float Max, float Sum) Softmax(float* x, int count, float scale, ushort* to)
    {
        Lanes512 largest = Lanes512.Load(x);
        for (int i = Lanes512.Count; i < count; i += Lanes512.Count)
            largest = Lanes512.Max(largest, Lanes512.Load(x + i));
        float max = Lanes512.Largest(largest) * scale;
        Lanes512 even = default, odd = default, factor = Lanes512.All(scale * Log2E), offset = Lanes512.All(-max * Log2E);
        for (int i = 0; i < count; i += 2 * Lanes512.Count)
        {
            Lanes512 first = LaneMath<Lanes512>.RoughExp2(Lanes512.Fma(Lanes512.Load(x + i), factor, offset));
            Lanes512 second = LaneMath<Lanes512>.RoughExp2(Lanes512.Fma(Lanes512.Load(x + i + Lanes512.Count), factor, offset));
            even += first;
            odd += second;
            BFloat16Layout.StoreNear(first.Value, second.Value, to + i);
        }
        return (max, Lanes512.Sum(even + odd));
    }

    /// <summary>
    /// Two queries' products to weights, and the gradient of the weights to that of the products: scale·weight·(gradient − mean). All are rounded to bfloat16; the products' lie
    /// both as rows and as pairs of the two queries.
    /// </summary>
    /// <param name="products">[2, count].</param>
    /// <param name="gradients">[2, count], of the weights.</param>
    /// <param name="count">Keys, a multiple of 32.</param>
    /// <param name="scale">Of the products.</param>
    /// <param name="query0">The first query.</param>
    /// <param name="query1">The second.</param>
    /// <param name="weightPairs">[count, 2], written.</param>
    /// <param name="slopeRows">[2, count], written.</param>
    /// <param name="slopePairs">[count, 2], written.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void SlopesOfTwo(
        float* products, float* gradients, int count, float scale, QueryNumbers query0, QueryNumbers query1, ushort* weightPairs, ushort* slopeRows, ushort* slopePairs)
    {
        Lanes512 factor = Lanes512.All(scale * Log2E), scales = Lanes512.All(scale);
        Lanes512 offset0 = Lanes512.All(-query0.Normalizer * Log2E), offset1 = Lanes512.All(-query1.Normalizer * Log2E);
        Lanes512 mean0 = Lanes512.All(query0.Mean), mean1 = Lanes512.All(query1.Mean);
        for (int i = 0; i < count; i += 2 * Lanes512.Count, weightPairs += 4 * Lanes512.Count, slopePairs += 4 * Lanes512.Count)
        {
            float* product0 = products + i, product1 = product0 + count, gradient0 = gradients + i, gradient1 = gradient0 + count;
            Lanes512 first0 = Weight(product0, factor, offset0), first1 = Weight(product1, factor, offset1);
            BFloat16Layout.StorePairsNear(first0.Value, first1.Value, weightPairs);
            Lanes512 second0 = Weight(product0 + Lanes512.Count, factor, offset0), second1 = Weight(product1 + Lanes512.Count, factor, offset1);
            BFloat16Layout.StorePairsNear(second0.Value, second1.Value, weightPairs + 2 * Lanes512.Count);
            first0 *= scales * (Lanes512.Load(gradient0) - mean0);
            first1 *= scales * (Lanes512.Load(gradient1) - mean1);
            BFloat16Layout.StorePairsNear(first0.Value, first1.Value, slopePairs);
            second0 *= scales * (Lanes512.Load(gradient0 + Lanes512.Count) - mean0);
            second1 *= scales * (Lanes512.Load(gradient1 + Lanes512.Count) - mean1);
            BFloat16Layout.StorePairsNear(second0.Value, second1.Value, slopePairs + 2 * Lanes512.Count);
            BFloat16Layout.StoreNear(first0.Value, second0.Value, slopeRows + i);
            BFloat16Layout.StoreNear(first1.Value, second1.Value, slopeRows + count + i);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Lanes512 Weight(float* product, Lanes512 factor, Lanes512 offset) => LaneMath<Lanes512>.RoughExp2(Lanes512.Fma(Lanes512.Load(product), factor, offset));

    /// <summary>What the way back has to know of a query.</summary>
    /// <param name="Normalizer">ln Σ exp of its products.</param>
    /// <param name="Mean">Its weights' mean of their gradients.</param>
    private readonly record struct QueryNumbers(float Normalizer, float Mean);

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

    /// <summary>Adds columns times pairs of rows as they lie: C[d, t] += A[d, k]·B[k, t].</summary>
    /// <param name="unit">Multiplies.</param>
    /// <param name="columns">From <see cref="BFloat16Layout.Columns"/>, of all positions; beginning with the first that counts.</param>
    /// <param name="positions">All positions.</param>
    /// <param name="count">d.</param>
    /// <param name="pairs">[inputs / 2, t, 2].</param>
    /// <param name="width">t.</param>
    /// <param name="inputs">Positions that count.</param>
    /// <param name="offsets">Those of the columns' steps.</param>
    /// <param name="to">[d, t], added to.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void AddPairs(MatrixUnit unit, ushort* columns, int positions, int count, ushort* pairs, int width, int inputs, nint* offsets, float* to)
    {
        var product = new BlockProduct
        {
            AStride = MatrixUnit.Depth * sizeof(ushort),
            ASecond = MatrixUnit.Side / 2 * positions * sizeof(ushort),
            Offsets = offsets,
            Steps = inputs / MatrixUnit.Depth,
            BStride = width * 2 * sizeof(ushort),
            BSecond = MatrixUnit.Depth * sizeof(ushort),
            BStep = MatrixUnit.Depth * width * sizeof(ushort),
            CStride = width * sizeof(float),
            Accumulate = 1,
        };
        for (int column = 0; column < width; column += MatrixUnit.Side)
        {
            for (int row = 0; row < count; row += MatrixUnit.Side)
            {
                product.A = columns + (nint)row * positions;
                product.B = pairs + 2 * column;
                product.C = to + (nint)row * width + column;
                unit.Multiply(&product);
            }
        }
    }

    /// <summary>Rows by their transpose, as <see cref="BFloat16Layout.Columns"/> lays them out.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Columns(ushort* from, nint stride, int count, int columns, ushort* pairs, ushort* to)
    {
        for (int row = 0; row < count; row += 2)
            BFloat16Layout.PairBlocks(from + row * stride, from + (row + 1) * stride, columns, pairs + (nint)row * columns, 2 * MatrixUnit.Side);
        BFloat16Layout.Columns(pairs, count, columns, to);
    }

    /// <summary>Columns to rows, rounded to bfloat16.</summary>
    /// <param name="from">[columns, count].</param>
    /// <param name="count">Rows.</param>
    /// <param name="columns">Their length.</param>
    /// <param name="room">[16, columns], worked in.</param>
    /// <param name="to">[count, stride].</param>
    /// <param name="stride">From a row to the next.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void WriteColumns(float* from, int count, int columns, float* room, ushort* to, nint stride)
    {
        for (int row = 0; row < count; row += Lanes512.Count)
        {
            for (int column = 0; column < columns; column += Lanes512.Count)
                Lanes512.Transpose(from + (nint)column * count + row, count, room + column, columns);
            for (int i = 0; i < Lanes512.Count; i++)
                BFloat16Layout.Row(room + (nint)i * columns, columns, to + (row + i) * stride);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Scale(float* x, int count, float factor, ushort* to)
    {
        Lanes512 f = Lanes512.All(factor);
        for (int i = 0; i < count; i += 2 * Lanes512.Count)
            BFloat16Layout.Store(Lanes512.Load(x + i) * f, Lanes512.Load(x + i + Lanes512.Count) * f, to + i);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static float Dot(ushort* a, ushort* b, int count)
    {
        Lanes512 sum = default;
        for (int i = 0; i < count; i += Lanes512.Count)
            sum = Lanes512.Fma(NarrowElement.Load((NarrowElement*)(a + i)), NarrowElement.Load((NarrowElement*)(b + i)), sum);
        return Lanes512.Sum(sum);
    }

    /// <summary>Where the steps find their numbers.</summary>
    private static void FillOffsets(nint* offsets, int inputs, int apart)
    {
        for (int step = 0; step < inputs / MatrixUnit.Depth; step++)
            offsets[step] = step * apart * sizeof(ushort);
    }
}
