namespace Microsoft.ML.Diffusion.Tests;

/// <summary>3x3 convolutions and their gradients by the definition, in double.</summary>
internal static class WrittenOutConvolution
{
    /// <summary>The definition. Turned, the weight is [C, 3, 3, D] and its kernels stand on their heads.</summary>
    public static double[] Apply(in ConvolutionSize size, float[] x, float[] w, bool turned)
    {
        var (height, width, inputs, outputs) = (size.Height, size.Width, size.Inputs, size.Outputs);
        // [3, 3, C, D]
        var kernel = new double[9 * inputs * outputs];
        for (int k = 0; k < 9; k++)
        {
            for (int c = 0; c < inputs; c++)
            {
                for (int d = 0; d < outputs; d++)
                    kernel[(k * inputs + c) * outputs + d] = turned ? w[(c * 9 + 8 - k) * outputs + d] : w[(d * 9 + k) * inputs + c];
            }
        }
        var y = new double[size.Images * height * width * outputs];
        ForEachPair(size, (k, from, to) =>
        {
            for (int c = 0; c < inputs; c++)
            {
                double value = x[from * inputs + c];
                ReadOnlySpan<double> row = kernel.AsSpan((k * inputs + c) * outputs, outputs);
                Span<double> sums = y.AsSpan(to * outputs, outputs);
                for (int d = 0; d < row.Length; d++)
                    sums[d] += value * row[d];
            }
        });
        return y;
    }

    /// <summary>The gradients of weight and bias.</summary>
    public static (double[] Weight, double[] Bias) WeightGradient(in ConvolutionSize size, float[] x, float[] dy)
    {
        var (inputs, outputs) = (size.Inputs, size.Outputs);
        var weight = new double[9 * inputs * outputs];
        ForEachPair(size, (k, from, to) =>
        {
            for (int d = 0; d < outputs; d++)
            {
                double slope = dy[to * outputs + d];
                Span<double> sums = weight.AsSpan((d * 9 + k) * inputs, inputs);
                ReadOnlySpan<float> pixel = x.AsSpan(from * inputs, inputs);
                for (int c = 0; c < pixel.Length; c++)
                    sums[c] += slope * pixel[c];
            }
        });
        var bias = new double[outputs];
        for (int i = 0; i < dy.Length; i++)
            bias[i % outputs] += dy[i];
        return (weight, bias);
    }

    /// <summary>Calls with the number of the kernel's weight, the pixel that it sees and the pixel that it writes, for every two that belong together.</summary>
    public static void ForEachPair(ConvolutionSize size, Action<int, int, int> visit)
    {
        for (int row = 0; row < size.Images * size.Height; row++)
        {
            for (int column = 0; column < size.Width; column++)
            {
                for (int k = 0; k < 9; k++)
                {
                    int y = row % size.Height + k / 3 - 1, x = column + k % 3 - 1;
                    if (y >= 0 && y < size.Height && x >= 0 && x < size.Width)
                        visit(k, (row + k / 3 - 1) * size.Width + x, row * size.Width + column);
                }
            }
        }
    }

    /// <summary>With bias and addend.</summary>
    public static double[] Plus(double[] y, float[]? bias, float[]? addend) =>
        [.. y.Select((value, i) => value + (bias is null ? 0 : bias[i % bias.Length]) + (addend is null ? 0 : addend[i]))];
}
