namespace Microsoft.ML.Diffusion;

/// <summary>3x3 convolutions: over the calling thread's <see cref="MatrixUnit"/> where it has one and the channels fill it, else in the widest registers that the processor has.</summary>
internal static unsafe class ConvolutionKernel
{
    /// <inheritdoc cref="WinogradConvolution{L}.Apply"/>
    public static void Apply(in ConvolutionSize size, PixelSource x, float* weight, bool turned, float* bias, float* addend, float* y)
    {
        if (MatrixUnit.Current is { } unit && MatrixUnit.Takes(size.Inputs, size.Outputs))
            BFloat16Convolution.Apply(unit, size, x, weight, turned, bias, addend, y);
        else if (Lanes.Widest == 16)
            WinogradConvolution<Lanes512>.Apply(size, x, weight, turned, bias, addend, y);
        else if (Lanes.Widest == 8)
            WinogradConvolution<Lanes256>.Apply(size, x, weight, turned, bias, addend, y);
        else
            WinogradConvolution<Lanes128>.Apply(size, x, weight, turned, bias, addend, y);
    }

    /// <inheritdoc cref="WinogradConvolution{L}.WeightGradient"/>
    public static void WeightGradient(in ConvolutionSize size, PixelSource x, float* dy, float* dWeight, float* dBias)
    {
        if (MatrixUnit.Current is { } unit && MatrixUnit.Takes(size.Inputs, size.Outputs))
            BFloat16Gradient.Add(unit, new ConvolutionPieces(size, x, dy), dWeight, dBias);
        else if (Lanes.Widest == 16)
            WinogradConvolution<Lanes512>.WeightGradient(size, x, dy, dWeight, dBias);
        else if (Lanes.Widest == 8)
            WinogradConvolution<Lanes256>.WeightGradient(size, x, dy, dWeight, dBias);
        else
            WinogradConvolution<Lanes128>.WeightGradient(size, x, dy, dWeight, dBias);
    }

    /// <summary>The gradient of <see cref="DoubledSource"/>: the sums over 2x2 pixels.</summary>
    /// <param name="images">N.</param>
    /// <param name="height">Rows of an image before it was doubled.</param>
    /// <param name="width">Pixels of a row before.</param>
    /// <param name="channels">C.</param>
    /// <param name="dy">[N, 2·height, 2·width, C].</param>
    /// <param name="dx">[N, height, width, C], written.</param>
    public static void Halve(int images, int height, int width, int channels, float* dy, float* dx) => Cores.Run(images * height, row =>
    {
        float* top = dy + (nint)row * 4 * width * channels, bottom = top + 2 * width * channels, to = dx + (nint)row * width * channels;
        for (int x = 0; x < width; x++, top += channels, bottom += channels)
        {
            for (int c = 0; c < channels; c++, top++, bottom++)
                *to++ = top[0] + top[channels] + (bottom[0] + bottom[channels]);
        }
    });
}
