namespace Microsoft.ML.Diffusion.Tests;

/// <summary>What the tests of the kernels share: numbers, the three registers, and how far two results are apart.</summary>
internal static class KernelData
{
    /// <summary>Ends a test of products of integers where there are none: without AVX2 kernels never take them.</summary>
    public static void NeedsAvx2()
    {
        if (!System.Runtime.Intrinsics.X86.Avx2.IsSupported)
            Assert.Inconclusive("This processor has no AVX2; its kernels multiply float32.");
    }

    /// <summary>Ends a test of kernels that need registers of 512 bits where there are none: they are never taken then.</summary>
    public static void NeedsWideRegisters()
    {
        if (!Int16WideLayout.IsQuicker)
            Assert.Inconclusive("This processor has no registers of 512 bits.");
    }

    /// <summary>Numbers between −1 and 1, the same for the same seed.</summary>
    public static float[] Numbers(int seed, int count)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, count).Select(_ => random.NextSingle() * 2 - 1)];
    }

    /// <summary>Normally distributed numbers in float64, rounded to what float32 holds: both sides of a comparison begin with the same.</summary>
    public static Tensor Draw(ulong seed, params long[] shape)
    {
        using var generator = new Generator(seed, CPU);
        using Tensor rounded = randn(shape, float32, generator: generator);
        return rounded.to(float64);
    }

    /// <summary>The one of three functions that computes in registers of so many lanes.</summary>
    public static F For<F>(int lanes, F sixteen, F eight, F four)
        where F : Delegate => lanes switch
        {
            16 => sixteen,
            8 => eight,
            4 => four,
            _ => throw new ArgumentOutOfRangeException(nameof(lanes)),
        };

    /// <summary>The largest difference as a share of the largest number wanted; infinite where one is no number, since a comparison with NaN would pass.</summary>
    public static double Error(ReadOnlySpan<double> want, ReadOnlySpan<float> got)
    {
        Assert.AreEqual(want.Length, got.Length);
        double difference = 0, largest = 0;
        for (int i = 0; i < want.Length; i++)
        {
            if (!float.IsFinite(got[i]))
                return double.PositiveInfinity;
            difference = Math.Max(difference, Math.Abs(got[i] - want[i]));
            largest = Math.Max(largest, Math.Abs(want[i]));
        }
        return difference / largest;
    }

    /// <summary>The same of two tensors of one shape.</summary>
    public static double Error(Tensor want, Tensor got)
    {
        CollectionAssert.AreEqual(want.shape, got.shape);
        using var scope = NewDisposeScope();
        double share = ((got.detach().to(float64) - want.detach()).abs().max() / want.detach().abs().max()).item<double>();
        return double.IsFinite(share) ? share : double.PositiveInfinity;
    }

    /// <summary>Every one with every one, a row of test data each.</summary>
    public static IEnumerable<object[]> Pairs(IReadOnlyCollection<string> names) =>
        from first in names
        from second in names
        select new object[] { first, second };

    /// <summary>What libtorch makes of numbers in bfloat16.</summary>
    public static float[] Rounded(float[] of)
    {
        using Tensor numbers = tensor(of), narrow = numbers.to(ScalarType.BFloat16), wide = narrow.to(float32);
        return wide.data<float>().ToArray();
    }

    /// <summary>The same of <see cref="Numbers"/>.</summary>
    public static float[] Rounded(int seed, int count) => Rounded(Numbers(seed, count));

    /// <summary>The length of each column as a vector.</summary>
    /// <param name="numbers">[rows, columns].</param>
    /// <param name="columns">How many.</param>
    public static double[] Lengths(float[] numbers, int columns)
    {
        var squares = new double[columns];
        for (int i = 0; i < numbers.Length; i++)
            squares[i % columns] += (double)numbers[i] * numbers[i];
        return [.. squares.Select(Math.Sqrt)];
    }

    /// <summary>Fills the working memory of this thread's kernels with NaN: a number that is read and was never written shows.</summary>
    /// <param name="floats">As much as the kernel will ask for; what it asks beyond may hold anything.</param>
    public static unsafe void Poison(int floats)
    {
        new Span<float>(KernelMemory.Shared(floats), floats).Fill(float.NaN);
        new Span<float>(KernelMemory.Weights(floats), floats).Fill(float.NaN);
        new Span<float>(KernelMemory.Own(floats), floats).Fill(float.NaN);
    }

    /// <summary>Frees gradients, as a step does that leaves none.</summary>
    public static void ClearGradients(IEnumerable<Tensor> leaves)
    {
        foreach (Tensor leaf in leaves)
        {
            leaf.grad?.Dispose();
            leaf.grad = null;
        }
    }

    /// <summary>Gives libtorch, and so the kernels that this thread starts, so many threads until it is disposed.</summary>
    public readonly struct Threads : IDisposable
    {
        private readonly int _before = get_num_threads();

        public Threads(int count) => set_num_threads(count);

        public void Dispose() => set_num_threads(_before);
    }
}
