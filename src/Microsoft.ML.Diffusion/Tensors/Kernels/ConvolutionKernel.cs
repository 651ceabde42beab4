namespace Microsoft.ML.Diffusion;

/// <summary>
/// 3x3 convolutions by F(4x4, 3x3) and what belongs to their surroundings: of float32 in the widest registers that the processor has, or multiplied in integers (<see cref="Int16Products"/>);
/// of bfloat16 over a <see cref="PairUnit"/> or beside it, in integers too.
/// </summary>
internal static unsafe class ConvolutionKernel
{
    /// <inheritdoc cref="WinogradConvolution{L, E, P}.Apply"/>
    public static void Apply(in ConvolutionSize size, PixelSource x, float* weight, bool turned, float* bias, float* addend, float* y, MomentLines moments = default)
    {
        if (Lanes.Widest == 16 && ThinConvolution<Lanes512>.Takes(size))
            ThinConvolution<Lanes512>.Apply(size, x, weight, turned, bias, addend, y, moments);
        else if (Lanes.Widest == 16 && Int16Products.Take(size.Inputs, size.Outputs))
            WinogradConvolution<Lanes512, WideElement<Lanes512>, Int16Points<Lanes512>>.Apply(default, size, x, weight, turned, bias, (WideElement<Lanes512>*)addend, (WideElement<Lanes512>*)y, moments);
        else if (Lanes.Widest == 16)
            WinogradConvolution<Lanes512, WideElement<Lanes512>, RealPoints<Lanes512>>.Apply(default, size, x, weight, turned, bias, (WideElement<Lanes512>*)addend, (WideElement<Lanes512>*)y, moments);
        else if (Lanes.Widest == 8 && Int16Products.Take(size.Inputs, size.Outputs))
            WinogradConvolution<Lanes256, WideElement<Lanes256>, Int16Points<Lanes256>>.Apply(default, size, x, weight, turned, bias, (WideElement<Lanes256>*)addend, (WideElement<Lanes256>*)y, moments);
        else if (Lanes.Widest == 8)
            WinogradConvolution<Lanes256, WideElement<Lanes256>, RealPoints<Lanes256>>.Apply(default, size, x, weight, turned, bias, (WideElement<Lanes256>*)addend, (WideElement<Lanes256>*)y, moments);
        else
            WinogradConvolution<Lanes128, WideElement<Lanes128>, RealPoints<Lanes128>>.Apply(default, size, x, weight, turned, bias, (WideElement<Lanes128>*)addend, (WideElement<Lanes128>*)y, moments);
    }

    /// <summary>The same of bfloat16; channels are multiples of 32.</summary>
    /// <inheritdoc cref="WinogradConvolution{L, E, P}.Apply"/>
    public static void Apply(PairUnit unit, in ConvolutionSize size, PixelSource x, float* weight, bool turned, float* bias, ushort* addend, ushort* y, MomentLines moments = default)
    {
        if (x.Doubles)
            WinogradConvolution<Lanes512, NarrowElement, DoubledPoints>.Apply(new(unit), size, x, weight, turned, bias, (NarrowElement*)addend, (NarrowElement*)y, moments);
        else if (unit.ConvolvesInIntegers)
            WinogradConvolution<Lanes512, NarrowElement, Int16Points<Lanes512>>.Apply(default, size, x, weight, turned, bias, (NarrowElement*)addend, (NarrowElement*)y, moments);
        else
            WinogradConvolution<Lanes512, NarrowElement, ComplexPoints>.Apply(new(unit), size, x, weight, turned, bias, (NarrowElement*)addend, (NarrowElement*)y, moments);
    }

    /// <inheritdoc cref="WinogradGradient{L, E, P}.Add"/>
    public static void WeightGradient(in ConvolutionSize size, PixelSource x, float* dy, float* dWeight, float* dBias)
    {
        if (Lanes.Widest == 16 && ThinConvolution<Lanes512>.Takes(size))
            ThinConvolution<Lanes512>.AddWeightGradient(size, x, dy, dWeight, dBias);
        else if (Lanes.Widest == 16 && Int16Products.Take(size.Inputs, size.Outputs))
            WinogradGradient<Lanes512, WideElement<Lanes512>, Int16Points<Lanes512>>.Add(default, size, x, (WideElement<Lanes512>*)dy, dWeight, dBias);
        else if (Lanes.Widest == 16)
            WinogradGradient<Lanes512, WideElement<Lanes512>, RealPoints<Lanes512>>.Add(default, size, x, (WideElement<Lanes512>*)dy, dWeight, dBias);
        else if (Lanes.Widest == 8 && Int16Products.Take(size.Inputs, size.Outputs))
            WinogradGradient<Lanes256, WideElement<Lanes256>, Int16Points<Lanes256>>.Add(default, size, x, (WideElement<Lanes256>*)dy, dWeight, dBias);
        else if (Lanes.Widest == 8)
            WinogradGradient<Lanes256, WideElement<Lanes256>, RealPoints<Lanes256>>.Add(default, size, x, (WideElement<Lanes256>*)dy, dWeight, dBias);
        else
            WinogradGradient<Lanes128, WideElement<Lanes128>, RealPoints<Lanes128>>.Add(default, size, x, (WideElement<Lanes128>*)dy, dWeight, dBias);
    }

    /// <summary>The same of bfloat16; channels are multiples of 32.</summary>
    /// <inheritdoc cref="WinogradGradient{L, E, P}.Add"/>
    public static void WeightGradient(PairUnit unit, in ConvolutionSize size, PixelSource x, ushort* dy, float* dWeight, float* dBias)
    {
        if (unit.MultipliesInIntegers && Int16GradientPoints.AreThere)
            WinogradGradient<Lanes512, NarrowElement, Int16GradientPoints>.Add(default, size, x, (NarrowElement*)dy, dWeight, dBias);
        else
            WinogradGradient<Lanes512, NarrowElement, ComplexPoints>.Add(new(unit), size, x, (NarrowElement*)dy, dWeight, dBias);
    }
}
