namespace Microsoft.ML.Diffusion.Tests;

/// <summary>The elementary functions of the registers against double's.</summary>
[TestClass]
public sealed unsafe class LaneMathTests
{
    [TestMethod]
    [DataRow(16)]
    [DataRow(8)]
    [DataRow(4)]
    public void ExpIsWithinTwoUnitsInTheLastPlace(int lanes) =>
        Assert.IsLessThan(2, LargestError(Between(-87, 88), Exp(lanes), Math.Exp));

    [TestMethod]
    [DataRow(16)]
    [DataRow(8)]
    [DataRow(4)]
    public void SigmoidIsWithinThreeUnitsInTheLastPlace(int lanes) =>
        Assert.IsLessThan(3, LargestError(Between(-87, 88), Sigmoid(lanes), x => 1 / (1 + Math.Exp(-x))));

    [TestMethod]
    [DataRow(16)]
    [DataRow(8)]
    [DataRow(4)]
    public void WhatIsRoundedToBFloat16HasADigitMoreThanThat(int lanes)
    {
        var exp2 = KernelData.For<Func<float[], float[]>>(
            lanes, x => Map<Lanes512>(x, LaneMath<Lanes512>.RoughExp2), x => Map<Lanes256>(x, LaneMath<Lanes256>.RoughExp2), x => Map<Lanes128>(x, LaneMath<Lanes128>.RoughExp2));
        var sigmoid = KernelData.For<Func<float[], float[]>>(
            lanes, x => Map<Lanes512>(x, LaneMath<Lanes512>.RoughSigmoid), x => Map<Lanes256>(x, LaneMath<Lanes256>.RoughSigmoid), x => Map<Lanes128>(x, LaneMath<Lanes128>.RoughSigmoid));
        Check(Between(-126, 126), exp2, x => Math.Pow(2, x));
        Check(Between(-80, 80), sigmoid, x => 1 / (1 + Math.Exp(-x)));
        foreach (float far in sigmoid(Lanes(-1000, float.NegativeInfinity, -1e30f, -100)))
            Assert.IsTrue(far is >= 0 and <= 1e-30f, $"{far}");
        foreach (float near in sigmoid(Lanes(1000, float.PositiveInfinity, 1e30f, 100)))
            Assert.AreEqual(1, near, 1e-4);

        static void Check(float[] numbers, Func<float[], float[]> function, Func<double, double> exact)
        {
            float[] got = function(numbers);
            for (int i = 0; i < numbers.Length; i++)
                Assert.AreEqual(exact(numbers[i]), got[i], 2e-4 * exact(numbers[i]), $"at {numbers[i]}");
        }
    }

    [TestMethod]
    [DataRow(16)]
    [DataRow(8)]
    [DataRow(4)]
    public void BeyondItsRangeExpIsAsAtTheEnds(int lanes)
    {
        float[] ends = Exp(lanes)(Lanes(-87, 88));
        float[] beyond = Exp(lanes)(Lanes(-87.5f, 88.5f, -1e30f, 1e30f, float.NegativeInfinity, float.PositiveInfinity, float.MinValue, float.MaxValue));
        for (int i = 0; i < 8; i++)
            Assert.AreEqual(ends[i % 2], beyond[i]);
    }

    [TestMethod]
    [DataRow(16)]
    [DataRow(8)]
    [DataRow(4)]
    public void FarOutSigmoidIsZeroAndOne(int lanes)
    {
        float[] y = Sigmoid(lanes)(Lanes(-1000, 1000, float.NegativeInfinity, float.PositiveInfinity, -100, 100, -1e30f, 1e30f));
        for (int i = 0; i < 8; i += 2)
        {
            Assert.IsTrue(y[i] is >= 0 and < 1e-37f, $"{y[i]}");
            Assert.AreEqual(1, y[i + 1]);
        }
    }

    [TestMethod]
    [DataRow(16)]
    [DataRow(8)]
    [DataRow(4)]
    public void WhatIsNoNumberStaysSoThroughSiluAndLeavesItsNeighboursAlone(int lanes)
    {
        float[] y = Silu(lanes)(Lanes(1, float.NaN, -2, float.PositiveInfinity));
        Assert.IsTrue(float.IsNaN(y[1]), $"{y[1]}");
        Assert.AreEqual(1 / (1 + Math.Exp(-1)), y[0], 1e-6);
        Assert.AreEqual(-2 / (1 + Math.Exp(2)), y[2], 1e-6);
        Assert.AreEqual(float.PositiveInfinity, y[3]);
    }

    [TestMethod]
    [DataRow(16)]
    [DataRow(8)]
    [DataRow(4)]
    public void SumAndLargestSeeEveryLane(int lanes)
    {
        for (int lane = 0; lane < lanes; lane++)
        {
            var x = new float[lanes];
            x.AsSpan().Fill(-3);
            x[lane] = -1;
            var (sum, largest) = KernelData.For<Func<float[], (float, float)>>(lanes, Reduce<Lanes512>, Reduce<Lanes256>, Reduce<Lanes128>)(x);
            Assert.AreEqual(-3 * (lanes - 1) - 1, sum);
            Assert.AreEqual(-1, largest);
        }
    }

    [TestMethod]
    [DataRow(16)]
    [DataRow(8)]
    [DataRow(4)]
    public void ATransposePutsEveryNumberInItsPlaceAndTouchesNoOther(int lanes)
    {
        int stride = lanes + 3, toStride = lanes + 5;
        float[] from = KernelData.Numbers(lanes, lanes * stride), to = new float[lanes * toStride], plain = new float[lanes * toStride];
        fixed (float* x = from, y = to, z = plain)
        {
            if (lanes == 16)
                Lanes512.Transpose(x, stride, y, toStride);
            else if (lanes == 8)
                Lanes256.Transpose(x, stride, y, toStride);
            else
                Lanes128.Transpose(x, stride, y, toStride);
            Microsoft.ML.Diffusion.Lanes.Transpose(lanes, x, stride, z, toStride);
        }
        for (int row = 0; row < lanes; row++)
        {
            for (int column = 0; column < toStride; column++)
            {
                float want = column < lanes ? from[column * stride + row] : 0;
                Assert.AreEqual(want, to[row * toStride + column], $"{row}, {column}");
                Assert.AreEqual(want, plain[row * toStride + column], $"number by number: {row}, {column}");
            }
        }
    }

    /// <summary>The largest error in units of the last place of the number wanted.</summary>
    private static double LargestError(float[] x, Func<float[], float[]> function, Func<double, double> exact)
    {
        float[] y = function(x);
        double worst = 0;
        for (int i = 0; i < x.Length; i++)
        {
            double want = exact(x[i]), unit = MathF.BitIncrement((float)want) - (double)(float)want;
            Assert.IsTrue(float.IsFinite(y[i]), $"at {x[i]}");
            worst = Math.Max(worst, Math.Abs(y[i] - want) / unit);
        }
        return worst;
    }

    private static float[] Between(double first, double last)
    {
        const int count = 1 << 16;
        return [.. Enumerable.Range(0, count).Select(i => (float)(first + (last - first) * i / (count - 1)))];
    }

    /// <summary>Numbers, repeated until they fill the widest register.</summary>
    private static float[] Lanes(params float[] values) => [.. Enumerable.Range(0, 16).Select(i => values[i % values.Length])];

    private static Func<float[], float[]> Exp(int lanes) => KernelData.For<Func<float[], float[]>>(
        lanes, x => Map<Lanes512>(x, LaneMath<Lanes512>.Exp), x => Map<Lanes256>(x, LaneMath<Lanes256>.Exp), x => Map<Lanes128>(x, LaneMath<Lanes128>.Exp));

    private static Func<float[], float[]> Sigmoid(int lanes) => KernelData.For<Func<float[], float[]>>(
        lanes, x => Map<Lanes512>(x, LaneMath<Lanes512>.Sigmoid), x => Map<Lanes256>(x, LaneMath<Lanes256>.Sigmoid), x => Map<Lanes128>(x, LaneMath<Lanes128>.Sigmoid));

    private static Func<float[], float[]> Silu(int lanes) => KernelData.For<Func<float[], float[]>>(
        lanes, x => Map<Lanes512>(x, Silu), x => Map<Lanes256>(x, Silu), x => Map<Lanes128>(x, Silu));

    private static L Silu<L>(L z)
        where L : unmanaged, ILanes<L> => z * LaneMath<L>.Sigmoid(z);

    private static float[] Map<L>(float[] x, Func<L, L> function)
        where L : unmanaged, ILanes<L>
    {
        var y = new float[x.Length];
        fixed (float* from = x, to = y)
        {
            for (int i = 0; i < x.Length; i += L.Count)
                L.Store(function(L.Load(from + i)), to + i);
        }
        return y;
    }

    private static (float Sum, float Largest) Reduce<L>(float[] x)
        where L : unmanaged, ILanes<L>
    {
        fixed (float* from = x)
            return (L.Sum(L.Load(from)), L.Largest(L.Load(from)));
    }
}
