namespace Microsoft.ML.Diffusion.Tests;

/// <summary>What a <see cref="MatrixUnit"/> does, written out: stands in for the processor's where there is none, and checks that every user begins and ends.</summary>
/// <param name="convolves">Whether it is to be used for convolutions.</param>
internal sealed unsafe class WrittenOutUnit(bool convolves) : MatrixUnit
{
    [ThreadStatic] private static int s_begun;

    /// <summary>bfloat16 is the upper half of a float32.</summary>
    public static float Widen(ushort number) => BitConverter.UInt32BitsToSingle((uint)number << 16);

    public override bool Convolves => convolves;

    public override void Begin() => Assert.AreEqual(1, ++s_begun);

    public override void Multiply(BlockProduct* product)
    {
        Assert.AreEqual(1, s_begun, "Begin comes first.");
        Assert.IsGreaterThan(0, product->Steps);
        var sums = new float[Side * Side];
        for (int row = 0; row < Side; row++)
        {
            byte* a = (byte*)product->A + row / 16 * product->ASecond + row % 16 * product->AStride;
            for (int step = 0; step < product->Steps; step++)
            {
                ushort* left = (ushort*)(a + product->Offsets[step]);
                for (int k = 0; k < Depth; k++)
                {
                    float value = Widen(left[k]);
                    byte* pairs = (byte*)product->B + step * product->BStep + k / 2 * product->BStride;
                    for (int column = 0; column < Side; column++)
                        sums[row * Side + column] += value * Widen(((ushort*)(pairs + column / 16 * product->BSecond))[column % 16 * 2 + k % 2]);
                }
            }
        }
        for (int row = 0; row < Side; row++)
        {
            float* c = (float*)((byte*)product->C + row * product->CStride);
            for (int column = 0; column < Side; column++)
                c[column] = sums[row * Side + column] + (product->Accumulate != 0 ? c[column] : 0);
        }
    }

    public override void End() => Assert.AreEqual(0, --s_begun);
}
