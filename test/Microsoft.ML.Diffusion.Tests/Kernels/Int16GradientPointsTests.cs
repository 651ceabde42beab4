namespace Microsoft.ML.Diffusion.Tests;

/// <summary>
/// The gradients of 3x3 weights whose products are taken in 16-bit integers: how accurate they are, that no pixels are too large for them, and that what is measured of pixels is never less than they are.
/// That they are the gradients, over many sizes, is tested with those of the other units (<see cref="BFloat16KernelTests"/>).
/// </summary>
[TestClass]
public sealed unsafe class Int16GradientPointsTests
{
    private const int Inputs = 64, Outputs = 32;

    /// <summary>A chunk of tiles and some.</summary>
    private static readonly ConvolutionSize s_size = new(6, 16, 16, Inputs, Outputs);

    private static int Pixels => s_size.Images * s_size.Height * s_size.Width;

    /// <summary>
    /// What makes a sum as large as it can be: pixels of one sign, of the signs that a point's coefficients have, all in one place. Factors: by image, row, column and channel.
    /// </summary>
    private static Dictionary<string, Func<int, int, int, int, float>> Patterns => new()
    {
        ["one number"] = (_, _, _, _) => 1,
        ["columns"] = (_, _, x, _) => x % 2 == 0 ? 1 : -1,
        ["rows"] = (_, y, _, _) => y % 2 == 0 ? 1 : -1,
        ["a chessboard"] = (_, y, x, _) => (x + y) % 2 == 0 ? 1 : -1,
        ["columns in twos"] = (_, _, x, _) => x / 2 % 2 == 0 ? 1 : -1,
        ["a chessboard in twos"] = (_, y, x, _) => (x / 2 + y / 2) % 2 == 0 ? 1 : -1,
        ["one pixel of each image"] = (_, y, x, _) => (x, y) == (9, 6) ? 1 : 0,
        ["one pixel of one image"] = (image, y, x, _) => (image, x, y) == (3, 9, 6) ? 1 : 0,
        ["one image"] = (image, _, _, _) => image == 2 ? 1 : 0,
        ["channels apart"] = (_, y, x, c) => ((x ^ y) & 1) == 0 ? MathF.ScaleB(1, c - 16) : -MathF.ScaleB(1, 10 - c),
        ["one row of tiles"] = (_, y, x, _) => y / 4 == 2 ? (x % 2 == 0 ? 3 : -3) : 0,
    };

    private static IEnumerable<object[]> PatternPairs => KernelData.Pairs(Patterns.Keys);

    [TestInitialize]
    public void NeedsWideRegisters() => KernelData.NeedsWideRegisters();

    [TestMethod]
    [DynamicData(nameof(PatternPairs))]
    public void NoPixelsAreTooLarge(string ofInput, string ofGradient)
    {
        float[] x = Pattern(ofInput, Inputs), dy = Pattern(ofGradient, Outputs);
        double[] want = WrittenOutConvolution.WeightGradient(s_size, x, dy).Weight;
        float[] got = Differentiate(x, dy);
        // Each weight beside the longest sum that its channels could have: a sum that had overflowed would be off by as much as that.
        double[] ofInputs = KernelData.Lengths(x, Inputs), ofOutputs = KernelData.Lengths(dy, Outputs);
        for (int i = 0; i < want.Length; i++)
        {
            double longest = ofInputs[i % Inputs] * ofOutputs[i / (9 * Inputs)];
            Assert.IsLessThanOrEqualTo(longest / 100, Math.Abs(got[i] - want[i]), $"number {i} is {got[i]}, not {want[i]}");
        }
    }

    [TestMethod]
    public void TheyAreMoreAccurateThanAtComplexPointsInBFloat16()
    {
        var unit = (PairUnit)TestedUnits.Of(TestedUnits.PairNames.First(name => TestedUnits.Of(name) is PairUnit { MultipliesInIntegers: false } or DotUnit));
        double squares = 0, ofIntegers = 0, ofBFloat16 = 0;
        for (int seed = 1; seed <= 4; seed++)
        {
            float[] x = KernelData.Rounded([.. KernelData.Numbers(seed, Pixels * Inputs).Select(value => 3 * value / (1 + MathF.Exp(-3 * value)))]), dy = KernelData.Rounded(seed + 10, Pixels * Outputs);
            double[] want = WrittenOutConvolution.WeightGradient(s_size, x, dy).Weight;
            squares += want.Sum(value => value * value);
            ofIntegers += Apart(want, Differentiate(x, dy));
            ofBFloat16 += Apart(want, Differentiate(x, dy, (dWeight, source, gradient) =>
                WinogradGradient<Lanes512, NarrowElement, ComplexPoints>.Add(new(unit), s_size, source, (NarrowElement*)gradient, (float*)dWeight, null)));
        }
        Assert.IsLessThan(0.8 * Math.Sqrt(ofBFloat16 / squares), Math.Sqrt(ofIntegers / squares));
    }

    [TestMethod]
    public void ThePixelsScaleIsTheGradients()
    {
        float[] x = KernelData.Rounded(1, Pixels * Inputs), dy = KernelData.Rounded(2, Pixels * Outputs);
        float[] got = Differentiate(x, dy);
        foreach (var (ofInput, ofGradient) in ((int, int)[])[(10, -30), (-40, 20), (-24, -24), (40, 40)])
        {
            float[] scaled = Differentiate([.. x.Select(value => MathF.ScaleB(value, ofInput))], [.. dy.Select(value => MathF.ScaleB(value, ofGradient))]);
            CollectionAssert.AreEqual(got.Select(value => MathF.ScaleB(value, ofInput + ofGradient)).ToArray(), scaled, $"2^{ofInput}, 2^{ofGradient}");
        }
    }

    [TestMethod]
    public void PixelsOfZerosGiveZeros()
    {
        float[] x = KernelData.Rounded(1, Pixels * Inputs), dy = KernelData.Rounded(2, Pixels * Outputs);
        for (int i = 0; i < Pixels; i++)
            x[i * Inputs + 5] = dy[i * Outputs + 7] = 0;
        float[] got = Differentiate(x, dy);
        for (int i = 0; i < got.Length; i++)
            Assert.AreEqual(i % Inputs == 5 || i / (9 * Inputs) == 7, got[i] == 0, $"number {i} is {got[i]}");
    }

    [TestMethod]
    [DataRow(float.NaN)]
    [DataRow(float.PositiveInfinity)]
    [DataRow(float.NegativeInfinity)]
    public void WhatIsNoNumberStaysInItsChannel(float value)
    {
        float[] x = KernelData.Rounded(1, Pixels * Inputs), dy = KernelData.Rounded(2, Pixels * Outputs);
        float[] sound = Differentiate(x, dy);
        x[100 * Inputs + 5] = value;
        dy[700 * Outputs + 7] = value;
        float[] got = Differentiate(x, dy);
        for (int i = 0; i < got.Length; i++)
        {
            if (i % Inputs == 5 || i / (9 * Inputs) == 7)
                Assert.IsFalse(float.IsFinite(got[i]), $"number {i} is {got[i]}");
            else
                Assert.AreEqual(sound[i], got[i], $"number {i}");
        }
    }

    [TestMethod]
    [DataRow(false)]
    [DataRow(true)]
    public void ImagesAreMeasuredAsTilesSeeThem(bool doubled)
    {
        const int height = 8, width = 12;
        float[] pixels = KernelData.Rounded(1, 2 * height * width * Inputs);
        fixed (ushort* numbers = BFloat16KernelTests.Narrow(pixels))
        {
            PixelSource source = PixelSource.Of(numbers, height, width, Inputs, doubled);
            var (got, want) = (Measured(source, height * (doubled ? 2 : 1)), SeenByTiles(source, height * (doubled ? 2 : 1), width * (doubled ? 2 : 1)));
            for (int c = 0; c < Inputs; c++)
            {
                // The image's edge belongs to one tile alone, and is counted twice.
                Assert.IsGreaterThanOrEqualTo(want.Squares[c] * 0.999999, got.Squares[c]);
                Assert.IsLessThan(1.3 * want.Squares[c], got.Squares[c]);
                Assert.AreEqual(want.Largest[c], got.Largest[c]);
            }
        }
    }

    [TestMethod]
    [DataRow(false)]
    [DataRow(true)]
    public void ThroughANormTheyAreMeasuredAtLeastAsLargeAsTheyAre(bool silu)
    {
        const int height = 8, width = 12;
        float[] pixels = KernelData.Rounded([.. KernelData.Numbers(1, height * width * Inputs).Select(value => 3 * value)]), weight = [.. KernelData.Numbers(2, Inputs).Select(value => 1 + value / 4)], bias = [.. KernelData.Numbers(3, Inputs).Select(value => value / 4)], statistics = new float[8];
        fixed (ushort* numbers = BFloat16KernelTests.Narrow(pixels))
        fixed (float* w = weight, b = bias, s = statistics)
        {
            var norm = new NormBatch(new(numbers, new(1, height, width, Inputs, IsNarrow: true)), w, b, default, s, new(4, 1e-5, silu));
            norm.Measure(null);
            var (got, want) = (Measured(norm.Source(), height), SeenByTiles(norm.Source(), height, width));
            for (int c = 0; c < Inputs; c++)
            {
                Assert.IsGreaterThanOrEqualTo(want.Squares[c] * 0.999999, got.Squares[c]);
                Assert.IsGreaterThanOrEqualTo(want.Largest[c], got.Largest[c]);
                if (!silu)
                    Assert.AreEqual(want.Largest[c], got.Largest[c], 1e-6f * want.Largest[c]);
            }
            // Of what is measured for its sigmoid, half at the most is lost: half a bit.
            Assert.IsLessThan(silu ? 2 : 1.3, got.Squares.Sum() / want.Squares.Sum());
        }
    }

    /// <summary>Of the first image, as a row of tiles is measured after the other.</summary>
    private static (float[] Squares, float[] Largest) Measured(PixelSource source, int height)
    {
        float[] room = new float[PixelSource.Room], squares = new float[Inputs], largest = new float[Inputs];
        fixed (float* r = room, s = squares, l = largest)
        {
            source.Begin(0, new(0, Inputs), r);
            for (int row = 0; row < height; row++)
                source.Measure(0, row, new(0, Inputs), r, new TileSize(s, l), row > 0 && row < height - 1 && (row + 1) % 4 < 2 ? 2 : 1);
        }
        return (squares, largest);
    }

    /// <summary>The same of what is read: the sum over windows of 6x6 pixels, four apart.</summary>
    private static (double[] Squares, float[] Largest) SeenByTiles(PixelSource source, int height, int width)
    {
        var squares = new double[Inputs];
        float[] room = new float[PixelSource.Room], pixels = new float[height * width * Inputs], largest = new float[Inputs];
        fixed (float* r = room, p = pixels)
        {
            source.Begin(0, new(0, Inputs), r);
            for (int row = 0; row < height; row++)
                source.Read(0, row, new(0, Inputs), r, p + row * width * Inputs, Inputs);
        }
        for (int i = 0; i < pixels.Length; i++)
        {
            int c = i % Inputs, x = i / Inputs % width, y = i / Inputs / width;
            squares[c] += (double)pixels[i] * pixels[i] * Seen(x, width) * Seen(y, height);
            largest[c] = Math.Max(largest[c], Math.Abs(pixels[i]));
        }
        return (squares, largest);

        static int Seen(int place, int length) => Enumerable.Range(0, length / 4).Count(tile => place >= 4 * tile - 1 && place <= 4 * tile + 4);
    }

    private static float[] Pattern(string name, int channels)
    {
        var of = Patterns[name];
        return [.. Enumerable.Range(0, Pixels * channels).Select(i => of(i / channels / 256, i / channels / 16 % 16, i / channels % 16, i % channels))];
    }

    private static double Apart(double[] want, float[] got) => want.Zip(got, (a, b) => (a - b) * (a - b)).Sum();

    private static float[] Differentiate(float[] x, float[] dy) => Differentiate(x, dy, (dWeight, source, gradient) =>
        WinogradGradient<Lanes512, NarrowElement, Int16GradientPoints>.Add(default, s_size, source, (NarrowElement*)gradient, (float*)dWeight, null));

    private static float[] Differentiate(float[] x, float[] dy, Action<nint, PixelSource, nint> add)
    {
        KernelData.Poison(1_000_000);
        var dWeight = new float[9 * Inputs * Outputs];
        fixed (ushort* px = BFloat16KernelTests.Narrow(x), pdy = BFloat16KernelTests.Narrow(dy))
        fixed (float* pw = dWeight)
            add((nint)pw, PixelSource.Of(px, s_size.Height, s_size.Width, Inputs), (nint)pdy);
        return dWeight;
    }
}
