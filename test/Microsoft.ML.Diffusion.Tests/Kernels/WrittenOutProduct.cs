namespace Microsoft.ML.Diffusion.Tests;

/// <summary>Products of rows with a weight and their gradients by the definition, in double.</summary>
internal static class WrittenOutProduct
{
    /// <summary>x·Wᵀ.</summary>
    public static double[] Apply(int rows, int inputs, int outputs, float[] x, float[] weight, bool transposed)
    {
        var y = new double[rows * outputs];
        for (int row = 0; row < rows; row++)
        {
            for (int d = 0; d < outputs; d++)
            {
                for (int c = 0; c < inputs; c++)
                    y[row * outputs + d] += (double)x[row * inputs + c] * (transposed ? weight[c * outputs + d] : weight[d * inputs + c]);
            }
        }
        return y;
    }

    /// <summary>The gradients of weight and bias.</summary>
    public static (double[] Weight, double[] Bias) WeightGradient(int rows, int inputs, int outputs, float[] x, float[] dy)
    {
        var (weight, bias) = (new double[outputs * inputs], new double[outputs]);
        for (int row = 0; row < rows; row++)
        {
            for (int d = 0; d < outputs; d++)
            {
                bias[d] += dy[row * outputs + d];
                for (int c = 0; c < inputs; c++)
                    weight[d * inputs + c] += (double)dy[row * outputs + d] * x[row * inputs + c];
            }
        }
        return (weight, bias);
    }
}

/// <summary>Rows of an array.</summary>
internal sealed unsafe class ArrayRows(float[] x, int columns) : RowSource
{
    public override void Read(nint first, int count, float* to) =>
        x.AsSpan((int)first * columns, count * columns).CopyTo(new Span<float>(to, count * columns));
}

/// <summary>The same of bfloat16.</summary>
/// <param name="x">[rows, columns].</param>
/// <param name="columns">Numbers of a row.</param>
internal sealed unsafe class NarrowArrayRows(ushort[] x, int columns) : BFloat16Rows
{
    public override void Read(nint first, int count, ushort* to) => x.AsSpan((int)first * columns, count * columns).CopyTo(new Span<ushort>(to, count * columns));
}
