using System.Runtime.Intrinsics.X86;

namespace Microsoft.ML.Diffusion.Tests;

/// <summary>The matrix units that tests run over, by name: those that are written out, and those of the processor. Networks run over 16-bit integers too.</summary>
internal static class TestedUnits
{
    /// <summary>No unit: products of float32 in 16-bit integers.</summary>
    public const string Integers = "16-bit integers";

    private const string WrittenOutPairs = "written out, pairs";
    private const string WrittenOutIntegers = "written out, pairs and integers";

    // One of each: what a processor's unit holds lives as long as the process.
    private static readonly Dictionary<string, MatrixUnit?> s_units = new()
    {
        ["written out"] = new WrittenOutUnit(),
        [WrittenOutPairs] = new WrittenOutPairUnit(integers: false),
        [WrittenOutIntegers] = Avx2.IsSupported ? new WrittenOutPairUnit(integers: true) : null,
        ["AMX"] = AmxUnit.TryCreate(),
        ["AVX512_BF16"] = DotUnit.TryCreate(),
    };

    private static readonly string[] s_present = [.. s_units.Keys.Where(name => s_units[name] is not null)];

    /// <summary>Those that multiply blocks in different ways.</summary>
    public static IEnumerable<string> Names => s_present.Where(name => name is not (WrittenOutPairs or WrittenOutIntegers));

    /// <summary>Those that multiply pairs.</summary>
    public static IEnumerable<string> PairNames => s_present.Where(name => s_units[name] is PairUnit);

    /// <summary>Those of which a network makes different use, a row of test data each; integers where it uses them.</summary>
    public static IEnumerable<object[]> NetworkRows =>
        (Int16Products.AreQuicker ? s_present.Append(Integers) : s_present).Select(name => (object[])[name]);

    /// <summary><see cref="Names"/>, a row of test data each.</summary>
    public static IEnumerable<object[]> Rows => Names.Select(name => (object[])[name]);

    /// <summary>One of them.</summary>
    public static MatrixUnit Of(string name) => s_units[name]!;

    /// <summary>Has the calling thread's kernels multiply with one of them, or in integers, until the result is disposed.</summary>
    public static IDisposable Enter(string name) => name == Integers ? Int16Products.Enter(true) : MatrixUnit.Enter(Of(name));
}
