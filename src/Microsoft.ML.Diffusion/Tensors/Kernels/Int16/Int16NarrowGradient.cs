using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// The gradient of the weight of <see cref="Int16NarrowProduct"/>, Σ dy·x over rows of bfloat16, multiplied in 16-bit integers: as <see cref="BFloat16Gradient"/>, where integers take less time.
/// A column's numbers of some hundred rows share a scale (<see cref="Int16Scale"/>), which leaves them 10 to 11 bits where they vary freely. Registers are of 512 bits.
/// </summary>
internal sealed unsafe class Int16NarrowGradient
{
    /// <summary>Rows that are rounded together, at the most: a panel of their pairs stays in the first-level cache.</summary>
    private const int MostRows = 256;

    /// <summary>Numbers of computed rows that stay in the second-level cache.</summary>
    private const int MostNumbers = 1 << 17;

    private const int N = 16;

    /// <summary>Of blocks of 32 channels, for a row.</summary>
    private static readonly GradientCosts s_costs = new(20, 12, 8);

    private readonly nint _rows;
    private readonly int _together;
    private readonly int _inputs;
    private readonly int _outputs;
    private readonly ImageMemory _x;
    private readonly BFloat16Rows? _source;
    private readonly ushort* _dy;
    private readonly float* _dWeight;
    private readonly float* _dBias;

    private Int16NarrowGradient(nint rows, int inputs, int outputs, ImageMemory x, BFloat16Rows? source, ushort* dy, float* dWeight, float* dBias)
    {
        _rows = rows;
        _together = (int)Math.Min(rows, source is null ? MostRows : Math.Clamp(MostNumbers / inputs / 2 * 2, 2, MostRows));
        _inputs = inputs;
        _outputs = outputs;
        _x = x;
        _source = source;
        _dy = dy;
        _dWeight = dWeight;
        _dBias = dBias;
    }

    /// <summary>Whether a unit would rather have such a gradient taken here.</summary>
    public static bool Takes(MatrixUnit unit) => unit is PairUnit { MultipliesInIntegers: true } && Int16WideLayout.IsQuicker;

    /// <summary>Adds the gradients up.</summary>
    /// <param name="rows">Their number; even.</param>
    /// <param name="inputs">Columns of x, a multiple of 32.</param>
    /// <param name="outputs">Columns of dy, a multiple of 32.</param>
    /// <param name="x">[rows, inputs]; not read where there is a <paramref name="source"/>.</param>
    /// <param name="source">Computes x; or null.</param>
    /// <param name="dy">[rows, outputs].</param>
    /// <param name="dWeight">[outputs, inputs], added to.</param>
    /// <param name="dBias">[outputs], added to; or null.</param>
    public static void Add(nint rows, int inputs, int outputs, ImageMemory x, BFloat16Rows? source, ushort* dy, float* dWeight, float* dBias)
    {
        var gradient = new Int16NarrowGradient(rows, inputs, outputs, x, source, dy, dWeight, dBias);
        var grid = new WeightGrid(inputs, outputs, MatrixUnit.Side, s_costs);
        DeferredWork.Run(grid.Parts, part => gradient.Accumulate(grid.Inputs(part), grid.Outputs(part)));
    }

    /// <summary>The gradient of some inputs' and outputs' weights.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Accumulate(ChannelRange inputs, ChannelRange outputs)
    {
        // From a row of pairs to the next it is no power of two, so that those of a panel do not meet in the cache.
        nint xStride = inputs.Count + N, dyStride = outputs.Count + N, rows = _together / 2 + 2, widest = Math.Max(inputs.Count, outputs.Count);
        float* memory = KernelMemory.Own(rows * (xStride + dyStride) + 2 * widest + (_source is null ? 0 : (nint)_together * _inputs / 2));
        int* x = (int*)memory, dy = x + rows * xStride;
        float* room = (float*)(dy + rows * dyStride);
        ushort* computed = (ushort*)(room + 2 * widest);
        double[]? bias = _dBias is not null && inputs.First == 0 ? new double[outputs.Count] : null;
        for (nint first = 0; first < _rows; first += _together)
        {
            int count = (int)Math.Min(_together, _rows - first);
            _source?.Read(first, count, computed);
            for (int at = 0; at < inputs.Count;)
            {
                ChannelRange rest = inputs with { First = inputs.First + at };
                ChannelRun<ushort> run = _source is null ? _x.Run<ushort>(first, rest) : new(computed + rest.First, _inputs, rest.Count);
                Round(run, count, x + at, xStride, room);
                at += run.Count;
            }
            ChannelRun<ushort> slope = new(_dy + first * _outputs + outputs.First, _outputs, outputs.Count);
            Round(slope, count, dy, dyStride, room);
            Int16Kernel<Lanes512>.AddTransposed(
                dy, dyStride, x, xStride, _dWeight + (nint)outputs.First * _inputs + inputs.First, _inputs, outputs.Count, inputs.Count, count / 2);
            if (bias is null)
                continue;
            new Span<float>(room, outputs.Count).Clear();
            SumKernel.AddRows((NarrowElement*)slope.First, count, outputs.Count, _outputs, room);
            for (int i = 0; i < outputs.Count; i++)
                bias[i] += room[i];
        }
        for (int i = 0; i < outputs.Count && bias is not null; i++)
            _dBias[outputs.First + i] += (float)bias[i];
    }

    /// <summary>Rounds rows and pairs them two by two.</summary>
    /// <param name="rows">The first row's numbers, a multiple of 32.</param>
    /// <param name="count">How many; even.</param>
    /// <param name="to">[count/2 + 2, numbers], written: pairs, and behind the last their powers and own sums, as <see cref="Int16Layout"/> has them.</param>
    /// <param name="stride">From a row of pairs to the next.</param>
    /// <param name="room">[2, numbers].</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Round(ChannelRun<ushort> rows, int count, int* to, nint stride, float* room)
    {
        TileSize size = TileSize.Nothing(rows.Count, room);
        TileSize<Lanes512, NarrowElement>.Add((NarrowElement*)rows.First, count, rows.Count, rows.Stride, size, 1, 1);
        for (int c = 0; c < rows.Count; c += 2 * N)
        {
            Vector512<float> scale0 = Int16Scale.Of(Vector512.Load(size.Squares + c), Vector512.Load(size.Largest + c));
            Vector512<float> scale1 = Int16Scale.Of(Vector512.Load(size.Squares + c + N), Vector512.Load(size.Largest + c + N));
            Vector512<int> own0 = default, own1 = default, before0 = default, before1 = default;
            ushort* even = rows.First + c, odd = even + rows.Stride;
            int* pair = to + c;
            for (int i = 0; i < count / 2; i++, even += 2 * rows.Stride, odd += 2 * rows.Stride, pair += stride)
            {
                Vector512<int> pair0 = Int16WideLayout.Pair(BFloat16Layout.Widen(Vector256.Load(even)), BFloat16Layout.Widen(Vector256.Load(odd)), scale0);
                Vector512<int> pair1 = Int16WideLayout.Pair(BFloat16Layout.Widen(Vector256.Load(even + N)), BFloat16Layout.Widen(Vector256.Load(odd + N)), scale1);
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
