using System.Runtime.CompilerServices;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// The gradient of a weight, Σ dy·x over pixels. A core has some inputs and some outputs of the weight to itself: it lays them out piece by piece, dy by its transpose and x in
/// pairs of pixels, and multiplies while they lie in its cache. The result does not depend on how many cores there are.
/// </summary>
internal sealed unsafe class BFloat16Gradient
{
    // Of blocks of 32 channels, for a pixel: the products of a tap, and laying out dy, of each part of it.
    private const double ProductCost = 2.6, InputCost = 40, GradientCost = 15;

    private readonly MatrixUnit _unit;
    private readonly GradientPieces _pieces;
    private readonly float* _dWeight;
    private readonly float* _dBias;

    private BFloat16Gradient(MatrixUnit unit, GradientPieces pieces, float* dWeight, float* dBias)
    {
        _unit = unit;
        _pieces = pieces;
        _dWeight = dWeight;
        _dBias = dBias;
    }

    /// <summary>Adds the gradient up.</summary>
    /// <param name="unit">Multiplies.</param>
    /// <param name="pieces">The batch.</param>
    /// <param name="dWeight">[D, taps, C], added to.</param>
    /// <param name="dBias">[D], added to; or null.</param>
    public static void Add(MatrixUnit unit, GradientPieces pieces, float* dWeight, float* dBias) => Add(unit, pieces, dWeight, dBias, then: null);

    /// <summary>The same, and something when it is done.</summary>
    private static void Add(MatrixUnit unit, GradientPieces pieces, float* dWeight, float* dBias, Action? then)
    {
        var gradient = new BFloat16Gradient(unit, pieces, dWeight, dBias);
        var grid = new WeightGrid(pieces.Size.Inputs, pieces.Size.Outputs, MatrixUnit.Side, new(ProductCost * pieces.Size.Taps, InputCost, GradientCost * pieces.Parts));
        DeferredWork.Run(grid.Parts, part => gradient.Accumulate(grid.Inputs(part), grid.Outputs(part)), then);
    }

    /// <summary>The same of a convolution that doubles its images.</summary>
    /// <param name="unit">Multiplies.</param>
    /// <param name="pieces">The batch.</param>
    /// <param name="dWeight">[D, 3, 3, C], added to.</param>
    /// <param name="dBias">[D], added to; or null.</param>
    public static void AddDoubled(MatrixUnit unit, ConvolutionPieces pieces, float* dWeight, float* dBias)
    {
        var (outputs, inputs) = (pieces.Size.Outputs, pieces.Size.Inputs);
        float* sums = KernelMemory.Gradients((nint)outputs * DoubledTaps.Count * inputs);
        new Span<float>(sums, outputs * DoubledTaps.Count * inputs).Clear();
        Add(unit, pieces, sums, dBias, () =>
            Cores.Run(outputs, output => DoubledTaps.AddGradient(sums + (nint)output * DoubledTaps.Count * inputs, inputs, dWeight + (nint)output * 9 * inputs)));
    }

    /// <summary>Some inputs and outputs of the weight, all taps, over all pieces.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Accumulate(ChannelRange inputs, ChannelRange outputs)
    {
        var size = _pieces.Size;
        nint inputFloats = _pieces.Pixels * inputs.Count / 2, gradientFloats = (nint)_pieces.Steps * MatrixUnit.Depth * outputs.Count / 2;
        float* memory = KernelMemory.Own(inputFloats + gradientFloats + outputs.Count + _pieces.Room(inputs.Count, outputs.Count));
        ushort* input = (ushort*)memory, gradient = (ushort*)(memory + inputFloats);
        float* sums = memory + inputFloats + gradientFloats, room = sums + outputs.Count;
        double[]? bias = _dBias is not null && inputs.First == 0 ? new double[outputs.Count] : null;

        nint* offsets = stackalloc nint[_pieces.Steps];
        for (int step = 0; step < _pieces.Steps; step++)
            offsets[step] = step * (MatrixUnit.StepNumbers / 2) * sizeof(ushort);
        var product = new BlockProduct
        {
            AStride = MatrixUnit.Depth * sizeof(ushort),
            ASecond = _pieces.Steps * (MatrixUnit.StepNumbers / 2) * sizeof(ushort),
            Offsets = offsets,
            Steps = _pieces.Steps,
            BStride = 2 * MatrixUnit.Side * sizeof(ushort),
            BSecond = MatrixUnit.Side * sizeof(ushort),
            BStep = MatrixUnit.StepNumbers * sizeof(ushort),
            CStride = size.Taps * size.Inputs * sizeof(float),
            Accumulate = 1,
        };
        for (int piece = 0; piece < _pieces.Count; piece++)
        {
            _pieces.LayOutInput(piece, inputs, input, room);
            for (int part = 0; part < _pieces.Parts; part++)
            {
                new Span<float>(sums, outputs.Count).Clear();
                _pieces.LayOutGradient(piece, part, outputs, gradient, bias is null ? null : sums, room);
                for (int i = 0; i < outputs.Count && bias is not null; i++)
                    bias[i] += sums[i];
                _unit.Begin();
                for (int output = 0; output < outputs.Count; output += MatrixUnit.Side)
                {
                    for (int c = 0; c < inputs.Count; c += MatrixUnit.Depth)
                        Multiply(&product, part, gradient + (nint)output * _pieces.Steps * MatrixUnit.Depth, input + c * _pieces.Pixels, outputs.First + output, inputs.First + c);
                }
                _unit.End();
            }
        }
        for (int i = 0; i < outputs.Count && bias is not null; i++)
            _dBias[outputs.First + i] += (float)bias[i];
    }

    /// <summary>One block of outputs and inputs, all taps of a part, over one piece.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Multiply(BlockProduct* product, int part, ushort* gradient, ushort* input, int output, int channel)
    {
        var size = _pieces.Size;
        product->A = gradient;
        int taps = size.Taps / _pieces.Parts;
        for (int tap = part * taps; tap < (part + 1) * taps; tap++)
        {
            product->B = input + _pieces.FirstPixel(tap) * MatrixUnit.Side;
            product->C = _dWeight + ((nint)output * size.Taps + tap) * size.Inputs + channel;
            _unit.Multiply(product);
        }
    }
}
