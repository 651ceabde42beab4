namespace Microsoft.ML.Diffusion.Tests;

/// <summary>The gradients of the weights of products of bfloat16 that are multiplied in 16-bit integers: that they are the gradients, how accurate they are, and that no numbers are too large for them.</summary>
[TestClass]
public sealed unsafe class Int16NarrowGradientTests
{
    private const int Rows = 600, Inputs = 64, Outputs = 32;

    /// <summary>What makes sums as large as they can be: numbers of one size, all in one row, of sizes far apart. Factors: by row and column.</summary>
    private static Dictionary<string, Func<int, int, float>> Patterns => new()
    {
        ["one number"] = (_, _) => 1,
        ["signs by rows"] = (row, _) => row % 2 == 0 ? 1 : -1,
        ["signs by twos of rows"] = (row, _) => row / 2 % 2 == 0 ? 1 : -1,
        ["one row"] = (row, _) => row == 299 ? 1 : 0,
        ["one row of many small ones"] = (row, column) => row == 299 ? 7 : (row + column) % 3 / 128f,
        ["columns apart"] = (row, column) => row % 2 == 0 ? MathF.ScaleB(1, column - 16) : -MathF.ScaleB(1, 10 - column),
    };

    private static IEnumerable<object[]> PatternPairs => KernelData.Pairs(Patterns.Keys);

    [TestInitialize]
    public void NeedsWideRegisters() => KernelData.NeedsWideRegisters();

    [TestMethod]
    public void TheyAreSumsOverTheRows()
    {
        foreach (int rows in (int[])[4, 6, 30, 254, 256, 258, 770])
        {
            foreach (var (inputs, outputs) in ((int, int)[])[(32, 32), (32, 96), (96, 64), (224, 32)])
            {
                float[] x = KernelData.Rounded(1, rows * inputs), dy = KernelData.Rounded(2, rows * outputs);
                var (weight, bias) = WrittenOutProduct.WeightGradient(rows, inputs, outputs, x, dy);
                foreach (Layout layout in inputs > 32 ? (Layout[])[Layout.Whole, Layout.Computed, Layout.Joined] : [Layout.Whole, Layout.Computed])
                {
                    string what = $"{rows} rows, {inputs} to {outputs}, {layout}";
                    var (dWeight, dBias) = Differentiate(rows, inputs, outputs, x, dy, layout, withBias: true);
                    Assert.IsLessThan(1e-3, KernelData.Error(weight, dWeight), what);
                    Assert.IsLessThan(1e-5, KernelData.Error(bias, dBias!), what);
                    CollectionAssert.AreEqual(dWeight, Differentiate(rows, inputs, outputs, x, dy, layout, withBias: false).DWeight, what);
                }
            }
        }
    }

    [TestMethod]
    public void OfManyComputedColumnsFewRowsAreReadTogether()
    {
        const int rows = 256, inputs = 1152, outputs = 64;
        float[] x = KernelData.Rounded(1, rows * inputs), dy = KernelData.Rounded(2, rows * outputs);
        var (weight, bias) = WrittenOutProduct.WeightGradient(rows, inputs, outputs, x, dy);
        var (dWeight, dBias) = Differentiate(rows, inputs, outputs, x, dy, Layout.Computed, withBias: true);
        Assert.IsLessThan(1e-3, KernelData.Error(weight, dWeight));
        Assert.IsLessThan(1e-5, KernelData.Error(bias, dBias!));
    }

    [TestMethod]
    public void TheyAreOffByLessThanATenthOfWhatBFloat16IsRoundedBy()
    {
        double squares = 0, ofIntegers = 0, ofRounding = 0;
        for (int seed = 1; seed <= 4; seed++)
        {
            float[] exactX = KernelData.Numbers(seed, Rows * Inputs), exactDy = KernelData.Numbers(seed + 10, Rows * Outputs), x = KernelData.Rounded(exactX), dy = KernelData.Rounded(exactDy);
            double[] exact = WrittenOutProduct.WeightGradient(Rows, Inputs, Outputs, exactX, exactDy).Weight, want = WrittenOutProduct.WeightGradient(Rows, Inputs, Outputs, x, dy).Weight;
            squares += want.Sum(value => value * value);
            ofIntegers += Apart(want, [.. Differentiate(x, dy).Select(value => (double)value)]);
            ofRounding += Apart(want, exact);
        }
        Assert.IsGreaterThan(1e-3, Math.Sqrt(ofRounding / squares));
        Assert.IsLessThan(0.1 * Math.Sqrt(ofRounding), Math.Sqrt(ofIntegers));
    }

    [TestMethod]
    [DynamicData(nameof(PatternPairs))]
    public void NoNumbersAreTooLarge(string ofInput, string ofGradient)
    {
        float[] x = Pattern(ofInput, Inputs), dy = Pattern(ofGradient, Outputs), got = Differentiate(x, dy);
        double[] want = WrittenOutProduct.WeightGradient(Rows, Inputs, Outputs, x, dy).Weight, ofInputs = KernelData.Lengths(x, Inputs), ofOutputs = KernelData.Lengths(dy, Outputs);
        // Beside the longest sum that these columns could have: one that had overflowed would be off by as much as that.
        for (int i = 0; i < want.Length; i++)
            Assert.IsLessThanOrEqualTo(ofInputs[i % Inputs] * ofOutputs[i / Inputs] / 1000, Math.Abs(got[i] - want[i]), $"number {i} is {got[i]}, not {want[i]}");
    }

    [TestMethod]
    public void TheNumbersScaleIsTheGradients()
    {
        float[] x = KernelData.Rounded(1, Rows * Inputs), dy = KernelData.Rounded(2, Rows * Outputs), got = Differentiate(x, dy);
        foreach (var (ofInput, ofGradient) in ((int, int)[])[(10, -30), (-40, 20), (-24, -24), (40, 40)])
        {
            float[] scaled = Differentiate([.. x.Select(value => MathF.ScaleB(value, ofInput))], [.. dy.Select(value => MathF.ScaleB(value, ofGradient))]);
            CollectionAssert.AreEqual(got.Select(value => MathF.ScaleB(value, ofInput + ofGradient)).ToArray(), scaled, $"2^{ofInput}, 2^{ofGradient}");
        }
    }

    [TestMethod]
    [DataRow(0)]
    [DataRow(float.NaN)]
    [DataRow(float.PositiveInfinity)]
    [DataRow(float.NegativeInfinity)]
    public void ColumnsOfZerosAndOfWhatIsNoNumberStayByThemselves(float value)
    {
        float[] x = KernelData.Rounded(1, Rows * Inputs), dy = KernelData.Rounded(2, Rows * Outputs), sound = Differentiate(x, dy);
        for (int row = value == 0 ? 0 : 500; row < (value == 0 ? Rows : 501); row++)
            x[row * Inputs + 5] = dy[row * Outputs + 7] = value;
        float[] got = Differentiate(x, dy);
        for (int i = 0; i < got.Length; i++)
        {
            if (i % Inputs != 5 && i / Inputs != 7)
                Assert.AreEqual(sound[i], got[i], $"number {i}");
            else if (value == 0)
                Assert.AreEqual(0, got[i], $"number {i}");
            else
                Assert.IsFalse(float.IsFinite(got[i]), $"number {i} is {got[i]}");
        }
    }

    [TestMethod]
    [DoNotParallelize]
    public void TheNumberOfCoresChangesNoBit()
    {
        const int inputs = 96, outputs = 128;
        float[] x = KernelData.Rounded(1, Rows * inputs), dy = KernelData.Rounded(2, Rows * outputs);
        var alone = On(1);
        foreach (int cores in (int[])[2, 3, 4, 8])
        {
            var (dWeight, dBias) = On(cores);
            CollectionAssert.AreEqual(alone.DWeight, dWeight, $"{cores} cores");
            CollectionAssert.AreEqual(alone.DBias, dBias, $"{cores} cores");
        }

        (float[] DWeight, float[]? DBias) On(int cores)
        {
            using var threads = new KernelData.Threads(cores);
            using var reserved = Cores.Reserve();
            return Differentiate(Rows, inputs, outputs, x, dy, Layout.Whole, withBias: true);
        }
    }

    [TestMethod]
    public void AUnitThatAddsFactorsIsWorthIt()
    {
        Assert.IsTrue(Int16NarrowGradient.Takes(new WrittenOutPairUnit(integers: true)));
        Assert.IsFalse(Int16NarrowGradient.Takes(new WrittenOutPairUnit(integers: false)));
        Assert.IsFalse(Int16NarrowGradient.Takes(new WrittenOutUnit()), "a unit for whole matrices");
    }

    private static float[] Differentiate(float[] x, float[] dy) => Differentiate(Rows, Inputs, Outputs, x, dy, Layout.Whole, withBias: false).DWeight;

    private static (float[] DWeight, float[]? DBias) Differentiate(int rows, int inputs, int outputs, float[] x, float[] dy, Layout layout, bool withBias)
    {
        KernelData.Poison(1_000_000);
        float[] dWeight = new float[outputs * inputs];
        float[]? dBias = withBias ? new float[outputs] : null;
        ushort[] narrow = BFloat16KernelTests.Narrow(x)!;
        // Joined: the first 32 columns lie by themselves.
        ushort[] first = [.. narrow.Where((_, i) => i % inputs < 32)], last = [.. narrow.Where((_, i) => i % inputs >= 32)];
        fixed (ushort* whole = narrow, a = first, b = last, pdy = BFloat16KernelTests.Narrow(dy))
        fixed (float* pw = dWeight, pb = dBias)
        {
            ImageMemory memory = layout switch
            {
                Layout.Whole => Of(whole, inputs),
                Layout.Joined => ImageMemory.Join(Of(a, 32), Of(b, inputs - 32)),
                _ => default,
            };
            // Twice: gradients are added to what is there.
            for (int i = 0; i < 2; i++)
                new Int16NarrowGradient(rows, inputs, outputs, memory, layout == Layout.Computed ? new NarrowArrayRows(narrow, inputs) : null, pdy, pw, pb).Add();
        }
        return ([.. dWeight.Select(value => value / 2)], dBias?.Select(value => value / 2).ToArray());

        ImageMemory Of(ushort* numbers, int columns) => new(numbers, new(1, 1, rows, columns, IsNarrow: true));
    }

    private static float[] Pattern(string name, int columns) => [.. Enumerable.Range(0, Rows * columns).Select(i => Patterns[name](i / columns, i % columns))];

    private static double Apart(double[] want, double[] got) => want.Zip(got, (a, b) => (a - b) * (a - b)).Sum();

    /// <summary>How the input lies in memory.</summary>
    private enum Layout
    {
        /// <summary>In one piece.</summary>
        Whole,

        /// <summary>Nowhere: it is computed.</summary>
        Computed,

        /// <summary>In two pieces.</summary>
        Joined,
    }
}
