using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// The gradient of the weight of <see cref="Int16NarrowProduct"/>, Σ dy·x over rows of bfloat16, multiplied in 16-bit integers: as <see cref="BFloat16Gradient"/>, where integers take less time.
/// A column's numbers of some hundred rows share a scale (<see cref="Int16Scale"/>), which leaves them 10 to 11 bits where they vary freely. Registers are of 512 bits.
/// </summary>
/// <param name="rows">Their number; even.</param>
/// <param name="inputs">Columns of x, a multiple of 32.</param>
/// <param name="outputs">Columns of dy, a multiple of 32.</param>
/// <param name="x">[rows, inputs]; not read where there is a <paramref name="source"/>.</param>
/// <param name="source">Computes x; or null.</param>
/// <param name="dy">[rows, outputs].</param>
/// <param name="dWeight">[outputs, inputs], added to.</param>
/// <param name="dBias">[outputs], added to; or null.</param>
internal sealed unsafe class Int16NarrowGradient(nint rows, int inputs, int outputs, ImageMemory x, BFloat16Rows? source, ushort* dy, float* dWeight, float* dBias)
{
    /// <summary>Rows that are rounded together, at the most: a panel of their pairs stays in the first-level cache.</summary>
    private const int MostRows = 256;

    /// <summary>Numbers of computed rows that stay in the second-level cache.</summary>
    private const int MostNumbers = 1 << 17;

    private const int N = 16;

    /// <summary>Of blocks of 32 channels, for a row.</summary>
    private static readonly GradientCosts s_costs = new(20, 12, 8);

    /// <summary>Rows that are rounded together.</summary>
    private readonly int _together = (int)Math.Min(rows, source is null ? MostRows : Math.Clamp(MostNumbers / inputs / 2 * 2, 2, MostRows));

    /// <summary>Whether a unit would rather have such a gradient taken here.</summary>
    public static bool Takes(MatrixUnit unit) => unit is PairUnit { MultipliesInIntegers: true } && Int16WideLayout.IsQuicker;

    /// <summary>Adds the gradients up.</summary>
    public void Add()
    {
        var grid = new WeightGrid(inputs, outputs, MatrixUnit.Side, s_costs);
        DeferredWork.Run(grid.Parts, part => Accumulate(grid.Inputs(part), grid.Outputs(part)));
    }

    /// <summary>The gradient of some inputs' and outputs' weights.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Accumulate(ChannelRange inputRange, ChannelRange outputRange)
    {
        // From a row of pairs to the next it is no power of two, so that those of a panel do not meet in the cache.
        nint inputStride = inputRange.Count + N, gradientStride = outputRange.Count + N, pairRows = _together / 2 + 2, widest = Math.Max(inputRange.Count, outputRange.Count);
        float* memory = KernelMemory.Own(pairRows * (inputStride + gradientStride) + 2 * widest + (source is null ? 0 : (nint)_together * inputs / 2));
        int* input = (int*)memory, gradient = input + pairRows * inputStride;
        float* room = (float*)(gradient + pairRows * gradientStride);
        var computed = (NarrowElement*)(room + 2 * widest);
        double[]? bias = dBias is not null && inputRange.First == 0 ? new double[outputRange.Count] : null;
        for (nint first = 0; first < rows; first += _together)
        {
            int count = (int)Math.Min(_together, rows - first);
            source?.Read(first, count, (ushort*)computed);
            for (int at = 0; at < inputRange.Count;)
            {
                ChannelRange rest = inputRange with { First = inputRange.First + at };
                ChannelRun<NarrowElement> run = source is null ? x.Run<NarrowElement>(first, rest) : new(computed + rest.First, inputs, rest.Count);
                Round(run, count, input + at, inputStride, room);
                at += run.Count;
            }
            ChannelRun<NarrowElement> slope = new((NarrowElement*)dy + first * outputs + outputRange.First, outputs, outputRange.Count);
            Round(slope, count, gradient, gradientStride, room);
            Int16Kernel<Lanes512>.AddTransposed(
                gradient, gradientStride, input, inputStride, dWeight + (nint)outputRange.First * inputs + inputRange.First, inputs, outputRange.Count, inputRange.Count, count / 2);
            if (bias is null)
                continue;
            new Span<float>(room, outputRange.Count).Clear();
            SumKernel.AddRows(slope.First, count, outputRange.Count, outputs, room);
            for (int i = 0; i < outputRange.Count; i++)
                bias[i] += room[i];
        }
        for (int i = 0; i < outputRange.Count && bias is not null; i++)
            dBias[outputRange.First + i] += (float)bias[i];
    }

    /// <summary>Rounds rows and pairs them two by two.</summary>
    /// <param name="run">The first row's numbers, a multiple of 32.</param>
    /// <param name="count">How many; even.</param>
    /// <param name="to">[count/2 + 2, numbers], written: pairs, and behind the last their powers and own sums, as <see cref="Int16Layout"/> has them.</param>
    /// <param name="stride">From a row of pairs to the next.</param>
    /// <param name="room">[2, numbers].</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Round(ChannelRun<NarrowElement> run, int count, int* to, nint stride, float* room)
    {
        TileSize size = TileSize.Nothing(run.Count, room);
        TileSize<Lanes512, NarrowElement>.Add(run.First, count, run.Count, run.Stride, size, 1, 1);
        for (int c = 0; c < run.Count; c += 2 * N)
        {
            Vector512<float> scale0 = Int16Scale.Of(Vector512.Load(size.Squares + c), Vector512.Load(size.Largest + c));
            Vector512<float> scale1 = Int16Scale.Of(Vector512.Load(size.Squares + c + N), Vector512.Load(size.Largest + c + N));
            Vector512<int> own0 = default, own1 = default, before0 = default, before1 = default;
            NarrowElement* even = run.First + c, odd = even + run.Stride;
            int* pair = to + c;
            for (int i = 0; i < count / 2; i++, even += 2 * run.Stride, odd += 2 * run.Stride, pair += stride)
            {
                Vector512<int> pair0 = Int16WideLayout.Pair(NarrowElement.Load(even).Value, NarrowElement.Load(odd).Value, scale0);
                Vector512<int> pair1 = Int16WideLayout.Pair(NarrowElement.Load(even + N).Value, NarrowElement.Load(odd + N).Value, scale1);
                pair0.Store(pair);
                pair1.Store(pair + N);
                if (i % 2 != 0)
                {
                    own0 -= Avx512BW.MultiplyAddAdjacent(before0.AsInt16(), pair0.AsInt16());
                    own1 -= Avx512BW.MultiplyAddAdjacent(before1.AsInt16(), pair1.AsInt16());
                }
                (before0, before1) = (pair0, pair1);
            }
            (Vector512<float>.One / scale0).Store((float*)pair);
            (Vector512<float>.One / scale1).Store((float*)pair + N);
            own0.Store(pair + stride);
            own1.Store(pair + stride + N);
        }
    }
}
